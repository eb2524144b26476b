//! Programs of AWS Lambda's Runtime API, from `spore deploy` to the response.

use crate::platform::{Platform, compile};
use crate::streams::read_events;
use crate::wait_for;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// A package whose program is the bootstrap on plain sockets.
fn package(platform: &Platform) -> PathBuf {
    let package = platform.data.path().join("package");
    fs::create_dir(&package).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/tests/guest/runtime_api.c");
    compile(&source, &package.join("bootstrap"));
    package
}

fn with_bootstrap(more: &[&str]) -> Platform {
    let platform = Platform::start();
    let package = package(&platform);
    platform.deploy(&package, &[&["--name", "boot"], more].concat());
    platform
}

#[test]
fn a_bootstrap_is_known_by_its_name_and_answers_events() {
    let platform = with_bootstrap(&[]);
    let describe = platform.spore_ok(&["describe", "boot"]);
    assert!(describe.contains("provided") && describe.contains("Lambda Runtime API"), "{describe}");
    let mut connection = platform.connect();
    let mut randoms = HashSet::new();
    for n in 0..5 {
        let id = format!("request-{n}");
        let response = connection.request("GET", "/function/boot/", &[("x-request-id", &id)], b"");
        assert_eq!(response.header("content-type"), Some("application/json"));
        let answer = response.json();
        assert_eq!(
            (&answer["calls"], &answer["id"], &answer["trace"]),
            (&1.into(), &id.into(), &"no".into())
        );
        assert!(randoms.insert(answer["random"].to_string()), "random numbers repeat");
    }
    let traced = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    assert_eq!(connection.request("GET", "/function/boot/", &traced, b"").json()["trace"], "traced");
    assert_eq!(connection.get("/function/boot/wrong").text(), "\"put right\"");
    let invoked = platform.spore_ok(&["invoke", "boot", "--path", "/wrong"]);
    assert!(invoked.contains("put right"), "{invoked}");
    assert!(platform.spore_ok(&["logs", "boot"]).contains("call 1"));
}

#[test]
fn events_and_responses_are_those_of_other_functions() {
    let platform = with_bootstrap(&[]);
    let mut connection = platform.connect();
    let event =
        connection.request("PUT", "/function/boot/bytes?a=1&b=2", &[("cookie", "c=3")], b"text").json();
    assert_eq!((&event["version"], &event["rawPath"]), (&"2.0".into(), &"/bytes".into()));
    assert_eq!(event["requestContext"]["http"]["method"], "PUT");
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&"text".into(), &false.into()));
    assert_eq!((&event["cookies"][0], &event["queryStringParameters"]["b"]), (&"c=3".into(), &"2".into()));
    let response = connection.get("/function/boot/binary");
    assert_eq!((response.status, response.body.as_slice()), (201, &[0, 1, 2, 255][..]));
    assert_eq!(response.header("content-type"), Some("image/x"));
    for (name, values) in [("set-cookie", ["a=1", "b=2"]), ("x-many", ["1", "2"])] {
        let found: Vec<_> = response.headers.iter().filter(|(key, _)| key == name).map(|(_, v)| v).collect();
        assert_eq!(found, values, "{name}");
    }
    let response = connection.get("/function/boot/flow");
    assert_eq!((response.status, response.text().as_str()), (418, "first second"));
    assert_eq!(response.header("x-tea"), Some("green"));
}

#[test]
fn large_and_binary_bodies_arrive_whole() {
    let platform = with_bootstrap(&["--timeout", "30s"]);
    let mut connection = platform.connect();
    let body = vec![0xfe; 5 << 20];
    let kind = [("content-type", "application/octet-stream")];
    let event = connection.request("POST", "/function/boot/bytes", &kind, &body).json();
    assert_eq!(event["isBase64Encoded"], true);
    let text = event["body"].as_str().unwrap();
    assert!(text.len() == body.len().div_ceil(3) * 4 && text.starts_with("/v7+/v7+"));
    assert_eq!(connection.get("/function/boot/big").body.len(), 8 << 20);
}

#[test]
fn failures_have_their_status_and_the_next_request_is_fine() {
    let platform = with_bootstrap(&["--timeout", "30s"]);
    let mut connection = platform.connect();
    for (path, status, code, message) in [
        ("raise", 502, "FunctionError", "AskedError"),
        ("flow-break", 502, "FunctionError", "half way"),
        ("huge", 502, "ResponseTooLarge", "16777216"),
        ("huge-explain", 502, "FunctionError", "TooMuch"),
        ("leave", 502, "FunctionExited", "status 5"),
        ("skip", 502, "", ""),
    ] {
        let response = connection.get(&format!("/function/boot/{path}"));
        assert_eq!(response.status, status, "{path}: {}", response.text());
        assert!(code.is_empty() || response.code() == code, "{path}: {}", response.text());
        assert!(response.text().contains(message), "{path}: {}", response.text());
        assert_eq!(connection.get("/function/boot/").json()["calls"], 1);
    }
}

/// The status of a streamed answer, what came of its body, and whether that is all of it.
fn stream(platform: &Platform, path: &str) -> (u16, String, bool) {
    let mut connection = platform.connect();
    connection.send("GET", path, &[], b"");
    let head = connection.receive_head();
    assert_eq!(head.header("transfer-encoding"), Some("chunked"), "{path}: {head:?}");
    let (text, whole) = read_events(&mut connection);
    (head.status, text, whole)
}

#[test]
fn a_streamed_response_arrives_as_it_is_written_and_may_break_off() {
    let platform = with_bootstrap(&["--timeout", "120s"]);
    // One that never ends, so whatever arrives arrives before its end.
    let mut connection = platform.connect();
    connection.send("GET", "/function/boot/flow-slow-endless", &[], b"");
    let head = connection.receive_head();
    assert_eq!((head.status, head.header("x-tea")), (418, Some("green")));
    for _ in 0..3 {
        assert!(connection.chunk().unwrap().starts_with(b"first "));
    }
    drop(connection);
    wait_for("the VM is still there", || platform.metric("spore_shells_discarded_total", "boot") >= 1.0);

    let at = |path: &str| stream(&platform, &format!("/function/boot/{path}"));
    assert_eq!(at("flow-slow"), (418, "first second".to_owned(), true));
    assert_eq!(at("flow-slow-break"), (418, "first second".to_owned(), false));
    assert_eq!(at("flow-slow-drop"), (418, "first ".to_owned(), false));
    assert_eq!(at("flow-slow-die"), (418, "first ".to_owned(), false));
    let (status, large, whole) = at("flow-large");
    assert_eq!((status, large.len(), whole), (418, "first second".len() + 40_000_000, true));
    wait_for("it is counted", || platform.metric("spore_invocations_total", "status=\"502\"") == 3.0);
    assert_eq!(platform.get("/function/boot/").json()["calls"], 1);
    assert_eq!(platform.metric("spore_parent_boots_total", "boot"), 1.0, "a cell died of it");
}

#[test]
fn many_requests_at_once_are_served_by_forks_of_their_own() {
    let platform = with_bootstrap(&["--timeout", "60s"]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = platform.connect();
                for _ in 0..25 {
                    assert_eq!(connection.get("/function/boot/").json()["calls"], 1);
                }
            });
        }
    });
    assert_eq!(platform.metric("spore_parent_boots_total", "boot"), 1.0);
}

#[test]
fn what_keeps_a_program_from_starting_is_told_at_deploy() {
    let platform = Platform::start();
    let package = package(&platform);
    let path = package.to_str().unwrap();
    let output = platform.spore(&["deploy", path, "--name", "boot", "--handler", "bootstrap fails"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("[ERROR] Runtime.NoDatabase") && text.contains("there is no database"), "{text}");
    assert!(text.contains("status 3"), "{text}");
    let args = ["--name", "boot", "--runtime", "provided.al2023", "--handler", "bootstrap restores"];
    platform.deploy(&package, &args);
    assert_eq!(platform.get("/function/boot/").json()["calls"], 1);
    fs::write(package.join("bootstrap"), "#!/bin/sh\n").unwrap();
    let output = platform.spore(&["deploy", path, "--name", "boot", "--handler", "bootstrap"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("is a script"), "{text}");
}

#[test]
fn the_example_on_the_rust_runtime_runs_unmodified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "rust-lambda"])
        .current_dir(&root)
        .status();
    assert!(cargo.expect("cargo built this test").success());
    let platform = Platform::start();
    platform.deploy(&root.join("target/release/bootstrap"), &["--name", "lambda"]);
    let mut connection = platform.connect();
    for name in ["Ada", "Grace", "Barbara"] {
        let response = connection.get(&format!("/function/lambda?name={name}"));
        assert_eq!((response.status, response.text()), (200, format!("Hello from Lambda, {name}!\n")));
    }
    let response = connection.get("/function/lambda?name=%20");
    assert_eq!((response.status, response.code().as_str()), (502, "FunctionError"));
    assert!(response.text().contains("the name is empty"), "{}", response.text());
}
