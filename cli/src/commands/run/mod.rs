//! `spore run`: one program in a VM of its own, with the caller's streams. No platform is needed.

mod plan;
mod signals;

use crate::failure::{Exit, Failure};
use crate::print;
use clap::Args;
use plan::Plan;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use worker::run::{
    Control, Counters, End, Outcome, Program, Refused, Streams, restore_terminal, signal_name,
};

/// Memory of the program when nothing is said.
const MEMORY_DEFAULT: &str = "512MiB";

const AFTER_HELP: &str = "\
The program sees the files of its image, read-only, and memory at /tmp, /var/tmp, /run and /dev/shm. Without --runtime
and --image the image holds PROGRAM as it is on this machine, the libraries (or, for a script, the interpreter) it needs,
and nothing else; what it is to find besides has to be given with --copy. It runs as root of its VM, has no network but
its own loopback, and starts in /, or in /var/task if there is a --copy. Nothing it writes outlives it. A PROGRAM that lies below
/tmp or another of those directories here is in /usr/local/bin there.

SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT and SIGWINCH are passed on to the program, which takes them at its next system
call. If it has not taken a SIGINT or SIGTERM after 3 seconds, or when a second one comes, the VM is killed.

Exit codes: the program's own, or 128+N if signal N killed it; 124 it ran longer than --timeout, 125 spore or the VM
failed, 126 PROGRAM cannot be started, 127 PROGRAM is not there, 137 the VM was killed, 2 the command line is wrong.";

/// Options of `spore run`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RunArgs {
    /// Use the files of a runtime, `python3.11`, `node24` or `native`
    #[arg(long, conflicts_with = "image")]
    runtime: Option<String>,
    /// Use the files of a directory (or an EROFS image) as the program's `/`
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
    /// Put a copy of a file or directory of this machine into /var/task; can be given several times
    #[arg(long, value_name = "PATH")]
    copy: Vec<PathBuf>,
    /// Memory of the program
    #[arg(long, short, value_name = "SIZE", default_value = MEMORY_DEFAULT, value_parser = gateway::settings::program_memory)]
    memory: u64,
    /// Kill the program when it runs longer, at most 15m [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = gateway::settings::run_time)]
    timeout: Option<Duration>,
    /// Environment variable; without a value, the one it has here; can be given several times
    #[arg(long, short, value_name = "K[=V]")]
    env: Vec<String>,
    /// Directory the program starts in
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// Write what the run took to a file, as JSON
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    command: Vec<std::ffi::OsString>,
}

/// Runs the program; what it ends with is what this ends with.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::make(&args)?;
    let stats = args.stats.as_deref().map(StatsFile::create).transpose()?;
    restore_terminal_on_panic();
    let control = Control::new().map_err(|error| failed("signals cannot be watched", &error))?;
    signals::watch(control.clone(), args.timeout)?;
    let mut streams = own_streams().map_err(|error| failed("the standard streams cannot be used", &error))?;
    let program = Program {
        root: &plan.root,
        package: plan.package.as_ref(),
        memory_bytes: args.memory,
        args: plan.args,
        env: plan.env,
    };
    let outcome = worker::run::run(Path::new("/dev/kvm"), &program, &mut streams, &control);
    let outcome =
        outcome.map_err(|error| failed("the program was not run", &error).hint("see `spore doctor`"))?;
    let code = exit_code(&outcome);
    // What the program ended with is not lost over this.
    if let Some(failure) = stats.and_then(|file| file.write(&outcome).err()) {
        print::note(&format!("spore: {}", failure.message));
    }
    if let Some(text) = explanation(&outcome, &streams.said(), args.memory) {
        print::note(&format!("spore: {text}"));
    }
    Ok(ExitCode::from(code))
}

/// Whatever the program has done to the terminal, a message about a panic is to be readable.
fn restore_terminal_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore_terminal();
        report(panic);
    }));
}

fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("{what}: {}", print::chain(error))).exit(Exit::Run)
}

fn own_streams() -> std::io::Result<Streams> {
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    let output = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Streams::new(input, output, std::io::stderr().as_fd().try_clone_to_owned()?))
}

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome.end {
        End::Exit(status) => status,
        End::Signal { number, .. } => 128_u8.saturating_add(number),
        End::Killed => 137,
        End::TimedOut => Exit::Timeout as u8,
        End::Fault(_) => Exit::Run as u8,
    }
}

/// What a caller who sees only the exit code would not know. `said`: what the guest kernel said.
fn explanation(outcome: &Outcome, said: &str, memory_bytes: u64) -> Option<String> {
    let text = match &outcome.end {
        End::Exit(0) => return None,
        End::Exit(_) if said.is_empty() && !outcome.memory_refused => return None,
        End::Exit(_) => said.to_owned(),
        End::Signal { number, address, instruction } if is_crash(*number) => format!(
            "the program was killed by {} (address {address:#x}, instruction {instruction:#x})",
            signal_name(*number)
        ),
        End::Signal { .. } if !outcome.memory_refused => return None,
        End::Signal { number, .. } => format!("the program was killed by {}", signal_name(*number)),
        End::Killed => "the VM was killed: the program did not take the signal before".to_owned(),
        End::TimedOut => "the program was killed: its time (--timeout) was over".to_owned(),
        End::Fault(what) => format!("the VM failed: {what}"),
    };
    if !outcome.memory_refused {
        return Some(text);
    }
    let separator = if text.is_empty() { "" } else { "; " };
    let size = crate::units::bytes(memory_bytes);
    Some(format!("{text}{separator}memory was refused to the program, which has {size} (--memory)"))
}

/// Signals that mean an error of the program, and of which it says nothing itself.
fn is_crash(signal: u8) -> bool {
    matches!(signal_name(signal).as_str(), "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGTRAP" | "SIGSYS")
}

/// What `--stats` writes.
#[derive(Serialize)]
struct Stats<'a> {
    exit_code: u8,
    /// Until the VM began to run.
    start_ms: f64,
    total_ms: f64,
    doorbells: u64,
    kvm: &'a Counters,
    memory_used_bytes: u64,
    memory_refused: bool,
    refused: &'a [Refused],
}

/// Where the figures go. It exists before the program runs, so that nothing is run in vain.
struct StatsFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> StatsFile<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| Self::failed(path, &error))?;
        Ok(Self { path, file })
    }

    fn failed(path: &Path, error: &std::io::Error) -> Failure {
        failed(&format!("{} cannot be written", path.display()), error)
    }

    fn write(mut self, outcome: &Outcome) -> Result<(), Failure> {
        let text = stats_text(outcome);
        self.file.write_all(text.as_bytes()).map_err(|error| Self::failed(self.path, &error))
    }
}

fn stats_text(outcome: &Outcome) -> String {
    let stats = Stats {
        exit_code: exit_code(outcome),
        start_ms: outcome.start_ms,
        total_ms: outcome.total_ms,
        doorbells: outcome.doorbells,
        kvm: &outcome.counters,
        memory_used_bytes: outcome.memory_used,
        memory_refused: outcome.memory_refused,
        refused: &outcome.refused,
    };
    serde_json::to_string_pretty(&stats).expect("figures are plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(end: End, memory_refused: bool) -> Outcome {
        Outcome {
            end,
            memory_refused,
            memory_used: 0,
            refused: Vec::new(),
            start_ms: 0.0,
            total_ms: 0.0,
            doorbells: 0,
            counters: Counters::default(),
        }
    }

    fn signal(number: u8) -> End {
        End::Signal { number, address: 16, instruction: 32 }
    }

    #[test]
    fn exit_codes_are_those_of_shells_and_timeout() {
        for (end, code) in [
            (End::Exit(7), 7),
            (signal(15), 143),
            (signal(255), 255),
            (End::Killed, 137),
            (End::TimedOut, 124),
            (End::Fault("x".to_owned()), 125),
        ] {
            assert_eq!(exit_code(&outcome(end, false)), code);
        }
    }

    #[test]
    fn what_the_exit_code_does_not_tell_is_told() {
        let told = |end, refused, said| explanation(&outcome(end, refused), said, 64 << 20);
        assert_eq!(told(End::Exit(0), true, ""), None);
        assert_eq!(told(End::Exit(1), false, ""), None);
        assert_eq!(told(signal(15), false, ""), None);
        assert_eq!(told(End::Exit(127), false, "/x: not found").unwrap(), "/x: not found");
        assert!(told(signal(11), false, "").unwrap().contains("SIGSEGV (address 0x10, instruction 0x20)"));
        assert!(told(End::Exit(1), true, "").unwrap().starts_with("memory was refused"));
        assert!(
            told(signal(6), true, "")
                .unwrap()
                .contains("SIGABRT; memory was refused to the program, which has 64.0 MiB")
        );
    }
}
