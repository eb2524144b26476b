//! Deploying and removing over the control API.

use crate::support::client::request;
use crate::support::{Harness, package, soon};
use serde_json::{Value, json};
use std::path::PathBuf;

fn stored_packages(gateway: &Harness) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(gateway.data.path().join("packages")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_deploy_is_described_as_it_was_asked_for() {
    let gateway = Harness::start().await;
    let config = json!({
        "memory": "256MiB", "timeout": "1500ms", "env": {"SECRET": "hidden", "MODE": "x"}, "max_concurrency": 7,
    });
    let answer = gateway.deploy("hello", config).await;
    assert_eq!(answer.status, 201);
    let detail = answer.json();
    for (key, value) in [
        ("name", json!("hello")),
        ("path", json!("/function/hello")),
        ("runtime", json!("python3.11")),
        ("handler", json!("app.handler")),
        ("contract", json!("handler")),
        ("state", json!("ready")),
        ("reason", json!("")),
        ("memory_bytes", json!(256 << 20)),
        ("timeout_ms", json!(1500)),
        ("env", json!(["MODE", "SECRET"])),
        ("max_concurrency", json!(7)),
    ] {
        assert_eq!(detail[key], value, "{key}");
    }
    assert_eq!(detail["stats"]["parent_boots"], json!(1));
    assert!(!answer.text().contains("hidden"), "values of the environment are not shown");
    assert_eq!(gateway.get("/v1/functions/hello").await.json()["revision"], detail["revision"]);
    let spec = gateway.backend.specs.lock().unwrap()[0].clone();
    assert_eq!(spec.env["SECRET"], "hidden");
    assert_eq!(spec.timeout.as_millis(), 1500);
    assert!(spec.command.iter().any(|argument| argument == "app.handler"), "{:?}", spec.command);
    assert!(
        spec.package
            .as_ref()
            .unwrap()
            .ends_with(format!("{}.erofs", detail["package_sha256"].as_str().unwrap()))
    );
}

#[tokio::test]
async fn a_new_revision_replaces_the_old_one_without_a_gap() {
    let gateway = Harness::with_hello().await;
    let first = gateway.get("/function/hello/revision").await.json();
    let mut running = gateway.connect().await;
    running.send(&request("GET", "/function/hello/hang", &[], b"")).await;
    soon(gateway.backend.hanging.acquire()).await.unwrap().forget();
    let answer = gateway
        .upload("hello", &json!({}), &package::tar(&[("app.py", b"def handler(e, c): return 2")]))
        .await;
    assert_eq!(answer.status, 200);
    assert_ne!(gateway.get("/function/hello/revision").await.json(), first);
    assert_eq!(stored_packages(&gateway).len(), 2, "the old package stays while a request uses it");
    gateway.backend.release.add_permits(1);
    assert_eq!(
        running.response("GET").await.json(),
        json!("released"),
        "what ran on the old revision finished on it"
    );
    gateway.deploy_native("web").await;
    assert_eq!(
        stored_packages(&gateway).len(),
        2,
        "collected with the next change: one for hello, one for web"
    );
}

#[tokio::test]
async fn two_deploys_of_one_name_do_not_run_at_once() {
    let gateway = Harness::start().await;
    let (kind, body) = package::form(r#"{"env":{"GATE":"1"}}"#, &package::python());
    let mut first = gateway.connect().await;
    first.send(&request("PUT", "/v1/functions/hello", &[("content-type", &kind)], &body)).await;
    soon(gateway.backend.at_gate.acquire()).await.unwrap().forget();
    let second = gateway.deploy("hello", json!({})).await;
    assert_eq!((second.status, second.code().as_str()), (409, "DeployInProgress"));
    assert_eq!(gateway.deploy("other", json!({})).await.status, 201, "other names are free");
    assert_eq!(
        gateway.get("/function/hello").await.code(),
        "FunctionNotFound",
        "not there before it is ready"
    );
    gateway.backend.gate.add_permits(1);
    assert_eq!(first.response("PUT").await.status, 201);
    assert_eq!(gateway.deploy("hello", json!({})).await.status, 200);
}

#[tokio::test]
async fn removing_and_deploying_do_not_run_at_once() {
    let gateway = Harness::with_hello().await;
    let (kind, body) = package::form(r#"{"env":{"GATE":"1"}}"#, &package::python());
    let mut deploy = gateway.connect().await;
    deploy.send(&request("PUT", "/v1/functions/hello", &[("content-type", &kind)], &body)).await;
    soon(gateway.backend.at_gate.acquire()).await.unwrap().forget();
    let removal = gateway.call("DELETE", "/v1/functions/hello", &[], b"").await;
    assert_eq!((removal.status, removal.code().as_str()), (409, "DeployInProgress"));
    assert_eq!(gateway.get("/function/hello").await.status, 200, "the old revision keeps answering");
    gateway.backend.gate.add_permits(1);
    assert_eq!(deploy.response("PUT").await.status, 200);
}

#[tokio::test]
async fn a_deploy_whose_client_left_is_finished() {
    let gateway = Harness::start().await;
    let (kind, body) = package::form(r#"{"env":{"GATE":"1"}}"#, &package::python());
    let mut client = gateway.connect().await;
    client.send(&request("PUT", "/v1/functions/hello", &[("content-type", &kind)], &body)).await;
    soon(gateway.backend.at_gate.acquire()).await.unwrap().forget();
    drop(client);
    gateway.backend.gate.add_permits(1);
    soon(async { while gateway.get("/function/hello").await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_refused_deploy_leaves_nothing_behind() {
    let gateway = Harness::start().await;
    for (fail, status, code) in [
        ("function", 422, "DeployRefused"),
        ("invalid", 400, "InvalidParameter"),
        ("platform", 500, "Platform"),
    ] {
        let answer = gateway.deploy("hello", json!({"env": {"FAIL": fail}})).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        if fail == "function" {
            assert_eq!(answer.json()["error"]["output"], json!("ModuleNotFoundError: nope"));
        }
        assert_eq!(gateway.get("/v1/functions").await.json(), json!({"functions": []}));
        assert_eq!(gateway.get("/function/hello").await.code(), "FunctionNotFound");
        assert_eq!(stored_packages(&gateway), Vec::<PathBuf>::new());
        assert!(!gateway.backend.knows("hello"));
    }
}

#[tokio::test]
async fn a_refused_deploy_leaves_the_old_revision_untouched() {
    let gateway = Harness::with_hello().await;
    let before = gateway.get("/v1/functions/hello").await.json();
    let answer = gateway.deploy("hello", json!({"env": {"FAIL": "function"}, "memory": "1GiB"})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(gateway.get("/v1/functions/hello").await.json(), before);
    assert_eq!(gateway.get("/function/hello").await.status, 200);
    assert_eq!(stored_packages(&gateway).len(), 1);
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_it_is_started() {
    let gateway = Harness::start().await;
    type Case<'a> = (&'a str, Value, Vec<u8>, u16, &'a str, &'a str);
    let cases: [Case<'_>; 9] = [
        ("hello", json!({"runtime": "cobol"}), package::python(), 400, "InvalidParameter", "python3.11"),
        ("hello", json!({"handler": "nope.handler"}), package::python(), 422, "DeployRefused", "nope"),
        (
            "hello",
            json!({"runtime": "python3.11", "handler": "x"}),
            package::python(),
            400,
            "InvalidParameter",
            "MODULE.FUNCTION",
        ),
        ("hello", json!({}), package::foreign(), 422, "DeployRefused", "x86-64"),
        ("hello", json!({}), b"this is no tar. ".repeat(64), 422, "DeployRefused", "tar"),
        (
            "hello",
            json!({}),
            package::tar(&[("readme.txt", b"nothing to run")]),
            422,
            "DeployRefused",
            "no function",
        ),
        ("hello", json!({"memory": "1TiB"}), package::python(), 400, "InvalidParameter", "memory"),
        ("hello", json!({"timeout": "1h"}), package::python(), 400, "InvalidParameter", "timeout"),
        ("Not-a-name", json!({}), package::python(), 400, "InvalidParameter", "name"),
    ];
    for (name, config, tar, status, code, word) in cases {
        let answer = gateway.upload(name, &config, &tar).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{config} {}", answer.text());
        assert!(answer.text().contains(word), "{word}: {}", answer.text());
    }
    assert!(gateway.backend.specs.lock().unwrap().is_empty(), "nothing was started");
    assert_eq!(stored_packages(&gateway), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn malformed_forms_are_refused() {
    let gateway = Harness::start().await;
    let tar = package::python();
    type Form<'a> = (&'a [(&'a str, &'a [u8])], &'a str, &'a str);
    let forms: [Form<'_>; 6] = [
        (&[("config", b"{}")], "InvalidParameter", "package"),
        (&[("package", &tar), ("package", &tar)], "InvalidParameter", "package"),
        (&[("package", &tar), ("other", b"x")], "InvalidParameter", "other"),
        (&[("config", b"{"), ("package", &tar)], "InvalidParameter", "configuration"),
        (&[("config", br#"{"memry":"1"}"#), ("package", &tar)], "InvalidParameter", "memry"),
        (&[("config", &[b' '; 300_000]), ("package", &tar)], "RequestTooLarge", "configuration"),
    ];
    for (fields, code, word) in forms {
        let (kind, body) = package::fields(fields);
        let answer = gateway.call("PUT", "/v1/functions/hello", &[("content-type", &kind)], &body).await;
        assert_eq!(answer.code(), code, "{}", answer.text());
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    for (kind, body) in [
        ("application/json", &b"{}"[..]),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=B", b"x"),
    ] {
        let answer = gateway.call("PUT", "/v1/functions/hello", &[("content-type", kind)], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BadRequest"), "{kind}");
    }
    assert_eq!(gateway.get("/v1/functions").await.json(), json!({"functions": []}));
}

#[tokio::test]
async fn a_removed_function_is_gone() {
    let gateway = Harness::with_hello().await;
    assert_eq!(gateway.get("/function/hello").await.status, 200);
    let removed = gateway.call("DELETE", "/v1/functions/hello", &[], b"").await;
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    assert_eq!(gateway.get("/function/hello").await.code(), "FunctionNotFound");
    let again = gateway.call("DELETE", "/v1/functions/hello", &[], b"").await;
    assert_eq!((again.status, again.code().as_str()), (404, "FunctionNotFound"));
    assert_eq!(stored_packages(&gateway), Vec::<PathBuf>::new());
    assert!(!gateway.backend.knows("hello"));
    assert!(!gateway.get("/metrics").await.text().contains("hello"));
}
