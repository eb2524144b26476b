//! Ctrl-C under load: it ends soon, whatever runs, and leaves no process behind.

use crate::wait_for;
use crate::platform::{Platform, wait_until_gone};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn shutdown_under_load_ends_and_leaves_no_cell() {
    let platform = Platform::start().with_python_probe(&["--timeout", "10m"]);
    let mut follower =
        platform.command(&["logs", "probe", "--follow"]).stdout(Stdio::null()).spawn().unwrap();
    let mut running: Vec<_> = ["loop", "sleep&seconds=600", "loop", "sleep&seconds=600"]
        .map(|what| {
            let mut connection = platform.connect();
            connection.send("GET", &format!("/function/probe?do={what}"), &[], b"");
            connection
        })
        .into();
    let mut finishing = platform.connect();
    // Less than the 10 s that running requests get, but long enough to see them all on a busy machine.
    finishing.send("GET", "/function/probe?do=sleep&seconds=7", &[], b"");
    wait_for("all run", || {
        platform.metric("spore_requests_in_flight", "") >= 5.0 && platform.vms().len() >= 5
    });
    let cell = platform.cell();
    let begun = Instant::now();
    let answer = thread::spawn(move || finishing.receive().status);
    assert!(platform.interrupt().success());
    // 10 s for running requests, then their VMs are destroyed.
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    assert_eq!(answer.join().unwrap(), 200, "a request that can finish is finished");
    wait_until_gone(cell);
    assert!(follower.wait().is_ok());
    running.clear();
}
