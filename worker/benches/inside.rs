//! What system calls take in a guest, next to the same program on this machine: `cargo bench -p worker --bench inside`.
//! The two take turns. Only the ratios mean anything, and those of the median turn.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Guest, Programs};
use std::collections::BTreeMap;
use std::process::Command;

/// Turns of each side.
const TURNS: usize = 5;

/// What one turn says: name and ns of each measure.
fn figures(text: &str) -> Vec<(String, f64)> {
    let line = |line: &str| {
        let (name, ns) = line.split_once(' ')?;
        Some((name.to_owned(), ns.parse().ok()?))
    };
    text.lines().map(|text| line(text).unwrap_or_else(|| panic!("not a measure: {text}"))).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let programs = Programs::new();
    let speed = programs.compile("speed", &["-pthread"]);
    let small = programs.compile_text("small", "int main(void) { return 7; }", &[]);
    let guest = Guest::new().with_memory(128).with_libraries_of(&speed);
    let guest = guest.with_file("/bin/speed", &speed).with_file("/bin/small", &small);
    let mut turns: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for _ in 0..TURNS {
        let output = Command::new(&speed).arg(&small).output().expect("it runs on the host");
        let native = figures(&String::from_utf8(output.stdout).expect("text"));
        let inside = figures(&guest.run(&["/bin/speed", "/bin/small"]).exited(0).out());
        assert!(native.len() == inside.len() && !native.is_empty(), "{native:?} {inside:?}");
        for ((name, native), (_, inside)) in native.into_iter().zip(inside) {
            turns.entry(name).or_default().push((native, inside));
        }
    }
    println!("{:<18}{:>12}{:>12}{:>8}", "ns", "native", "guest", "ratio");
    for (name, turns) in turns {
        let native = median(turns.iter().map(|turn| turn.0).collect());
        let inside = median(turns.iter().map(|turn| turn.1).collect());
        let ratio = median(turns.iter().map(|turn| turn.1 / turn.0).collect());
        println!("{name:<18}{native:>12.0}{inside:>12.0}{ratio:>8.2}");
    }
}
