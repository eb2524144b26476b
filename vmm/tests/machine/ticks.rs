//! Interrupting a guest that asks for it.

use crate::fixture::{COUNT, SPIN, World, answer, number, prepare, request};
use abi::layout::{KERNEL_VA, MAILBOX_VA, PROGRAM_VA};
use std::time::Duration;
use vmm::Exit;

/// Where the guest's endless loop is.
const LOOP: u64 = PROGRAM_VA + 4096;
/// More than a hundred ticks take.
const LONG: Duration = Duration::from_secs(1);

#[test]
fn a_guest_that_asks_for_ticks_is_interrupted_again_and_again() {
    let world = World::new();
    let mut machine = world.fork(&request(&[SPIN, LOOP, 0]));
    assert_eq!(number(&answer(&mut machine)), 1);
    machine.restore().unwrap();
    prepare(&mut machine, &request(&[COUNT]));
    assert_eq!(number(&answer(&mut machine)), 1, "what the last guest asked for is forgotten");
}

/// Runs a guest that never ends by itself and returns how it was stopped.
fn stopped(words: &[u64]) -> Exit {
    let world = World::new();
    let mut machine = world.fork(&request(words));
    let kicker = machine.kicker();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(LONG);
            kicker.kick();
        });
        machine.run().unwrap()
    })
}

#[test]
fn whoever_asks_for_ticks_outside_of_the_kernel_gets_none() {
    // Behind the loop lies what faults.
    for entry in [1, LOOP + 2, MAILBOX_VA, KERNEL_VA - 1, 1 << 47, u64::MAX] {
        assert_eq!(stopped(&[SPIN, LOOP, entry]), Exit::Kicked, "{entry:#x}");
    }
}

#[test]
fn a_kernel_that_runs_is_not_interrupted() {
    // The loop lies in the kernel's own area.
    assert_eq!(stopped(&[SPIN, KERNEL_VA + 0xf_0000, 0]), Exit::Kicked);
}
