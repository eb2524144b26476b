//! A platform with the demo's functions, for the time of a measurement.

use super::client::Connection;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(super) struct Platform {
    pub(super) address: String,
    binary: PathBuf,
    child: Child,
    _data: tempfile::TempDir,
}

impl Platform {
    /// Starts `spore up --demo` on a free port and waits until every example has answered once.
    pub(super) fn start(binary: &Path) -> Result<Self, String> {
        let data = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
        let mut child = Command::new(binary)
            .args(["up", "--demo", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", binary.display()))?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if lines.read_line(&mut line).map_err(|error| error.to_string())? == 0 {
                return Err("`spore up` ended before it listened".to_owned());
            }
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split(['/', ' ', '\n']).next().unwrap_or_default().to_owned();
            }
        };
        // The rest of what it prints is not needed, but the pipe must not fill up.
        std::thread::spawn(move || std::io::copy(&mut lines.by_ref(), &mut std::io::sink()));
        let platform = Self { address, binary: binary.to_owned(), child, _data: data };
        platform.wait_for_demo()?;
        Ok(platform)
    }

    fn wait_for_demo(&self) -> Result<(), String> {
        let begun = std::time::Instant::now();
        while begun.elapsed().as_secs() < 300 {
            let functions = self.json("/v1/functions")?;
            let ready = |name: &str| {
                let list = functions["functions"].as_array().map(Vec::as_slice).unwrap_or_default();
                list.iter().any(|function| function["name"] == name && function["state"] == "ready")
            };
            if ["python-hello", "python-wordcount", "rust-hello", "rust-primes"].into_iter().all(ready) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Err("the examples were not deployed within 300 s".to_owned())
    }

    pub(super) fn json(&self, path: &str) -> Result<serde_json::Value, String> {
        let body = Connection::open(&self.address)?.get(path)?.body;
        serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}"))
    }

    pub(super) fn spore(&self, args: &[&str]) -> Result<(), String> {
        let url = format!("http://{}", self.address);
        let output = Command::new(&self.binary).args(args).env("SPORE_URL", url).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("spore {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
