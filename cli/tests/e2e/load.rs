//! Many requests at once, at the limits and while functions change.

use crate::platform::{Platform, function};
use crate::wait_for;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Sends `count` requests at once; their statuses.
fn at_once(platform: &Platform, count: usize, path: &str, body: &[u8]) -> Vec<u16> {
    let statuses = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let status = platform.connect().request("POST", path, &[], body).status;
                statuses.lock().unwrap().push(status);
            });
        }
    });
    statuses.into_inner().unwrap()
}

/// A VM whose fork wrote more than is worth restoring is replaced. The pool is full of those after each round.
#[test]
fn functions_that_write_a_lot_of_memory_answer_every_time() {
    let platform = Platform::start().with_python_probe(&["--timeout", "60s"]);
    let body = vec![b'x'; 1 << 20];
    for path in ["/function/probe?do=write&megabytes=20&sleep=0.5", "/function/probe?do=count"] {
        assert_eq!(at_once(&platform, 12, path, &body), [200; 12]);
        let response = platform.get("/function/probe?do=write&megabytes=20");
        assert_eq!(response.text(), r#"{"count":1}"#);
        assert_eq!(platform.connect().request("POST", path, &[], &body).status, 200);
    }
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0);
}

#[test]
fn no_request_fails_while_its_function_is_deployed_again() {
    let platform = Platform::start().with_python_probe(&[]);
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut connection = platform.connect();
                while !over.load(Ordering::Relaxed) {
                    let response = connection.get("/function/probe?do=count");
                    assert_eq!((response.status, response.text().as_str()), (200, r#"{"count":1}"#));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for revision in 0..3 {
            let before = answered.load(Ordering::Relaxed);
            let revision = format!("REVISION={revision}");
            let args = ["--name", "probe", "--handler", "probe.handler", "--env", &revision];
            platform.deploy(&function("probe.py"), &args);
            while answered.load(Ordering::Relaxed) == before {}
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 4.0);
}

#[test]
fn a_function_at_its_concurrency_limit_says_when_to_try_again() {
    // Longer than a busy machine takes to send them all.
    let args = ["--timeout", "10s", "--max-concurrency", "1"];
    let platform = Platform::start().with_python_probe(&args);
    let responses = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let response = platform.get("/function/probe?do=loop");
                responses.lock().unwrap().push(response);
            });
        }
    });
    let responses = responses.into_inner().unwrap();
    let refused: Vec<_> = responses.iter().filter(|response| response.status == 429).collect();
    // One place: while it is taken for the whole timeout twice, whoever waited as long is turned away.
    assert!(!refused.is_empty() && refused.len() < responses.len(), "{responses:?}");
    for response in refused {
        assert_eq!(response.code(), "Overloaded");
        // Ten seconds for each request that waits, and itself.
        let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    assert!(responses.iter().all(|response| matches!(response.status, 429 | 504)));
    assert_eq!(platform.get("/function/probe?do=count").status, 200);
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let platform = Platform::start_with_ulimit("-Sn 64").with_python_probe(&["--timeout", "60s"]);
    assert_eq!(at_once(&platform, 60, "/function/probe?do=sleep&seconds=1", b""), [200; 60]);
}

#[test]
fn a_lack_of_open_files_fails_requests_but_not_the_cell() {
    let platform = Platform::start_with_ulimit("-n 100").with_python_probe(&["--timeout", "60s"]);
    let statuses = at_once(&platform, 60, "/function/probe?do=sleep&seconds=10", b"");
    assert!(statuses.contains(&200) && statuses.contains(&500), "{statuses:?}");
    assert_eq!(platform.get("/function/probe?do=count").text(), r#"{"count":1}"#);
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0, "the cell died of it");
}

#[test]
fn a_removed_function_does_not_come_back_in_the_metrics() {
    let platform = Platform::start().with_python_probe(&["--timeout", "60s"]);
    let mut running = platform.connect();
    running.send("GET", "/function/probe?do=sleep&seconds=15", &[], b"");
    wait_for("it runs", || platform.metric("spore_requests_in_flight", "") >= 1.0);
    platform.spore_ok(&["rm", "probe"]);
    assert_eq!(running.receive().status, 200, "requests that run are finished");
    assert!(!platform.get("/metrics").text().contains("probe"));
}

#[test]
fn a_cell_gives_back_the_memory_of_large_responses() {
    let platform = Platform::start().with_native_probe(&["--timeout", "60s"]);
    let statuses = at_once(&platform, 16, "/function/native/large", b"");
    assert_eq!(statuses, [502; 16], "16 MiB of zeros are not HTTP");
    let status = format!("/proc/{}/status", platform.cell());
    // The last answer arrives a little before its buffer is freed.
    wait_for("more than 48 MiB are kept", || anonymous_kib(&status) <= 48 << 10);
    assert_eq!(platform.get("/function/native/").text(), "hello 1");
}

fn anonymous_kib(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
