//! Other processes.

use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

/// Far more than the end of a process takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Sends a signal to a process of the test.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the process exists");
}

/// Waits until a process has ended (or is a zombie that nobody waits for).
pub(crate) fn wait_until_gone(pid: u32) {
    let begun = Instant::now();
    loop {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, comes before the state.
        if state.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z")) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "process {pid} is still there: {state}");
        std::thread::yield_now();
    }
}
