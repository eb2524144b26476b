//! The platform an experiment asks: one of its own, or one that runs already.

use crate::client::{Client, function_path};
use crate::commands::deploy::upload;
use crate::demo;
use crate::failure::Failure;
use crate::package::archive_memory;
use crate::print;
use gateway::api::{DeployConfig, FunctionDetail, VmList};
use http::Method;
use loadtest::experiment::functions;
use loadtest::target::Target;
use rustix::process::{Pid, Signal, kill_process};
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How long a platform may take to stop.
const STOP: Duration = Duration::from_secs(20);
/// How long one that serves nobody any more may take to end by itself.
const ENDING: Duration = Duration::from_secs(5);
/// Time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// One that is there and serves nobody.
const REFUSES: &str = "the platform of the experiment refuses connections";
/// Last bytes of its log that are shown if it does not start.
const LOG_SHOWN: usize = 4000;

/// What can be deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The experiments' Python function.
    Python,
    /// The experiments' JavaScript function.
    Node,
    /// The example in Rust, which can only say hello.
    Rust,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Kind; 3] = [Kind::Python, Kind::Node, Kind::Rust];

    /// Its name in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Python => "python-hello",
            Kind::Node => "node-hello",
            Kind::Rust => "rust-hello",
        }
    }

    fn package(self) -> Result<Vec<u8>, Failure> {
        let of = |(name, content): (&str, &[u8])| archive_memory(&[(name, false, content)]);
        match self {
            Kind::Python => of(functions::PYTHON),
            Kind::Node => of(functions::NODE),
            Kind::Rust => archive_memory(demo::files("rust-hello")),
        }
    }
}

/// A platform. What was deployed to it is removed in the end; one of our own ends.
pub(super) struct Platform {
    pub(super) target: Target,
    client: Client,
    runtime: Runtime,
    deployed: RefCell<Vec<String>>,
    own: Option<Own>,
}

struct Own {
    child: RefCell<Child>,
    data: tempfile::TempDir,
}

impl Platform {
    /// One that runs.
    pub(super) fn at(url: &str) -> Result<Platform, Failure> {
        Platform::of(url, None)
    }

    /// Starts one on a free port, in a directory that is removed with it.
    pub(super) fn start(args: &[&str]) -> Result<Platform, Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("cannot start a platform: {error}"));
        let data = tempfile::Builder::new().prefix("spore-experiment-").tempdir().map_err(failed)?;
        let log = File::create(data.path().join("platform.log")).map_err(failed)?;
        let mut child = Command::new("/proc/self/exe")
            .args(["up", "--listen", "127.0.0.1:0", "--with-parent", "--data"])
            .arg(data.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the experiment, which then has something to say before the platform ends.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let output = child.stdout.take();
        let own = Own { child: RefCell::new(child), data };
        let mut lines = output.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        let url = lines.find_map(|line| Some(format!("http://{}", line.split_once("http://")?.1.trim())));
        let Some(url) = url else {
            let log = own.log();
            return Err(Failure {
                output: log,
                ..Failure::new("the platform of the experiment did not start")
            });
        };
        Platform::of(&url, Some(own))
    }

    fn of(url: &str, own: Option<Own>) -> Result<Platform, Failure> {
        let target = Target::parse(url).map_err(|error| Failure::new(print::chain(&error)))?;
        Ok(Platform {
            target,
            client: Client::new(url)?,
            runtime: crate::runtime(Builder::new_current_thread())?,
            deployed: RefCell::default(),
            own,
        })
    }

    /// Deploys a function under a name of its own; the path of its calls.
    pub(super) fn deploy(
        &self,
        kind: Kind,
        name: &str,
        concurrency: Option<usize>,
    ) -> Result<String, Failure> {
        let config = DeployConfig {
            timeout: Some("60s".to_owned()),
            max_concurrency: concurrency,
            ..DeployConfig::default()
        };
        let package = kind.package()?;
        print::note(&format!("deploying {name}"));
        // Before it is there: a deploy that fails halfway may have left something.
        self.deployed.borrow_mut().push(name.to_owned());
        let detail = self.blamed(self.runtime.block_on(upload(&self.client, name, &config, &package)))?;
        Ok(detail.summary.path)
    }

    /// Removes a function.
    pub(super) fn remove(&self, name: &str) -> Result<(), Failure> {
        self.deployed.borrow_mut().retain(|deployed| deployed != name);
        self.blamed(self.runtime.block_on(self.client.call(Method::DELETE, &function_path(name))))
    }

    /// The live VMs.
    pub(super) fn vms(&self) -> Result<VmList, Failure> {
        self.blamed(self.runtime.block_on(self.client.get("/v1/vms")))
    }

    /// All about a function.
    pub(super) fn detail(&self, name: &str) -> Result<FunctionDetail, Failure> {
        self.blamed(self.runtime.block_on(self.client.get(&function_path(name))))
    }

    /// An error with the end of its log, if it is ours and has ended.
    pub(super) fn alive(&self) -> Result<(), Failure> {
        self.own.as_ref().map_or(Ok(()), Own::alive)
    }

    /// Why it was found to serve nobody any more: it has ended or is about to, or it refuses connections.
    pub(super) fn gone(&self) -> Failure {
        let own = self.own.as_ref();
        own.map_or_else(|| Failure::new(REFUSES), |own| own.gone(ENDING))
    }

    /// What failed because the platform has ended is told as that.
    pub(super) fn blamed<T>(&self, done: Result<T, Failure>) -> Result<T, Failure> {
        done.or_else(|failure| self.alive().and(Err(failure)))
    }

    /// Its process, if it is ours.
    pub(super) fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(|own| own.child.borrow().id())
    }

    /// Its directory, if it is ours.
    pub(super) fn data(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.data.path())
    }
}

impl Own {
    fn alive(&self) -> Result<(), Failure> {
        match self.child.borrow_mut().try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure {
                output: self.log(),
                ..Failure::new(format!("the platform of the experiment ended ({status})"))
            }),
            Err(error) => Err(Failure::new(format!("cannot tell whether the platform runs: {error}"))),
        }
    }

    /// Why it serves nobody any more. A process that ends may take so long for it.
    fn gone(&self, patience: Duration) -> Failure {
        let begun = Instant::now();
        loop {
            match self.alive() {
                Err(failure) => return failure,
                Ok(()) if begun.elapsed() < patience => std::thread::sleep(LOOK),
                Ok(()) => return Failure { output: self.log(), ..Failure::new(REFUSES) },
            }
        }
    }

    /// The end of what it logged.
    fn log(&self) -> String {
        let mut text = String::new();
        let read =
            File::open(self.data.path().join("platform.log")).and_then(|mut f| f.read_to_string(&mut text));
        let from = text.char_indices().rev().nth(LOG_SHOWN).map_or(0, |(at, _)| at);
        if read.is_ok() { text.split_off(from) } else { String::new() }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if self.own.is_none() {
            for name in self.deployed.take() {
                let removed = self.runtime.block_on(self.client.call(Method::DELETE, &function_path(&name)));
                if let Err(failure) = removed {
                    print::note(&format!("`{name}` could not be removed: {}", failure.message));
                }
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        // Its number may be another process's by now.
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let asked = pid.map(|pid| kill_process(pid, Signal::TERM));
        let begun = Instant::now();
        while asked == Some(Ok(())) && begun.elapsed() < STOP {
            match child.try_wait() {
                Ok(Some(_)) => return,
                Ok(None) => std::thread::sleep(LOOK),
                Err(_) => break,
            }
        }
        // It may have ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program in the place of a platform, with a log.
    fn own(program: &str) -> Own {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("platform.log"), "out of memory\n").unwrap();
        let child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Own { child: RefCell::new(child), data }
    }

    #[test]
    fn a_platform_that_ended_is_a_failure_with_its_log() {
        let own = own("cat");
        own.alive().unwrap();
        drop(own.child.borrow_mut().stdin.take());
        own.child.borrow_mut().wait().unwrap();
        let failure = own.alive().unwrap_err();
        assert_eq!(failure.message, "the platform of the experiment ended (exit status: 0)");
        assert_eq!(failure.output, "out of memory\n");
        assert_eq!(own.gone(Duration::ZERO).message, failure.message);
    }

    #[test]
    fn a_platform_that_runs_and_serves_nobody_refuses_connections() {
        let failure = own("cat").gone(Duration::ZERO);
        assert_eq!((&failure.message[..], &failure.output[..]), (REFUSES, "out of memory\n"));
    }
}
