//! Responses that come in parts.

use crate::http::Connection;
use crate::platform::{Platform, compile, function};
use crate::wait_for;
use std::io::Read;

fn with_streams(timeout: &str) -> Platform {
    deploy(Platform::start(), timeout)
}

fn deploy(platform: Platform, timeout: &str) -> Platform {
    let program = platform.data.path().join("streams");
    compile(&function("streams.c"), &program);
    platform.deploy(&program, &["--name", "streams", "--timeout", timeout]);
    platform
}

/// A connection on which the head of the response to this was read.
fn open(platform: &Platform, path: &str) -> Connection {
    let mut connection = platform.connect();
    connection.send("GET", &format!("/function/streams/{path}"), &[], b"");
    let head = connection.receive_head();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")), "{head:?}");
    connection
}

/// Reads to the end of the events; whether it is the proper end.
pub(crate) fn read_events(connection: &mut Connection) -> (String, bool) {
    let mut text = Vec::new();
    loop {
        match connection.chunk() {
            Some(chunk) if chunk.is_empty() => return (String::from_utf8(text).unwrap(), true),
            Some(chunk) => text.extend(chunk),
            None => return (String::from_utf8(text).unwrap(), false),
        }
    }
}

#[test]
fn events_arrive_while_the_function_runs_and_end_it_when_the_client_goes() {
    let platform = with_streams("300s");
    // The response never ends, so whatever arrives arrives before its end.
    let mut connection = open(&platform, "events");
    for number in 1..=5 {
        assert_eq!(connection.chunk().unwrap(), format!("data: {number}\n\n").as_bytes());
    }
    assert_eq!(platform.metric("spore_requests_in_flight", ""), 1.0);
    wait_for("no VM serves it", || platform.serving() == 1);
    drop(connection);
    wait_for("the request goes on", || platform.metric("spore_requests_in_flight", "") == 0.0);
    assert_eq!(platform.metric("spore_client_disconnects_total", ""), 1.0);
    assert_eq!(platform.get("/function/streams/").text(), "hello 1");
    wait_for("the VM is still there", || platform.is_idle());
}

#[test]
fn a_response_in_parts_ends_like_any_other() {
    let platform = with_streams("60s");
    let mut connection = platform.connect();
    for (path, expected) in [
        ("few", "data: 1\n\ndata: 2\n\ndata: 3\n\n"),
        ("length", "0123456789"),
        ("close", "until the end"),
        ("", "hello 1"),
    ] {
        let response = connection.get(&format!("/function/streams/{path}"));
        assert_eq!((response.status, response.text().as_str()), (200, expected), "{path}");
        assert!(response.header("x-spore-instance").is_some() && response.timing("run").is_some());
    }
    // The VM is used again as after any response.
    let last = connection.get("/function/streams/");
    assert_eq!((last.header("x-spore-start"), last.text().as_str()), (Some("recycled"), "hello 1"));
    let length = platform.get("/function/streams/length");
    assert_eq!(
        (length.header("content-length"), length.header("x-spore-start")),
        (Some("10"), Some("recycled"))
    );
    assert_eq!(platform.metric("spore_invocations_total", "status=\"200\""), 6.0);
    assert_eq!(platform.metric("spore_run_duration_seconds_count", "streams"), 6.0);
    let shown = platform.spore_ok(&["invoke", "streams", "--path", "/few"]);
    assert_eq!(shown, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
}

#[test]
fn a_response_may_be_longer_than_the_mailbox() {
    let platform = with_streams("120s");
    let mut connection = platform.connect();
    let large = connection.get("/function/streams/large");
    assert_eq!((large.status, large.body.len()), (200, 40_000_000));
    assert!(large.body.iter().all(|&byte| byte == b'l'));
    assert_eq!(connection.get("/function/streams/").text(), "hello 1");
}

/// Reads the events of `path` until they break off, and sees that it counts as the request number `number` that ended with
/// `status`, and that the next request is fine.
fn breaks_off(platform: &Platform, path: &str, status: &str, number: f64) {
    let (text, ended) = read_events(&mut open(platform, path));
    assert!(!ended && text.starts_with("data: 1\n\n"), "{path}: {text}");
    let count = || platform.metric("spore_invocations_total", &format!("status=\"{status}\""));
    wait_for(path, || count() == number);
    assert_eq!(platform.get("/function/streams/").text(), "hello 1", "after {path}");
}

#[test]
fn a_response_that_breaks_off_is_no_whole_one_for_the_client() {
    let platform = with_streams("60s");
    breaks_off(&platform, "dies", "502", 1.0);
    breaks_off(&platform, "broken", "502", 2.0);
    let logs = platform.spore_ok(&["logs", "streams"]);
    assert!(logs.contains("the response broke off: the function exited with status 7"), "{logs}");
    assert_eq!(platform.metric("spore_parent_boots_total", "streams"), 1.0, "a cell died of it");
}

#[test]
fn the_time_limit_is_for_the_whole_response() {
    breaks_off(&with_streams("10s"), "events", "504", 1.0);
}

#[test]
fn a_client_that_does_not_read_holds_the_function_back_until_its_time_is_over() {
    // Enough for the first part, which has 16 MiB, on a busy machine.
    let platform = deploy(Platform::start_with(&["--body-pause", "300"]), "40s");
    let mut connection = open(&platform, "flood");
    wait_for("it goes on", || platform.metric("spore_shells_discarded_total", "streams") >= 1.0);
    let mut received = 0;
    let mut piece = vec![0; 1 << 16];
    while let Ok(len @ 1..) = connection.stream().read(&mut piece) {
        received += len;
    }
    assert!(received > 1 << 16 && received < 100 << 20, "{received} bytes were on their way");
    wait_for("it is counted", || platform.metric("spore_invocations_total", "status=\"504\"") == 1.0);
    assert_eq!(platform.get("/function/streams/").text(), "hello 1");
}
