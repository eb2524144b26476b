//! Programs that ask for anything: pico answers or ends the program, never itself, and the next VM is not concerned.

mod common;

use abi::mailbox::Doorbell;
use common::{End, Guest, Outcome, Programs};

/// Runs the fuzzer with `seed`, `calls` a thread, and `threads`.
fn fuzz(programs: &Programs, seed: u32, calls: u32, threads: u32) -> Outcome {
    let program = programs.compile("fuzz", &["-static"]);
    let guest = Guest::new().with_file("/bin/fuzz", &program);
    guest.run(&["/bin/fuzz", &seed.to_string(), &calls.to_string(), &threads.to_string()])
}

/// Asserts that the program came to its end, or was killed for want of memory.
fn ended(outcome: &Outcome) {
    let killed = outcome.memory_refused && outcome.end == End::Doorbell(Doorbell::Signal, 9, String::new());
    let exited = outcome.end == End::Doorbell(Doorbell::Exit, 0, String::new());
    assert!(exited || killed, "{outcome:#?}");
}

#[test]
fn random_calls_of_one_thread_are_answered() {
    let programs = Programs::new();
    for seed in 1..=2 {
        ended(&fuzz(&programs, seed, 6_000, 1));
    }
}

#[test]
fn random_calls_of_several_threads_are_answered() {
    let programs = Programs::new();
    for seed in 1..=2 {
        ended(&fuzz(&programs, seed, 1_500, 4));
    }
}

#[test]
fn processes_that_make_any_calls_at_all_harm_themselves_only() {
    let programs = Programs::new();
    let program = programs.compile("fuzz", &["-static"]);
    let guest = Guest::new().with_file("/bin/fuzz", &program);
    for seed in ["1", "22"] {
        let outcome = guest.run(&["/bin/fuzz", seed, "400", "40", "wild"]);
        assert!(outcome.exited(0).out().contains("40 ended\n"));
    }
}
