//! End to end: the real binary, real VMs, a real client. One platform per test.

mod bad_input;
mod hostile_guest;
mod http;
mod identity;
mod logs;
mod platform;
mod pristine;
mod sharing;
mod survival;
