//! End to end: the real binary, real VMs, a real client. One platform per test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod cells;
mod crashes;
mod hostile_guest;
mod http;
mod identity;
mod load;
mod logs;
mod node;
mod platform;
mod pristine;
mod programs;
mod provided;
mod requirements;
mod sharing;
mod shutdown;
mod snapshots;
mod spares;
mod streams;
mod survival;
