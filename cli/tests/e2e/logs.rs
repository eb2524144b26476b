//! Logs of any size, rate and encoding neither break nor block a function.

use crate::platform::Platform;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn output_of_any_size_and_encoding_is_kept_up_to_the_limit() {
    let platform = Platform::start().with_python_probe(&["--timeout", "30s"]);
    for size in [0, 1, 100, 70_000, 300_000] {
        let response = platform.get(&format!("/function/probe?do=log&size={size}&marker=m{size}"));
        assert_eq!(response.status, 200, "{size}: {}", response.text());
    }
    let log = platform.spore_ok(&["logs", "probe", "--tail", "10000"]);
    for size in [0, 1, 100, 70_000, 300_000] {
        assert!(log.contains(&format!("marker m{size}")), "the marker of {size} is missing");
    }
    assert!(log.contains("raw"), "bytes that are not UTF-8 are shown as well as they can be");
    assert!(log.matches('o').count() > 300_000);
}

#[test]
fn a_flood_is_cut_and_counted() {
    let platform = Platform::start().with_python_probe(&["--timeout", "60s", "--memory", "128MiB"]);
    let response = platform.get("/function/probe?do=flood&kilobytes=4096");
    assert_eq!((response.status, response.text().as_str()), (200, r#"{"done":true}"#));
    assert!(platform.metric("spore_log_dropped_bytes_total", "probe") >= 1_000_000.0);
    let after = platform.get("/function/probe?do=log&marker=after-the-flood");
    assert_eq!(after.status, 200);
    assert!(platform.spore_ok(&["logs", "probe"]).contains("after-the-flood"));
}

#[test]
fn a_million_lines_cost_others_nothing() {
    let platform = Platform::start().with_python_probe(&["--timeout", "60s"]);
    let response = platform.get("/function/probe?do=lines&lines=1000000");
    assert_eq!((response.status, response.text().as_str()), (200, r#"{"done":true}"#));
    assert!(platform.metric("spore_log_dropped_bytes_total", "probe") >= 900_000.0);
    assert_eq!(platform.get("/function/probe?do=log&marker=after-the-lines").status, 200);
    assert!(platform.spore_ok(&["logs", "probe"]).contains("after-the-lines"));
}

#[test]
fn a_follower_ends_when_the_function_is_removed() {
    let platform = Platform::start().with_python_probe(&[]);
    assert_eq!(platform.get("/function/probe?do=log&marker=first").status, 200);
    let mut follower =
        platform.command(&["logs", "probe", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("first")));
    assert_eq!(platform.get("/function/probe?do=log&marker=second").status, 200);
    assert!(lines.any(|line| line.unwrap().contains("second")));
    platform.spore_ok(&["rm", "probe"]);
    assert_eq!(lines.filter(|line| line.as_ref().unwrap().contains("marker")).count(), 0);
    assert!(follower.wait().unwrap().success());
}
