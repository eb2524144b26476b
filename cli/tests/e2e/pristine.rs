//! Every request runs in a fork of the stunned parent, and nothing boots for it.

use crate::platform::Platform;
use std::thread;

#[test]
fn ten_thousand_requests_see_the_parent_and_nothing_else() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 10_000;
    let platform = Platform::start().with_python_probe(&[]);
    let boots = platform.metric("spore_parent_boots_total", "probe");
    let forks = platform.metric("spore_forks_total", "probe");
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = platform.connect();
                for _ in 0..REQUESTS / CLIENTS {
                    let response = connection.get("/function/probe?do=count");
                    assert_eq!((response.status, response.text().as_str()), (200, r#"{"count":1}"#));
                }
            });
        }
    });
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), boots, "something booted");
    assert_eq!(platform.metric("spore_forks_total", "probe") - forks, REQUESTS as f64);
}

#[test]
fn one_request_is_one_fork() {
    let platform = Platform::start().with_native_probe(&[]);
    for n in 1..=5 {
        let before = platform.metric("spore_forks_total", "native");
        assert_eq!(platform.get("/function/native/").text(), "hello 1", "request {n}");
        assert_eq!(platform.metric("spore_forks_total", "native") - before, 1.0);
    }
    assert_eq!(platform.metric("spore_parent_boots_total", "native"), 1.0);
}

#[test]
fn files_do_not_outlive_their_request() {
    let platform = Platform::start().with_python_probe(&[]);
    let mut connection = platform.connect();
    for _ in 0..20 {
        let answer = connection.get("/function/probe?do=tmp").json();
        assert_eq!((&answer["seen"], &answer["size"]), (&false.into(), &100_000.into()));
    }
}

#[test]
fn concurrent_requests_never_see_each_other() {
    let platform = Platform::start().with_python_probe(&[]);
    thread::scope(|scope| {
        for client in 0..16 {
            let platform = &platform;
            scope.spawn(move || {
                let mut connection = platform.connect();
                for round in 0..30 {
                    let text = format!("client-{client}-round-{round}");
                    let answer =
                        connection.get(&format!("/function/probe?do=echo&sleep=0.002&text={text}")).json();
                    assert_eq!(answer["text"], text.as_str());
                }
            });
        }
    });
}

#[test]
fn timing_is_real_and_complete() {
    let platform = Platform::start().with_python_probe(&[]);
    let response = platform.get("/function/probe?do=sleep&seconds=0.2");
    assert_eq!(response.status, 200, "{}", response.text());
    let part = |name| response.timing(name).unwrap_or_else(|| panic!("no {name} in {:?}", response.headers));
    assert!(part("run") >= 200.0, "run took {} ms", part("run"));
    assert!(part("queue") + part("fork") + part("run") <= part("total"));
    assert!(response.header("x-request-id").is_some_and(|id| !id.is_empty()));
}
