//! The client commands against a fake platform: what is sent, what is printed, and the exit codes.

mod common;

use common::fake::Fake;
use common::{code, run, spore, stderr, stdout};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};

fn against(fake: &Fake, arguments: &[&str]) -> Output {
    let all: Vec<&str> = arguments.iter().copied().chain(["--url", &fake.url]).collect();
    run(&all)
}

#[test]
fn an_answer_goes_to_stdout_byte_by_byte() {
    let fake = Fake::answering("200 OK", &["Server-Timing: run;dur=1.25, total;dur=2"], "no newline");
    let output = against(&fake, &["invoke", "hello", "-v"]);
    assert_eq!(code(&output), 0);
    assert_eq!(stdout(&output), "no newline");
    assert!(stderr(&output).contains("run 1.25 ms, total 2.00 ms"), "{}", stderr(&output));
    assert_eq!(fake.request().line, "GET /function/hello/ HTTP/1.1");
}

#[test]
fn data_is_posted_with_its_type() {
    let fake = Fake::answering("200 OK", &[], "");
    against(&fake, &["invoke", "f", "--data", "{\"a\": 1}", "--path", "x?y=z"]);
    let request = fake.request();
    assert_eq!(request.line, "POST /function/f/x?y=z HTTP/1.1");
    assert!(request.headers.contains(&"content-type: application/json".to_owned()));
    assert_eq!(request.body, b"{\"a\": 1}");
    against(&fake, &["invoke", "f", "--data", "plain", "--method", "put"]);
    let request = fake.request();
    assert!(request.line.starts_with("PUT "));
    assert!(request.headers.contains(&"content-type: text/plain; charset=utf-8".to_owned()));
}

#[test]
fn data_can_come_from_standard_input() {
    let fake = Fake::answering("200 OK", &[], "");
    let mut child = spore(&["invoke", "f", "--data", "-", "--url", &fake.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(b"[1,2]").expect("written");
    assert!(child.wait().expect("ends").success());
    assert_eq!(fake.request().body, b"[1,2]");
}

#[test]
fn failures_have_exit_codes_of_their_own() {
    for (status, kind, exit) in [
        ("404 Not Found", "FunctionNotFound", 3),
        ("502 Bad Gateway", "FunctionError", 5),
        ("504 Gateway Timeout", "FunctionTimeout", 124),
        ("403 Forbidden", "Forbidden", 4),
        ("500 Internal Server Error", "Platform", 1),
        ("429 Too Many Requests", "Overloaded", 1),
    ] {
        let fake = Fake::failing(status, kind);
        let output = against(&fake, &["invoke", "f"]);
        assert_eq!(code(&output), exit, "{status}");
        let text = stderr(&output);
        assert!(text.contains("it failed") && text.contains(kind), "{text}");
        assert!(text.contains("hint: try this") && text.contains("  boom"), "{text}");
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn an_error_status_of_the_function_keeps_its_body() {
    let fake = Fake::answering("500 Internal Server Error", &["x-request-id: r1"], "my own words");
    let output = against(&fake, &["invoke", "f"]);
    assert_eq!(code(&output), 5);
    assert_eq!(stdout(&output), "my own words");
    assert!(stderr(&output).contains("the function answered 500"), "{}", stderr(&output));
}

#[test]
fn json_output_holds_the_whole_answer() {
    let headers = ["Content-Type: application/json", "Server-Timing: fork;dur=0.5"];
    let fake = Fake::answering("201 Created", &headers, "{\"n\": 1}");
    let output = against(&fake, &["invoke", "f", "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&value["status"], &value["body"]), (&json!(201), &json!({"n": 1})));
    assert_eq!(value["timing_ms"]["fork"], 0.5);
    assert_eq!(value["headers"]["content-type"], "application/json");
}

#[test]
fn lists_are_tables_or_json() {
    let body = json!({"functions": [{
        "name": "hello", "path": "/function/hello", "runtime": "python3.11", "revision": "r7", "state": "failed",
        "reason": "it\nfell over", "deployed_at": "2026-01-01T00:00:00Z"
    }]});
    let fake = Fake::answering("200 OK", &[], &body.to_string());
    let table = stdout(&against(&fake, &["ls"]));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("NAME"));
    assert!(lines[1].contains("failed (it)") && lines[1].ends_with(&format!("{}/function/hello", fake.url)));
    let value: Value = serde_json::from_slice(&against(&fake, &["list", "-o", "json"]).stdout).expect("JSON");
    assert_eq!(value, body);
}

#[test]
fn live_vms_are_shown_in_human_units() {
    let body = json!({"vms": [{
        "id": "hello-12-0", "function": "hello", "pid": 12, "state": "idle", "age_seconds": 61.5, "served": 3,
        "memory_address": 4096, "shared_bytes": 1_048_576, "private_bytes": 2048, "pss_bytes": 4096
    }]});
    let table = stdout(&against(&Fake::answering("200 OK", &[], &body.to_string()), &["ps"]));
    let cells: Vec<&str> =
        table.lines().nth(1).expect("a row").split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
    assert_eq!(cells, ["hello-12-0", "hello", "12", "idle", "1m01s", "3", "1.0 MiB", "2.0 KiB", "4.0 KiB"]);
}

#[test]
fn logs_are_printed_line_by_line() {
    let line = |seq: u64, stream: &str, text: &str| json!({"seq": seq, "ts": "2026-01-01T00:00:00Z", "stream": stream, "request_id": "r1", "line": text});
    let body = format!("{}\n{}\n", line(1, "stdout", "one"), line(2, "stderr", "two"));
    let fake = Fake::answering("200 OK", &["Content-Type: application/x-ndjson"], &body);
    let output = against(&fake, &["logs", "hello", "--tail", "7"]);
    assert_eq!(stdout(&output), "2026-01-01T00:00:00Z stdout r1 one\n2026-01-01T00:00:00Z stderr r1 two\n");
    assert_eq!(fake.request().line, "GET /v1/functions/hello/logs?follow=false&tail=7 HTTP/1.1");
    let output = against(&fake, &["logs", "hello", "-o", "json"]);
    assert_eq!(stdout(&output), body);
}

#[test]
fn removing_goes_on_after_a_failure() {
    let fake = Fake::failing("404 Not Found", "FunctionNotFound");
    let output = against(&fake, &["rm", "one", "two"]);
    assert_eq!(code(&output), 3);
    assert_eq!(stderr(&output).matches("it failed").count(), 2);
    assert_eq!(fake.request().line, "DELETE /v1/functions/one HTTP/1.1");
    assert_eq!(fake.request().line, "DELETE /v1/functions/two HTTP/1.1");
}

#[test]
fn a_deploy_sends_configuration_and_package() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join("app.py"), "def handler(e, c): pass\n").expect("write");
    std::fs::write(dir.path().join("spore.toml"), "name = \"named\"\ntimeout = \"9s\"\n").expect("write");
    let body = json!({
        "name": "named", "path": "/function/named", "runtime": "python3.11", "revision": "r", "state": "ready",
        "reason": "", "deployed_at": "now", "contract": "handler", "handler": "app.handler", "memory_bytes": 1,
        "timeout_ms": 9000, "env": ["A"], "port": 8080, "max_concurrency": 1, "package_sha256": "00",
        "stats": {
            "parent_boots": 1, "cell_starts": 1, "parent_loads": 0, "parent_evictions": 0, "forks_recycled": 0, "forks_new": 0, "shells_discarded": 0, "shells": 0,
            "log_dropped_bytes": 0, "unsupported": {"ptrace": 2}, "parent": null
        }
    });
    let fake = Fake::answering("201 Created", &[], &body.to_string());
    let output = against(&fake, &["deploy", dir.path().to_str().expect("UTF-8"), "--env", "A=b=c"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("{}/function/named\n", fake.url));
    let request = fake.request();
    assert_eq!(request.line, "PUT /v1/functions/named HTTP/1.1");
    let sent = String::from_utf8_lossy(&request.body).into_owned();
    assert!(sent.contains(r#""timeout":"9s""#) && sent.contains(r#""env":{"A":"b=c"}"#), "{sent}");
    assert!(sent.contains("def handler(e, c): pass"));
    let described = stdout(&against(&fake, &["describe", "named"]));
    assert!(described.contains("Timeout:          9.00 s") && described.contains("  ptrace"), "{described}");
}

#[test]
fn a_refused_deploy_shows_the_programs_output() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join("app.py"), "import nothing\n").expect("write");
    let fake = Fake::failing("422 Unprocessable Entity", "DeployRefused");
    let output = against(&fake, &["deploy", dir.path().join("app.py").to_str().expect("UTF-8")]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("output of the program:\n  Traceback\n  boom"), "{}", stderr(&output));
}

#[test]
fn an_answer_of_something_else_is_not_believed() {
    let output = against(&Fake::answering("200 OK", &[], "<html>"), &["ls"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("not what this version of spore expects"), "{}", stderr(&output));
}

#[test]
fn ctrl_c_is_exit_code_130() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let mut child = spore(&["logs", "f", "--follow", "--url", &url]).spawn().expect("starts");
    let (stream, _) = silent.accept().expect("it connects");
    let mut head = String::new();
    BufReader::new(&stream).read_line(&mut head).expect("it asks");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
}
