//! Children of parents that are still being read: real VMs, real files. All of this needs `/dev/kvm` and userfaultfd.
#![expect(clippy::unwrap_used, reason = "tests, and helpers of tests")]

#[path = "../../../vmm/tests/machine/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests of vmm, which use all of it")]
mod fixture;
#[path = "../../../vmm/tests/machine/guest.rs"]
mod guest;

mod children;
mod failures;
mod processes;
mod restores;
mod rig;
mod source;
mod storage;
