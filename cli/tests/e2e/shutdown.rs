//! Ctrl-C under load: it ends soon, whatever runs, and leaves no process behind.

use crate::platform::Platform;
use crate::process::wait_until_gone;
use crate::wait_for;
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
    wait_for("not all run", || platform.serving() == running.len());
    let cell = platform.cell();
    let mut finishing = platform.connect();
    // Less than the 10 s that running requests get.
    finishing.send("GET", "/function/probe?do=sleep&seconds=3", &[], b"");
    let answer = thread::spawn(move || finishing.receive().status);
    // Where it is seen too late it has been answered.
    wait_for("it does not run", || {
        platform.metric("spore_requests_in_flight", "") >= 5.0 || answer.is_finished()
    });
    let begun = Instant::now();
    assert!(platform.interrupt().success());
    // 10 s for running requests, then their VMs are destroyed.
    assert!(begun.elapsed() < Duration::from_secs(120), "it took {:?}", begun.elapsed());
    assert_eq!(answer.join().unwrap(), 200, "a request that can finish is finished");
    wait_until_gone(cell);
    assert!(follower.wait().is_ok());
    running.clear();
}
