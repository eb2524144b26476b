//! `cargo xtask check`: everything, and all failures at once.

use crate::tidy;
use std::path::Path;
use std::process::Command;

/// Format, clippy, tests: each with the arguments of cargo.
const STEPS: [(&str, &[&str]); 3] = [
    ("format", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("tests", &["test", "--workspace", "--no-fail-fast"]),
];

/// Runs every step, whatever the earlier ones say.
pub fn run(root: &Path) -> Result<(), String> {
    let mut failed = Vec::new();
    for (name, arguments) in STEPS {
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        let status = Command::new(env!("CARGO")).args(arguments).current_dir(root).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => failed.push(format!("{name}: {status}")),
            Err(error) => failed.push(format!("{name}: cargo cannot be started: {error}")),
        }
    }
    eprintln!("== tidy");
    if let Err(message) = tidy::run(root) {
        eprintln!("{message}");
        failed.push("tidy".to_owned());
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join("; "))) }
}
