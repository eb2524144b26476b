//! What the tests of the binary share.
#![allow(dead_code, reason = "every test program uses a part of it")]

pub(crate) mod counting;
pub(crate) mod fake;
pub(crate) mod process;

use std::process::{Command, Output};

/// The binary under test with these arguments, without settings of the caller's environment.
pub(crate) fn spore(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spore"));
    command.args(arguments).env_remove("SPORE_URL").env_remove("SPORE_LOG").env_remove("SPORE_LOG_FORMAT");
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    spore(arguments).output().expect("the binary can be started")
}

/// The exit code of a run.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

/// What it wrote to stdout.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
