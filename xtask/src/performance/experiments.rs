//! What is run for the document.

use std::path::Path;
use std::process::Command;

/// Names of results: `bench-X` of `spore bench X`, `load-X` of `spore load experiment X`.
pub(super) const NAMES: [&str; 12] = [
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
    execute(Command::new(env!("CARGO")).args(["build", "--release", "-p", "cli"]).current_dir(root))?;
    for name in chosen {
        eprintln!("== {name}");
        let json = results.join(format!("{name}.json"));
        execute(
            Command::new(root.join("target/release/spore"))
                .args(arguments(name, short))
                .arg("--json")
                .arg(json),
        )?;
    }
    Ok(())
}

/// The command line of an experiment. A short one takes minutes for all of them in place of hours.
fn arguments(name: &str, short: bool) -> Vec<&str> {
    let usual = |long: &'static str, little: &'static str| if short { little } else { long };
    let mut words = match name.split_once('-') {
        Some(("bench", "fork")) => vec!["bench", "fork", "--count", usual("1000", "200")],
        Some(("bench", "density")) => vec!["bench", "density", "--count", usual("1000", "100")],
        Some(("bench", "soak")) => vec!["bench", "soak", "--forks", usual("1000000", "50000")],
        Some(("bench", what)) => return vec!["bench", what],
        Some((_, "soak")) => return vec!["load", "experiment", "soak", "--duration", usual("31m", "60s")],
        Some((_, what)) => vec!["load", "experiment", what],
        None => vec![name],
    };
    if short && words[0] == "load" {
        words.extend(["--quick", "--repetitions", "3"]);
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
        assert_eq!(arguments("load-knee", true)[3..], ["--quick", "--repetitions", "3"]);
    }
}
