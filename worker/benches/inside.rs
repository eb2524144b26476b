//! What system calls take in a guest, next to the same program on this machine: `cargo bench -p worker --bench inside`.
//! The two take turns. Only the ratios mean anything, and those of the median turn.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Guest, Programs};
use loadtest::bench::{Bench, Turns};
use loadtest::report::Better;
use std::process::Command;

/// Turns of each side.
const TURNS: usize = 5;

fn main() -> std::io::Result<()> {
    let mut bench = Bench::begin(
        "inside",
        "What do system calls take in a guest, next to the same program on this machine?",
        "cargo bench -p worker --bench inside",
    )?;
    bench.set("turns", TURNS);
    let programs = Programs::new();
    let speed = programs.compile("speed", &["-pthread"]);
    let small = programs.compile_text("small", "int main(void) { return 7; }", &[]);
    let guest = Guest::new().with_memory(128).with_libraries_of(&speed);
    let guest = guest.with_file("/bin/speed", &speed).with_file("/bin/small", &small);
    let mut turns = Turns::between(["native", "guest"], "System calls", "ns", Better::Lower);
    for _ in 0..TURNS {
        let output = Command::new(&speed).arg(&small).output()?;
        let native = String::from_utf8_lossy(&output.stdout).into_owned();
        let inside = guest.run(&["/bin/speed", "/bin/small"]).exited(0).out();
        turns.printed([&native, &inside], 1.0).unwrap_or_else(|error| panic!("{error}"));
    }
    bench.turns(turns);
    bench.finish().map(drop)
}
