//! Recycling children of lazy parents.

use crate::fixture::{COUNT, FILL, answer, number, prepare, request, run};
use crate::rig::{Rig, expected, load, ram};
use abi::layout::{HUGE, PAGE, PROGRAM_VA};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Sequences tried, every few with a new parent, of which nothing has been read.
const SEQUENCES: u32 = 24;
const PER_PARENT: u32 = 6;

#[test]
fn a_restored_child_answers_like_a_new_one() {
    let rig = Rig::new(2);
    let mut machine = rig.lazy_child(&request(&[COUNT]));
    for round in 0..20 {
        assert_eq!(number(&answer(&mut machine)), expected(0) + 1, "round {round}");
        assert!(machine.restore().unwrap().ram_pages > 0);
        prepare(&mut machine, &request(&[COUNT]));
    }
    let mut fresh = rig.lazy_child(&request(&[COUNT]));
    assert_eq!(number(&answer(&mut fresh)), expected(0) + 1);
}

#[test]
fn memory_is_the_parents_whatever_was_written_while_it_was_read() {
    let program = (PROGRAM_VA..PROGRAM_VA + 6 * HUGE, 1..40 * PAGE, any::<u8>());
    let deeds = prop::collection::vec(program, 1..6);
    let state = std::cell::RefCell::new((0_u32, Rig::new(usize::MAX)));
    let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&deeds, |deeds| {
        let mut state = state.borrow_mut();
        state.0 += 1;
        if state.0.is_multiple_of(PER_PARENT) {
            state.1 = Rig::new(usize::MAX);
        }
        let rig = &state.1;
        let [mut lazy, mut eager] = [&rig.lazy, &rig.eager].map(|parent| rig.fork(parent, &[]));
        for (address, len, byte) in deeds {
            let deed = request(&[FILL, address, len, byte.into()]);
            for machine in [&mut lazy, &mut eager] {
                machine.mailbox().set_request(&deed).unwrap();
                answer(machine);
            }
        }
        prop_assert!(ram(&lazy) == ram(&eager), "RAM differs from an eager child's");
        lazy.restore().unwrap();
        eager.restore().unwrap();
        prop_assert!(ram(&lazy) == ram(&eager), "restored RAM differs from an eager child's");
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_child_mapped_anew_is_still_paged_in() {
    let rig = Rig::new(2);
    let mut machine = rig.lazy_child(&request(&[COUNT]));
    answer(&mut machine);
    machine.remap().unwrap();
    let faults = rig.handler.counters().faults;
    prepare(&mut machine, &load(1000));
    assert_eq!(number(&answer(&mut machine)), expected(1000));
    assert!(rig.handler.counters().faults > faults);
    machine.remap().unwrap();
    rig.handler.fail_all("the worker is gone");
    prepare(&mut machine, &load(1040));
    assert!(
        matches!(run(&mut machine), vmm::Exit::PageLost(reason) if reason.contains("the worker is gone"))
    );
}
