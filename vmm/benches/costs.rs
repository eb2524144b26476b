//! What each step of a fork's life costs on this machine: `cargo bench -p vmm`.
#![expect(clippy::unwrap_used, reason = "a measurement ends at the first error")]

#[path = "../tests/machine/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod fixture;
#[path = "../tests/machine/guest.rs"]
mod guest;

use abi::layout::PROGRAM_VA;
use fixture::{COUNT, FILL, World, prepare, request};
use std::time::{Duration, Instant};
use vmm::{Exit, Kvm, Machine};

/// Median and 99th percentile of `times`, in microseconds.
fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
    println!("{what:<44} {:>10.1} {:>10.1}", at(50), at(99));
}

/// Runs `step` and adds how long it took to `times`.
fn timed<T>(times: &mut Vec<Duration>, step: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = step();
    times.push(begin.elapsed());
    result
}

fn main() {
    let world = World::new();
    println!("KVM: {}. Microseconds: {:>33} {:>10}", Kvm::kind(), "p50", "p99");
    shells(&world);
    for pages in [1, 100] {
        recycled(&world, pages);
    }
}

fn shells(world: &World) {
    let [mut make, mut enter, mut run, mut drop_it] = [const { Vec::new() }; 4];
    for _ in 0..200 {
        let mut machine =
            timed(&mut make, || Machine::fork(&world.kvm, &world.parent, &world.images).unwrap());
        timed(&mut enter, || prepare(&mut machine, &request(&[COUNT])));
        assert_eq!(timed(&mut run, || machine.run().unwrap()), Exit::Doorbell);
        timed(&mut drop_it, || drop(machine));
    }
    show("new shell", make);
    show("new shell: enter and request", enter);
    show("new shell: run", run);
    show("drop", drop_it);
}

fn recycled(world: &World, pages: u64) {
    let write = request(&[FILL, PROGRAM_VA, pages * 4096, 7]);
    let mut machine = world.fork(&write);
    let [mut enter, mut run, mut again, mut restore] = [const { Vec::new() }; 4];
    for round in 0..2000 {
        assert_eq!(timed(&mut run, || machine.run().unwrap()), Exit::Doorbell);
        if round % 2 == 1 {
            assert_eq!(timed(&mut again, || machine.run().unwrap()), Exit::Doorbell);
        }
        timed(&mut restore, || machine.restore().unwrap());
        timed(&mut enter, || prepare(&mut machine, &write));
    }
    show(&format!("recycled, {pages} pages written: enter and request"), enter);
    show(&format!("recycled, {pages} pages written: run"), run);
    show(&format!("recycled, {pages} pages written: run on"), again);
    show(&format!("recycled, {pages} pages written: restore"), restore);
}
