//! Fibonacci numbers the slow way, by recursion (vSwarm fibonacci). Check: adding up gives the same.

use rust_workloads::{Given, Kind, Workload};
use std::hint::black_box;

const PARAMETERS: &[(&str, Kind)] = &[("n", Kind::Number { least: 0, most: 42, usual: 27 })];

fn main() -> std::io::Result<()> {
    Workload { name: "fibonacci-rust", parameters: PARAMETERS, work }.serve()
}

fn work(given: &Given) -> Result<String, String> {
    let n = given.number("n");
    let slow = recursive(n);
    let (fast, _) = (0..n).fold((0_u64, 1_u64), |(a, b), _| (b, a + b));
    if slow == fast {
        Ok(format!("{{\"fibonacci\":{slow}}}"))
    } else {
        Err(format!("recursion gives {slow}, addition {fast}"))
    }
}

fn recursive(n: u64) -> u64 {
    // The calls are the work: the compiler must not see through them.
    let n = black_box(n);
    if n < 2 { n } else { recursive(n - 1) + recursive(n - 2) }
}
