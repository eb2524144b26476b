//! `spore load experiment`: questions about a platform, each with an answer that can be repeated.

mod burst;
mod cold;
mod density;
mod isolation;
mod knee;
mod latency;
mod peers;
mod platform;
mod session;
mod soak;

use super::options::duration;
use crate::args::Global;
use crate::failure::Failure;
use clap::{Args, Subcommand, value_parser};
use session::Session;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `spore load experiment`.
#[derive(Debug, Args)]
pub(super) struct ExperimentArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Response time of each kind of start, and what it is made up of
    Latency(latency::LatencyArgs),
    /// Response time against offered load, up to the greatest that the platform keeps up with
    Knee(knee::KneeArgs),
    /// From nothing to N requests at once: time to the k-th answer
    Burst(burst::BurstArgs),
    /// N functions in memory: response time, and memory of each
    Density(density::DensityArgs),
    /// Functions that left memory, with their files in the page cache and without
    Cold(cold::ColdArgs),
    /// Whether any answer shows something of another request
    Isolation(isolation::IsolationArgs),
    /// A long run: whether memory, descriptors, threads, VMs or files grow
    Soak(soak::SoakArgs),
    /// The same calls to other servers, and to what this machine has besides VMs
    Peers(peers::PeersArgs),
}

/// What every experiment can be told.
#[derive(Clone, Debug, Args)]
struct Common {
    /// A short try: little load, two repetitions; its numbers say little
    #[arg(long, global = true)]
    quick: bool,
    /// How often everything is measured, in another order each time [default: 5]
    #[arg(long, global = true, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000))]
    repetitions: Option<u32>,
    /// Seed of all random choices
    #[arg(long, global = true, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// Length of one run, without its warm-up [default: 10s]
    #[arg(long, global = true, value_parser = duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// What comes before it, and is not counted [default: 2s]
    #[arg(long, global = true, value_parser = duration, value_name = "TIME")]
    warm_up: Option<Duration>,
    /// What has no complete answer so long after it was sent has failed
    #[arg(long, global = true, default_value = "30s", value_parser = duration, value_name = "TIME")]
    timeout: Duration,
    /// Also write the results as JSON to FILE; `-` prints them instead of the tables
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results, their histograms and an HTML report into DIR
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Common {
    /// Repetitions; `usual` unless told otherwise.
    fn repetitions(&self, usual: u32) -> u32 {
        self.repetitions.unwrap_or_else(|| if self.quick { usual.min(2) } else { usual })
    }

    /// Length of one run.
    fn duration(&self) -> Duration {
        self.duration.unwrap_or_else(|| Duration::from_secs(if self.quick { 1 } else { 10 }))
    }

    /// Warm-up of one run.
    fn warm_up(&self) -> Duration {
        self.warm_up.unwrap_or_else(|| Duration::from_millis(if self.quick { 200 } else { 2000 }))
    }

    /// One of two values.
    fn pick<T>(&self, quick: T, usual: T) -> T {
        if self.quick { quick } else { usual }
    }
}

/// Repetitions of most experiments.
const REPETITIONS: u32 = 5;

pub(super) fn run(args: ExperimentArgs, global: &Global) -> Result<(), Failure> {
    let ExperimentArgs { what, common } = args;
    let mut session = Session::new(common, global)?;
    match what {
        What::Latency(args) => session.report(|session| latency::run(&args, session)),
        What::Knee(args) => session.report(|session| knee::run(&args, session)),
        What::Burst(args) => session.report(|session| burst::run(&args, session)),
        What::Density(args) => session.report(|session| density::run(&args, session)),
        What::Cold(args) => session.report(|session| cold::run(&args, session)),
        What::Isolation(args) => session.report(|session| isolation::run(&args, session)),
        What::Soak(args) => session.report(|session| soak::run(&args, session)),
        What::Peers(args) => session.report(|session| peers::run(&args, session)),
    }
}
