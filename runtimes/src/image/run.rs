//! Running one helper program and keeping what it said when it fails.

use std::io;
use std::process::{Command, Stdio};

/// Most bytes of a failed program's output that are quoted.
const QUOTE_MAX: usize = 1500;

/// Why a program did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is not installed.
    Missing,
    /// It could not be started.
    NotRun(io::Error),
    /// It failed; the end of what it said.
    Status {
        /// Its words.
        detail: String,
    },
}

/// Runs `command` to its end and returns its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Failure::Missing,
        _ => Failure::NotRun(e),
    })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = if stderr.trim().is_empty() { stdout.as_str() } else { &stderr };
    Err(Failure::Status { detail: format!("{}: {}", output.status, tail(said)) })
}

/// The last lines of `text`, on one line.
fn tail(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut bytes = 0;
    for line in text.lines().rev().map(str::trim).filter(|line| !line.is_empty()) {
        bytes += line.len();
        if bytes > QUOTE_MAX && !lines.is_empty() {
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_failure_and_absence_are_told_apart() {
        assert_eq!(run(Command::new("echo").arg("hello")).unwrap(), "hello\n");
        assert!(matches!(run(&mut Command::new("no-such-program-here")), Err(Failure::Missing)));
        let Err(Failure::Status { detail }) = run(Command::new("sh").args(["-c", "echo why >&2; exit 7"]))
        else {
            panic!("must fail")
        };
        assert!(detail.contains('7') && detail.contains("why"), "{detail}");
    }

    #[test]
    fn long_output_is_cut_at_line_starts_from_the_front() {
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let quoted = tail(&text);
        assert!(quoted.len() <= 2 * QUOTE_MAX && quoted.ends_with("line 999") && quoted.starts_with("line "));
    }
}
