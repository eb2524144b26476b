//! `spore bench`: measures this machine. No platform is needed; everything runs in this process.

mod baseline;
mod density;
mod document;
mod fork;
mod soak;
mod subjects;

use crate::args::Output;
use crate::commands::up::{check_kvm, raise_file_limit};
use crate::failure::Failure;
use clap::{Args, Subcommand, ValueEnum};
use document::Sink;
use std::path::PathBuf;
use worker::bench::BenchError;

/// Options of `spore bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    common: Common,
}

/// Options of every measurement.
#[derive(Debug, Args)]
struct Common {
    /// Also write the results as JSON to FILE; `-` prints them instead of the table
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The KVM device
    #[arg(long, global = true, hide = true, default_value = "/dev/kvm", value_name = "PATH")]
    kvm: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Time, exits and page faults of a fork, for each kind of start
    Fork(fork::ForkArgs),
    /// Memory of many live children, and whether forking stays fast
    Density(density::DensityArgs),
    /// Forks against other ways to start a handler, in one run
    Baseline(baseline::BaselineArgs),
    /// Very many forks: no leak and no wrong byte
    Soak(soak::SoakArgs),
}

/// The functions that can be measured: the hello examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The Python handler
    Python,
    /// The program that serves HTTP
    Native,
    /// Python and native, one after the other
    Both,
    /// The JavaScript handler
    Node,
}

/// Measures and prints.
pub(crate) fn run(args: BenchArgs, output: Output) -> Result<(), Failure> {
    let BenchArgs { what, common } = args;
    check_kvm(&common.kvm)?;
    // Before anything is measured: a file that cannot be written must not cost a result.
    let sink = Sink::open(common.json.as_deref(), output)?;
    raise_file_limit();
    match what {
        What::Fork(args) => fork::run(&args, &common.kvm, sink),
        What::Density(args) => density::run(&args, &common.kvm, sink),
        What::Baseline(args) => baseline::run(&args, &common.kvm, sink),
        What::Soak(args) => soak::run(&args, &common.kvm, sink),
    }
}

fn failed(error: BenchError) -> Failure {
    Failure::new(error.to_string())
}

/// Microseconds with one decimal.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn micros(nanoseconds: u64) -> String {
    format!("{:.1}", nanoseconds as f64 / 1e3)
}
