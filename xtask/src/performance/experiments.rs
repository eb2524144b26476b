//! What is run for the document.

use crate::apt::{Apt, provide};
use std::path::Path;
use std::process::Command;

/// Names of results: `bench-X` of `spore bench X`, `load-X` of `spore load experiment X`, `cargo-X` of `cargo bench --bench X`.
pub(super) const NAMES: [&str; 17] = [
    "cargo-costs",
    "cargo-inside",
    "cargo-compute",
    "cargo-programs",
    "cargo-generator",
    "bench-fork",
    "bench-density",
    "bench-baseline",
    "bench-soak",
    "load-latency",
    "load-knee",
    "load-burst",
    "load-density",
    "load-cold",
    "load-isolation",
    "load-soak",
    "load-peers",
];

/// Builds the release binary and runs one experiment, or all.
pub(super) fn run(root: &Path, results: &Path, only: Option<&str>, short: bool) -> Result<(), String> {
    let chosen: Vec<&str> = NAMES.into_iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        return Err(format!("no such experiment; there are: {}", NAMES.join(", ")));
    }
    std::fs::create_dir_all(results).map_err(|error| format!("{}: {error}", results.display()))?;
    // What is compiled while something is measured would be measured with it.
    let cargo = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root);
        cargo
    };
    execute(cargo().args(["build", "--release", "-p", "cli"]))?;
    for (name, package) in PACKAGES.iter().filter(|(name, _)| chosen.contains(name)) {
        execute(cargo().args(["bench", "--no-run"]).args(of_cargo(name, package)))?;
    }
    if chosen.contains(&"cargo-generator") {
        // Its yardstick.
        provide(&Apt::default(), "wrk", "wrk")?;
    }
    // Relative to the root, as the command is shown, and not to where a bench runs.
    let results = std::path::absolute(results).map_err(|error| format!("{}: {error}", results.display()))?;
    for name in chosen {
        eprintln!("== {name}");
        let json = results.join(format!("{name}.json"));
        let mut command = match PACKAGES.iter().find(|(other, _)| *other == name) {
            Some((name, package)) => {
                let mut command = cargo();
                command.arg("bench").args(of_cargo(name, package)).arg("--");
                command
            }
            None => {
                let mut command = Command::new(root.join("target/release/spore"));
                command.args(arguments(name, short));
                command
            }
        };
        execute(command.arg("--json").arg(json))?;
    }
    Ok(())
}

/// The packages of cargo's benches.
const PACKAGES: [(&str, &str); 5] = [
    ("cargo-costs", "vmm"),
    ("cargo-inside", "worker"),
    ("cargo-compute", "cli"),
    ("cargo-programs", "cli"),
    ("cargo-generator", "loadtest"),
];

/// Which bench it is, for cargo.
fn of_cargo<'a>(name: &'a str, package: &'a str) -> [&'a str; 4] {
    ["-p", package, "--bench", name.trim_start_matches("cargo-")]
}

/// The command line of an experiment of `spore`. A short one takes half an hour for all of them in place of hours.
fn arguments(name: &str, short: bool) -> Vec<&str> {
    let mut words = match name.split_once('-') {
        Some(("bench", what)) => vec!["bench", what],
        Some((_, what)) => vec!["load", "experiment", what],
        None => vec![name],
    };
    let more: &[&str] = match (name, short) {
        ("bench-fork", false) => &["--count", "1000"],
        ("bench-fork", true) => &["--count", "200"],
        ("bench-density", false) => &["--count", "10000", "--function", "python"],
        ("bench-density", true) => &["--count", "100"],
        ("bench-soak", false) => &["--forks", "1000000"],
        ("bench-soak", true) => &["--forks", "100000"],
        ("load-soak", false) => &["--duration", "31m"],
        ("load-soak", true) => &["--duration", "60s"],
        ("load-knee", true) => &["--precision", "0.1"],
        ("load-burst", true) => &["--sizes", "1,10,100"],
        ("load-density", true) => &["--counts", "1,10,100"],
        ("load-cold", true) => &["--calls", "4"],
        ("load-latency", true) => &["--calls", "8"],
        _ => &[],
    };
    words.extend(more);
    if short && words[0] == "load" && name != "load-soak" {
        words.extend(["--repetitions", "3", "--duration", "3s", "--warm-up", "1s"]);
    }
    words
}

fn execute(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_commands() {
        assert_eq!(arguments("bench-baseline", true), ["bench", "baseline"]);
        assert_eq!(arguments("load-knee", false), ["load", "experiment", "knee"]);
        assert_eq!(arguments("load-soak", true)[3..], ["--duration", "60s"]);
        assert_eq!(arguments("load-knee", true)[3..7], ["--precision", "0.1", "--repetitions", "3"]);
        assert_eq!(of_cargo("cargo-inside", "worker"), ["-p", "worker", "--bench", "inside"]);
        assert!(PACKAGES.iter().all(|(name, _)| NAMES.contains(name)));
    }
}
