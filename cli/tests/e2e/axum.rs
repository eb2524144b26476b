//! A server of axum on tokio's threads, as a function of the runtime `native`.

use crate::cargo;
use crate::platform::Platform;
use std::thread;

fn with_axum() -> Platform {
    let platform = Platform::start();
    let program = cargo::built("async-programs", &["axum-server"]).remove(0);
    platform.deploy(&program, &["--name", "axum"]);
    platform
}

#[test]
fn an_axum_server_is_a_function() {
    let platform = with_axum();
    let mut connection = platform.connect();
    assert_eq!(connection.get("/function/axum/").text(), "axum\n");
    let json = [("content-type", "application/json")];
    let order = br#"{"name":"tea","amounts":[3,1,4,1,5]}"#;
    let receipt = connection.request("POST", "/function/axum/order", &json, order);
    assert_eq!(receipt.text(), r#"{"name":"tea","total":14,"largest":5}"#);
    for (body, status) in [("{}", 422), ("{", 400)] {
        let response = connection.request("POST", "/function/axum/order", &json, body.as_bytes());
        assert_eq!(response.status, status, "{body}: {}", response.text());
    }
    assert_eq!(connection.request("POST", "/function/axum/order", &[], order).status, 415);
    let parts = connection.get("/function/axum/parts?parts=20");
    let lines: String = (0..20).map(|n| format!("part {n}\n")).collect();
    assert_eq!((parts.status, parts.text()), (200, lines));
    let body = vec![3; 3 << 20];
    let sum = connection.request("POST", "/function/axum/sum", &[], &body);
    assert_eq!(sum.text(), format!("{} {}\n", body.len(), 3 * body.len()));
    assert_eq!(connection.get("/function/axum/fibonacci/20").text(), "6765\n");
    assert_eq!(connection.get("/function/axum/none").status, 404);
    assert_eq!(connection.request("DELETE", "/function/axum/count", &[], b"").status, 405);
}

#[test]
fn forks_of_an_axum_server_share_no_state() {
    let platform = with_axum();
    thread::scope(|scope| {
        for client in 0..4 {
            let platform = &platform;
            scope.spawn(move || {
                let mut connection = platform.connect();
                for n in 0..10 {
                    assert_eq!(connection.get("/function/axum/count").text(), "1\n");
                    let path = format!("/function/axum/fibonacci/{}", client + n);
                    assert_eq!(connection.get(&path).status, 200);
                }
            });
        }
    });
}
