//! Stopping a guest from outside.

use crate::fixture::{COUNT, FOREVER, World, answer, number, prepare, request};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use vmm::{Discard, Exit};

/// Far more than a kick may take on a busy machine.
const PROMPT: Duration = Duration::from_secs(120);

#[test]
fn an_endless_loop_is_stopped_from_another_thread() {
    let world = World::new();
    let mut machine = world.fork(&request(&[FOREVER]));
    let kicker = machine.kicker();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| machine.run().unwrap());
        kicker.kick();
        assert_eq!(other.join().unwrap(), Exit::Kicked);
    });
    assert!(begin.elapsed() < PROMPT);
    assert_eq!(machine.run().unwrap(), Exit::Kicked, "a kick stays");
    assert!(matches!(machine.restore(), Err(Discard::NotAtDoorbell)));
}

#[test]
fn a_kick_before_the_run_is_not_lost_and_can_be_taken_back() {
    let world = World::new();
    let mut machine = world.fork(&request(&[COUNT]));
    let kicker = machine.kicker();
    kicker.kick();
    assert_eq!(machine.run().unwrap(), Exit::Kicked);
    assert_eq!(machine.run().unwrap(), Exit::Kicked);
    kicker.clear_kick();
    assert_eq!(number(&answer(&mut machine)), 1);
}

#[test]
fn a_kick_after_the_end_is_harmless() {
    let world = World::new();
    let machine = world.fork(&request(&[COUNT]));
    let kicker = machine.kicker();
    drop(machine);
    kicker.kick();
    kicker.clear_kick();
    assert!(!kicker.is_kicked());
}

#[test]
fn kicks_at_any_moment_of_short_runs_are_never_lost() {
    let world = World::new();
    let mut machine = world.fork(&request(&[COUNT]));
    let kicker = machine.kicker();
    let (start, stop) = (Barrier::new(2), Barrier::new(2));
    const ROUNDS: u32 = 300;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                start.wait();
                (0..round * 20).for_each(|_| std::hint::spin_loop());
                kicker.kick();
                stop.wait();
            }
        });
        for _ in 0..ROUNDS {
            start.wait();
            // Short runs one after the other, until the kick shows.
            while machine.run().unwrap() != Exit::Kicked {}
            stop.wait();
            machine.kicker().clear_kick();
        }
    });
    assert!(number(&answer(&mut machine)) > 0);
}

#[test]
fn a_kicked_and_cleared_machine_is_restored_like_any_other() {
    let world = World::new();
    let mut machine = world.fork(&request(&[COUNT]));
    machine.kicker().kick();
    assert_eq!(machine.run().unwrap(), Exit::Kicked);
    machine.kicker().clear_kick();
    answer(&mut machine);
    machine.restore().unwrap();
    prepare(&mut machine, &request(&[COUNT]));
    assert_eq!(number(&answer(&mut machine)), 1);
}
