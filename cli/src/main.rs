//! `spore`: starts the platform (`up`) and talks to it (everything else).
//!
//! Data goes to stdout, everything else to stderr. Exit codes are listed in [`failure::Exit`].
#![forbid(unsafe_code)]

mod args;
mod client;
mod commands;
mod demo;
mod failure;
mod output;
mod package;
mod print;
mod timing;
mod units;

use args::{Cli, Command};
use clap::Parser;
use commands::Context;
use commands::up::UpArgs;
use failure::{Exit, Failure};
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    match dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// How long a platform that has stopped goes on with what it was writing.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Runs the command in the kind of runtime it needs.
fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    let context = || Context::new(&global);
    let done = match command {
        Command::Up(args) => platform(args),
        Command::Cell => return Ok(worker::cell::main()),
        Command::BenchChildren => return Ok(worker::bench::children_main()),
        Command::Run(args) => return commands::run::run(args),
        Command::Bench(args) => commands::bench::run(args, global.output),
        Command::Load(args) => commands::load::run(*args, &global),
        Command::Doctor(args) => commands::doctor::run(&args, global.output),
        Command::Version => commands::version::run(global.output),
        Command::Images => commands::images::run(global.output),
        Command::Deploy(args) => client(commands::deploy::run(args, &context()?)),
        Command::Invoke(args) => client(commands::invoke::run(args, &context()?)),
        Command::Ls => client(commands::ls::run(&context()?)),
        Command::Describe(args) => client(commands::describe::run(&args, &context()?)),
        Command::Ps => client(commands::ps::run(&context()?)),
        Command::Logs(args) => client(commands::logs::run(&args, &context()?)),
        Command::Rm(args) => client(commands::rm::run(&args, &context()?)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Runs the platform. What it still writes or fetches when it has stopped gets some time, and is made again by the next one if that
/// was too short: files appear whole or not at all.
fn platform(args: UpArgs) -> Result<(), Failure> {
    let runtime = runtime(Builder::new_multi_thread())?;
    let done = runtime.block_on(commands::up::run(args));
    runtime.shutdown_timeout(LAST_WRITES);
    done
}

/// Runs a client command on this thread; Ctrl-C ends it with exit code 130.
fn client(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    runtime(Builder::new_current_thread())?.block_on(async {
        tokio::select! {
            result = command => result,
            _ = tokio::signal::ctrl_c() => Err(Failure::silent(Exit::Interrupted)),
        }
    })
}

pub(crate) fn runtime(mut builder: Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|e| Failure::new(format!("cannot start the async runtime: {e}")))
}
