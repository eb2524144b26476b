//! Real VMs with a small guest kernel made for the purpose. All of this needs `/dev/kvm`.
#![expect(clippy::unwrap_used, reason = "tests, and helpers of tests")]

mod fixture;
mod fork;
mod guest;
mod hostile;
mod kick;
mod open;
mod prefault;
mod property;
mod recycle;
mod specialize;
mod stats;
mod ticks;
