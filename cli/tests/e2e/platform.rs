//! A platform of its own for each test.

use crate::http::{Connection, Response};
use crate::process::signal;
use crate::wait_for;
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Path of a file among the test functions.
pub(crate) fn function(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions").join(name)
}

/// So that a machine that is slow, stands still for a while or is short of memory is no reason to fail.
const PATIENT: [&str; 7] =
    ["--boot-timeout", "300", "--build-patience", "300", "--head-timeout", "300", "--ignore-memory-pressure"];

/// A running `spore up`. Dropping it kills the process; cells follow by themselves.
pub(crate) struct Platform {
    pub(crate) address: String,
    pub(crate) data: tempfile::TempDir,
    child: Child,
}

impl Platform {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Starts with the data of an earlier platform.
    pub(crate) fn start_in(data: tempfile::TempDir) -> Self {
        Self::start_as(spore(), data)
    }

    /// Starts with more arguments.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        Self::start_program(spore(), args, data)
    }

    /// Starts with the data of an earlier platform and more arguments.
    pub(crate) fn start_in_with(data: tempfile::TempDir, args: &[&str]) -> Self {
        Self::start_program(spore(), args, data)
    }

    /// Starts with limits on open files, set with `ulimit ARGS` first.
    pub(crate) fn start_with_ulimit(args: &str) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("ulimit {args} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_spore")]);
        Self::start_as(shell, tempfile::tempdir().expect("a temporary directory"))
    }

    fn start_as(program: Command, data: tempfile::TempDir) -> Self {
        Self::start_program(program, &[], data)
    }

    fn start_program(mut program: Command, args: &[&str], data: tempfile::TempDir) -> Self {
        let mut child = program
            .args(["up", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(PATIENT)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = lines
            .find_map(|line| line.expect("text").split("http://").nth(1).map(|rest| rest.trim().to_owned()))
            .expect("`spore up` says where it listens; see its standard error above");
        Self { address, data, child }
    }

    /// SIGKILL, and the data for the next platform.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        std::mem::replace(&mut self.data, tempfile::tempdir().expect("a temporary directory"))
    }

    /// Asks it to stop, as Ctrl-C does, and waits until it has.
    pub(crate) fn interrupt(mut self) -> ExitStatus {
        signal(self.child.id(), Signal::INT);
        self.child.wait().expect("it ends")
    }

    /// A command that runs the CLI against this platform.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = spore();
        command.args(args).env("SPORE_URL", format!("http://{}", self.address));
        command
    }

    /// What `spore ps` says. It leaves out the VMs of a cell that is slow to answer.
    pub(crate) fn vms(&self) -> Vec<serde_json::Value> {
        let vms: serde_json::Value =
            serde_json::from_str(&self.spore_ok(&["--output", "json", "ps"])).expect("JSON");
        vms["vms"].as_array().or(vms.as_array()).expect("a list of VMs").clone()
    }

    /// The VMs there are, as soon as there is one.
    pub(crate) fn live_vms(&self) -> Vec<serde_json::Value> {
        let mut vms = Vec::new();
        wait_for("there is no VM", || {
            vms = self.vms();
            !vms.is_empty()
        });
        vms
    }

    /// How many VMs have a request.
    pub(crate) fn serving(&self) -> usize {
        self.vms().iter().filter(|vm| vm["state"] == "serving").count()
    }

    /// Whether there are VMs and none has a request.
    pub(crate) fn is_idle(&self) -> bool {
        let vms = self.vms();
        !vms.is_empty() && vms.iter().all(|vm| vm["state"] != "serving")
    }

    /// Process of the only cell, as soon as it has a VM.
    pub(crate) fn cell(&self) -> u32 {
        pid_of(&self.live_vms()[0])
    }

    /// Process of the cell of a function, as soon as it has a VM.
    pub(crate) fn cell_of(&self, function: &str) -> u32 {
        let mut vms = Vec::new();
        wait_for("the function has no VM", || {
            vms = self.vms();
            vms.retain(|vm| vm["function"] == function);
            !vms.is_empty()
        });
        pid_of(&vms[0])
    }

    /// The cell processes that are there now, those that still build their parent included.
    pub(crate) fn cell_processes(&self) -> Vec<u32> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).expect("the platform runs").flatten();
        // A thread that is gone by now has left its children to another.
        let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        children
            .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .map(|pid| pid.parse().expect("a process id"))
            .collect()
    }

    /// Runs the CLI against this platform.
    pub(crate) fn spore(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// Runs the CLI and expects success; its standard output.
    pub(crate) fn spore_ok(&self, args: &[&str]) -> String {
        let output = self.spore(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "spore {args:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    /// Deploys a test function.
    /// Unless `more` says otherwise, requests have more time than a busy machine needs.
    pub(crate) fn deploy(&self, path: &Path, more: &[&str]) {
        let mut args = vec!["deploy", path.to_str().expect("UTF-8")];
        args.extend(more);
        if !more.contains(&"--timeout") {
            args.extend(["--timeout", "60s"]);
        }
        self.spore_ok(&args);
    }

    /// Deploys the Python probe as `probe`.
    pub(crate) fn with_python_probe(self, more: &[&str]) -> Self {
        let mut args = vec!["--name", "probe", "--handler", "probe.handler"];
        args.extend(more);
        self.deploy(&function("probe.py"), &args);
        self
    }

    /// Deploys the C probe as `native`.
    pub(crate) fn with_native_probe(self, more: &[&str]) -> Self {
        let program = self.data.path().join("probe");
        compile(&function("probe.c"), &program);
        let mut args = vec!["--name", "native"];
        args.extend(more);
        self.deploy(&program, &args);
        self
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.address)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.connect().get(path)
    }

    /// Value of a counter or gauge, summed over the series that contain `filter`.
    pub(crate) fn metric(&self, name: &str, filter: &str) -> f64 {
        let text = self.get("/metrics").text();
        let values = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(filter)
        });
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid_of(vm: &serde_json::Value) -> u32 {
    let pid = vm["pid"].as_u64().expect("a number");
    u32::try_from(pid).expect("a process id")
}

/// The binary under test.
pub(crate) fn spore() -> Command {
    Command::new(env!("CARGO_BIN_EXE_spore"))
}

/// Compiles a C program statically.
pub(crate) fn compile(source: &Path, program: &Path) {
    let status = Command::new("gcc").args(["-O1", "-static", "-w", "-o"]).arg(program).arg(source).status();
    assert!(status.expect("gcc is installed").success(), "gcc failed on {}", source.display());
}
