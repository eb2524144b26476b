//! The real platform, as its own process.

use super::{run, spore};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};

/// A running `spore up` on a port of its own; killed when dropped.
pub struct Platform {
    /// Its base URL.
    pub url: String,
    child: Child,
}

impl Platform {
    /// Starts it on a data directory and returns when it listens.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with further arguments.
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        let data = data.to_str().expect("a UTF-8 path");
        let mut command = spore(&["up", "--listen", "127.0.0.1:0", "--data", data]);
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stdout = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        // Whatever else it prints is read, so that it never blocks.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(url) = first.strip_prefix("listening on ") else {
            let status = child.wait().expect("a child of ours");
            panic!("`spore up` did not start ({status}); it says why above; see also `spore doctor`");
        };
        Self { url: url.to_owned(), child }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a client command against it.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let all: Vec<&str> = arguments.iter().copied().chain(["--url", &self.url]).collect();
        run(&all)
    }

    /// Kills it without warning, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child of ours");
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
