//! Cells that die, stop and hang: their function answers again, and nobody else notices.

use crate::platform::{Platform, function};
use crate::process::{signal, wait_until_gone};
use crate::{PATIENCE, wait_for};
use rustix::process::Signal;
use std::time::Instant;

const FINE: &str = r#"{"count":1}"#;

#[test]
fn an_idle_cell_that_dies_costs_no_request() {
    let platform = Platform::start().with_python_probe(&[]);
    for died in 0..3 {
        assert_eq!(platform.get("/function/probe?do=count").text(), FINE, "after {died} deaths");
        let cell = platform.cell();
        signal(cell, Signal::KILL);
        wait_until_gone(cell);
    }
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    assert_eq!(platform.metric("spore_cell_starts_total", "probe"), 4.0);
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0, "the parent outlives its cells");
}

#[test]
fn a_cell_that_dies_takes_only_its_own_requests_with_it() {
    let platform = Platform::start().with_python_probe(&["--timeout", "10m"]);
    let args = ["--name", "other", "--handler", "probe.handler", "--timeout", "60s"];
    platform.deploy(&function("probe.py"), &args);
    let mut doomed = platform.connect();
    doomed.send("GET", "/function/probe?do=sleep&seconds=500", &[], b"");
    let serving = |platform: &Platform| {
        platform.vms().iter().any(|vm| vm["function"] == "probe" && vm["state"] == "serving")
    };
    wait_for("it is served", || serving(&platform));
    let cell = platform.cell_of("probe");
    let mut other = platform.connect();
    other.send("GET", "/function/other?do=sleep&seconds=1", &[], b"");
    signal(cell, Signal::KILL);
    let response = doomed.receive();
    assert_eq!((response.status, response.code().as_str()), (500, "Platform"), "{}", response.text());
    assert_eq!(other.receive().status, 200);
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
}

#[test]
fn clients_that_leave_do_not_stop_a_rebuild() {
    let platform = Platform::start().with_python_probe(&[]);
    assert_eq!(platform.get("/function/probe?do=count").status, 200);
    let cell = platform.cell();
    signal(cell, Signal::KILL);
    wait_until_gone(cell);
    let starts = || platform.metric("spore_cell_starts_total", "probe");
    let mut impatient = platform.connect();
    impatient.send("GET", "/function/probe?do=count", &[], b"");
    // Only a rebuild that has begun may be expected to end.
    let begun = Instant::now();
    let rebuilding = || platform.cell_processes().iter().any(|pid| *pid != cell);
    while !rebuilding() {
        assert!(begun.elapsed() < PATIENCE, "no rebuild began");
    }
    drop(impatient);
    wait_for("the rebuild went away with its client", || starts() >= 2.0);
}

#[test]
fn a_cell_that_hangs_is_replaced() {
    let platform = Platform::start().with_python_probe(&["--timeout", "10s"]);
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    signal(platform.cell(), Signal::STOP);
    // A signal takes its time to reach all threads.
    while platform.get("/function/probe?do=count").status != 504 {}
    assert!(platform.vms().is_empty(), "a cell that hangs cannot be asked, and is not waited for");
    wait_for("the function never came back", || platform.get("/function/probe?do=count").text() == FINE);
}
