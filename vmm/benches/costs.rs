//! What each step of a fork's life costs on this machine: `cargo bench -p vmm`.
#![expect(clippy::unwrap_used, reason = "a measurement ends at the first error")]

#[path = "../tests/machine/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod fixture;
#[path = "../tests/machine/guest.rs"]
mod guest;

use abi::layout::PROGRAM_VA;
use fixture::{COUNT, FILL, World, prepare, request};
use loadtest::bench::{Bench, digits};
use loadtest::report::{Better, Table};
use std::time::{Duration, Instant};
use vmm::{Exit, Kvm, Machine};

/// Median and 99th percentile of each step, in microseconds.
struct Steps {
    bench: Bench,
    table: Table,
}

impl Steps {
    fn show(&mut self, what: &str, mut times: Vec<Duration>) {
        times.sort();
        let mut row = vec![what.to_owned()];
        for share in [50, 99] {
            let us = times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
            self.bench.add(&format!("{what} p{share}"), "us", Better::Lower, us);
            row.push(digits(us));
        }
        self.table.rows.push(row);
    }
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
    let bench = Bench::begin(
        "costs",
        "What does each step of a fork's life cost, without any program in the VM?",
        "cargo bench -p vmm --bench costs",
    )
    .unwrap();
    let columns = ["step", "p50 us", "p99 us"].map(str::to_owned).to_vec();
    let table = Table { title: format!("Steps of a fork ({})", Kvm::kind()), columns, rows: Vec::new() };
    let mut steps = Steps { bench, table };
    shells(&world, &mut steps);
    for pages in [1, 100] {
        recycled(&world, pages, &mut steps);
    }
    steps.bench.show(steps.table);
    steps.bench.finish().unwrap();
}

fn shells(world: &World, steps: &mut Steps) {
    let [mut make, mut enter, mut run, mut drop_it] = [const { Vec::new() }; 4];
    for _ in 0..200 {
        let mut machine =
            timed(&mut make, || Machine::fork(&world.kvm, &world.parent, &world.images).unwrap());
        timed(&mut enter, || prepare(&mut machine, &request(&[COUNT])));
        assert_eq!(timed(&mut run, || machine.run().unwrap()), Exit::Doorbell);
        timed(&mut drop_it, || drop(machine));
    }
    steps.show("new shell", make);
    steps.show("new shell: enter and request", enter);
    steps.show("new shell: run", run);
    steps.show("drop", drop_it);
}

fn recycled(world: &World, pages: u64, steps: &mut Steps) {
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
    steps.show(&format!("recycled, {pages} pages written: enter and request"), enter);
    steps.show(&format!("recycled, {pages} pages written: run"), run);
    steps.show(&format!("recycled, {pages} pages written: run on"), again);
    steps.show(&format!("recycled, {pages} pages written: restore"), restore);
}
