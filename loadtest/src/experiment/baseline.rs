//! What else answers a Python handler over HTTP, on the same machine: without isolation, by `os.fork`, by `exec`.

use super::functions::PYTHON;
use crate::target::Target;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

const SCRIPT: &str = include_str!("baseline.py");

/// How a baseline answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// In the server's own process: no isolation at all.
    Warm,
    /// In a child forked from a process that has everything imported.
    Fork,
    /// In an interpreter started for the request.
    Exec,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Baseline; 3] = [Baseline::Warm, Baseline::Fork, Baseline::Exec];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Baseline::Warm => "warm-server",
            Baseline::Fork => "os-fork",
            Baseline::Exec => "exec",
        }
    }

    fn mode(self) -> &'static str {
        match self {
            Baseline::Warm => "warm",
            Baseline::Fork => "fork",
            Baseline::Exec => "exec",
        }
    }
}

/// A running baseline. It ends with this value, and with this process.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub target: Target,
    child: Child,
    alive: Option<ChildStdin>,
    _handler: tempfile::TempDir,
}

/// The host's interpreter: the system's first, as a version manager's wrapper would measure the wrapper. None if there is none.
pub fn python() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path).map(|directory| directory.join("python3"));
    std::iter::once(Path::new("/usr/bin/python3").to_owned()).chain(others).find(|file| file.is_file())
}

impl Server {
    /// Starts one with the handler of the experiments' Python function.
    pub fn start(python: &Path, baseline: Baseline) -> io::Result<Server> {
        let directory = tempfile::tempdir()?;
        let handler = directory.path().join(PYTHON.0);
        std::fs::write(&handler, PYTHON.1)?;
        let mut child = Command::new(python)
            .args(["-c", SCRIPT, baseline.mode()])
            .arg(&handler)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let alive = child.stdin.take();
        let mut line = String::new();
        let read = match child.stdout.take() {
            Some(output) => BufReader::new(output).read_line(&mut line),
            None => Ok(0),
        };
        let target = read.map_err(|error| error.to_string()).and_then(|_| {
            Target::parse(&format!("http://127.0.0.1:{}", line.trim())).map_err(|error| error.to_string())
        });
        match target {
            Ok(target) => Ok(Server { target, child, alive, _handler: directory }),
            Err(why) => {
                drop(alive);
                child.wait()?;
                Err(io::Error::other(format!("the baseline `{}` did not start: {why}", baseline.name())))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends when nobody holds the other end; whether it does is not this program's business any more.
        drop(self.alive.take());
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::caller::Caller;
    use std::time::Duration;

    #[test]
    fn each_baseline_says_hello_and_only_the_warm_one_keeps_state() {
        let python = python().expect("the tests need python3");
        for baseline in Baseline::ALL {
            let server = Server::start(&python, baseline).unwrap();
            let mut caller = Caller::open(&server.target, Duration::from_secs(60)).unwrap();
            for calls in 1..=2 {
                let answer = caller.get("/?name=Spore").unwrap();
                let calls = if baseline == Baseline::Warm { calls } else { 1 };
                let wanted = format!(r#"{{"message": "Hello, Spore!", "calls": {calls}}}"#);
                assert_eq!(String::from_utf8_lossy(&answer.body), wanted, "{baseline:?}");
            }
        }
    }
}
