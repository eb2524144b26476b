//! Python on the host: started anew, and forked from a process that has everything imported.

use crate::bench::BenchError;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = include_str!("zygote.py");

/// The host's interpreter, if there is one. The system's first: a version manager's wrapper would measure the wrapper.
pub(super) fn python() -> Option<PathBuf> {
    find(Path::new("/usr/bin/python3"), &std::env::var_os("PATH").unwrap_or_default())
}

fn find(system: &Path, path: &OsStr) -> Option<PathBuf> {
    let others = std::env::split_paths(path).map(|directory| directory.join("python3"));
    std::iter::once(system.to_owned()).chain(others).find(|file| file.is_file())
}

/// Starts the interpreter for `code` and waits until it has printed `expected`.
pub(super) fn execute(python: &Path, code: &str, expected: &[u8]) -> Result<(), BenchError> {
    let output = Command::new(python).args(["-c", code]).stdin(Stdio::null()).output();
    let output = output.map_err(BenchError::host("starting python3"))?;
    if output.status.success() && output.stdout == expected {
        return Ok(());
    }
    Err(refused("running python3", &output.stderr))
}

/// A Python process that forks a child for every request.
pub(super) struct Zygote {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Zygote {
    pub(super) fn start(python: &Path, handler: &str) -> Result<Self, BenchError> {
        let mut child = Command::new(python)
            .args(["-c", SCRIPT, handler])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::host("starting python3"))?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| refused("connecting to python3", b"no pipe"))?;
        Ok(Self { child, requests, answers: BufReader::new(answers), line: Vec::new() })
    }

    /// One request, a line, answered by a child; the answer must be `expected`.
    pub(super) fn ask(&mut self, request: &[u8], expected: &[u8]) -> Result<(), BenchError> {
        let failed = BenchError::host("talking to python3");
        if let Some(requests) = &mut self.requests {
            requests.write_all(request).map_err(&failed)?;
        }
        self.line.clear();
        self.answers.read_until(b'\n', &mut self.line).map_err(&failed)?;
        if self.line == expected { Ok(()) } else { Err(refused("forking python3", &self.line)) }
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // It ends when there are no more requests.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

fn refused(what: &'static str, said: &[u8]) -> BenchError {
    BenchError::Host { what, why: format!("it said \"{}\"", said.escape_ascii()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_python_comes_first_and_there_may_be_none() {
        let directory = tempfile::tempdir().unwrap();
        let (other, none) = (directory.path().join("python3"), directory.path().join("none"));
        std::fs::write(&other, "").unwrap();
        let path = directory.path().as_os_str();
        assert_eq!(find(&none, OsStr::new("/nonexistent")), None);
        assert_eq!(find(&none, path).as_ref(), Some(&other));
        assert_eq!(
            find(Path::new("/proc/self/status"), path).as_deref(),
            Some(Path::new("/proc/self/status"))
        );
    }

    #[test]
    fn a_zygote_answers_each_request_from_a_fresh_child() {
        let python = python().expect("the tests need python3");
        let source = "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return [event, n]\n";
        let mut zygote = Zygote::start(&python, source).unwrap();
        for _ in 0..3 {
            zygote.ask(b"{\"event\":\"x\"}\n", b"{\"result\":[\"x\",1]}\n").unwrap();
        }
        assert!(zygote.ask(b"{\"event\":2}\n", b"something else\n").is_err());
    }

    #[test]
    fn what_python_prints_is_checked() {
        let python = python().expect("the tests need python3");
        execute(&python, "print('hi')", b"hi\n").unwrap();
        assert!(execute(&python, "print('ho')", b"hi\n").is_err());
        assert!(execute(&python, "raise SystemExit(1)", b"").is_err());
    }
}
