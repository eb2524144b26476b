//! End to end: the real binary, real VMs, a real client. One platform per test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod axum;
mod bad_input;
#[path = "../common/cargo.rs"]
mod cargo;
mod cells;
mod crashes;
mod hostile_guest;
mod http;
mod identity;
mod load;
mod load_trace;
mod logs;
#[path = "../../../loadtest/tests/native/mod.rs"]
mod native;
mod node;
mod platform;
mod pristine;
#[path = "../common/process.rs"]
mod process;
mod programs;
mod provided;
mod requirements;
mod sharing;
mod shutdown;
mod snapshots;
mod spares;
mod streams;
mod survival;
mod upgrades;
mod uploads;
mod workloads;

use std::time::{Duration, Instant};

/// No wait is longer: far more than a slow machine takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until this is so.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
