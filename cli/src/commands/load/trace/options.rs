//! Options of `spore load trace`.

use super::super::options::duration;
use crate::failure::{Exit, Failure};
use clap::{Args, ValueEnum};
use loadtest::trace::sizing::Assumptions;
use loadtest::trace::{ReplayOptions, Trace, TraceError, Within, azure_2019, azure_2021};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Format of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Format {
    /// Calls per minute, percentiles of run times and of memory, in three tables
    Azure2019,
    /// One line for each invocation: app,func,end_timestamp,duration
    Azure2021,
}

/// When in its minute a call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Spread {
    /// Anywhere, independently of others: a Poisson process with the count of the minute
    Poisson,
    /// In equal steps from a random beginning
    Equidistant,
}

/// What a called function does in its run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Work {
    /// Keeps its core busy
    Spin,
    /// Waits
    Sleep,
}

/// Options of `spore load trace`.
#[derive(Debug, Args)]
pub(in super::super) struct TraceArgs {
    /// Format of the trace
    #[arg(long, value_enum, default_value_t = Format::Azure2019)]
    pub(super) format: Format,
    /// azure2019: table of invocations per minute
    #[arg(long, value_name = "FILE", required_if_eq("format", "azure2019"))]
    invocations: Option<PathBuf>,
    /// azure2019: table of run times
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// azure2019: table of memory
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// azure2021: the trace
    #[arg(long, value_name = "FILE", required_if_eq("format", "azure2021"), conflicts_with_all = ["invocations", "durations", "memory"])]
    file: Option<PathBuf>,
    /// How many functions, chosen so that their load is like that of all [default: all that are called]
    #[arg(long, value_name = "N")]
    functions: Option<usize>,
    /// First minute of the trace, from 0
    #[arg(long, default_value_t = 0, value_name = "N")]
    from_minute: usize,
    /// How many minutes of the trace [default: to its end]
    #[arg(long, value_name = "N")]
    minutes: Option<usize>,
    /// In how many seconds a minute of the trace is replayed; run times stay as they are
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    scale: f64,
    /// How many times as many calls as the trace has
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    rate_scale: f64,
    /// Factor of all run times
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub(super) run_scale: f64,
    /// When in its minute a call comes, where the trace has only counts
    #[arg(long, value_enum, default_value_t = Spread::Poisson)]
    arrivals: Spread,
    /// Seed of all random choices
    #[arg(long, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// Longest run time of a replayed call; what would run longer is cut, and counted
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(super) duration_cap: Duration,
    /// Most memory that a replayed call touches, in MiB; what would touch more is cut, and counted
    #[arg(long, default_value_t = 128, value_name = "MIB", value_parser = clap::value_parser!(u32).range(0..=8192))]
    pub(super) memory_cap: u32,
    /// What the called function does in its run time
    #[arg(long, value_enum, default_value_t = Work::Spin)]
    pub(super) work: Work,
    /// Functions to deploy; functions of the trace share them in turn if they are more [default: as many as there are, at most 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) deployed: Option<u32>,
    /// Most live VMs of each deployed function
    #[arg(long, default_value_t = 128, value_name = "VMS")]
    pub(super) max_concurrency: usize,
    /// Most connections
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(super) connections: usize,
    /// What has no answer so long after it was sent has failed
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub(super) timeout: Duration,
    /// Only compute what the trace needs; no platform is asked
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also write the results as JSON to FILE; `-` prints them instead of the tables
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Also write result, histograms and HTML report into DIR
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) machine: MachineOptions,
}

/// What is assumed of machines, and what they cost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machines and prices")]
pub(super) struct MachineOptions {
    /// Cores of a machine [default: as here]
    #[arg(long, value_name = "N")]
    cores: Option<f64>,
    /// Memory of a machine in GiB [default: as here]
    #[arg(long, value_name = "GIB")]
    machine_memory: Option<f64>,
    /// Part of the cores that may be busy
    #[arg(long, default_value_t = 0.7, value_name = "PART")]
    cpu_share: f64,
    /// Part of the memory that may be used
    #[arg(long, default_value_t = 0.9, value_name = "PART")]
    memory_share: f64,
    /// Processor time of a call beside its run time, in ms [default: as measured; 1 with --dry-run]
    #[arg(long, value_name = "MS")]
    overhead: Option<f64>,
    /// Memory of a live VM beside what its function touches, in MiB [default: as measured; 2 with --dry-run]
    #[arg(long, value_name = "MIB")]
    vm_memory: Option<f64>,
    /// Memory of a function's parent, in MiB [default: as measured; 8 with --dry-run]
    #[arg(long, value_name = "MIB")]
    parent_memory: Option<f64>,
    /// Price of a core-second, in any currency
    #[arg(long, default_value_t = 0.0, value_name = "PRICE")]
    pub(super) core_second_price: f64,
    /// Price of a GiB-second
    #[arg(long, default_value_t = 0.0, value_name = "PRICE")]
    pub(super) gib_second_price: f64,
    /// Price of a call
    #[arg(long, default_value_t = 0.0, value_name = "PRICE")]
    pub(super) call_price: f64,
}

/// What a replay measured of what sizing assumes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// Processor time of a call beside its run time, in ms.
    pub(super) overhead_ms: Option<f64>,
    /// Memory of a VM beside what its function touches.
    pub(super) vm_mib: Option<f64>,
    /// Memory of a parent.
    pub(super) parent_mib: Option<f64>,
}

impl MachineOptions {
    /// Options go before what was measured, that before what is assumed.
    pub(super) fn assumptions(&self, measured: Measured) -> Result<Assumptions, Failure> {
        let here = loadtest::report::Machine::here();
        let of = Assumptions {
            overhead_ms: self.overhead.or(measured.overhead_ms).unwrap_or(1.0),
            vm_mib: self.vm_memory.or(measured.vm_mib).unwrap_or(2.0),
            parent_mib: self.parent_memory.or(measured.parent_mib).unwrap_or(8.0),
            cores: self.cores.unwrap_or(here.cores as f64),
            memory_mib: self
                .machine_memory
                .map_or_else(|| here.memory_bytes as f64 / f64::from(1 << 20), |gib| gib * 1024.0),
            cpu_share: self.cpu_share,
            memory_share: self.memory_share,
        };
        let sound =
            [of.cores, of.memory_mib, of.cpu_share, of.memory_share].into_iter().all(|value| value > 0.0);
        let costs = [of.overhead_ms, of.vm_mib, of.parent_mib];
        let prices = [self.core_second_price, self.gib_second_price, self.call_price];
        let finite = costs.into_iter().chain(prices).all(|value| value >= 0.0 && value.is_finite());
        let shares = of.cpu_share <= 1.0 && of.memory_share <= 1.0;
        if sound && finite && shares && of.cores.is_finite() && of.memory_mib.is_finite() {
            return Ok(of);
        }
        let why = "machines need cores and memory, shares are more than 0 and at most 1, costs and prices 0 or more";
        Err(Failure::new(why).exit(Exit::Usage))
    }
}

impl TraceArgs {
    /// Reads the trace.
    pub(super) fn read(&self) -> Result<Trace, Failure> {
        let read: Result<Trace, TraceError> = match (self.format, &self.invocations, &self.file) {
            (Format::Azure2019, Some(invocations), _) => {
                let path = |path: &Option<PathBuf>| path.as_deref().map(Path::to_owned);
                let (durations, memory) = (path(&self.durations), path(&self.memory));
                azure_2019::read(invocations, durations.as_deref(), memory.as_deref())
            }
            (Format::Azure2021, _, Some(file)) => azure_2021::read(file),
            _ => return Err(Failure::new("the files of the trace are missing").exit(Exit::Usage)),
        };
        read.map_err(|error| Failure::new(crate::print::chain(&error)).exit(exit_of(&error)))
    }

    /// What of the trace is replayed, at the speed of the trace.
    pub(super) fn replay(&self, trace: &Trace) -> Result<ReplayOptions, Failure> {
        let end =
            self.minutes.map_or_else(|| trace.minutes(), |minutes| self.from_minute.saturating_add(minutes));
        let minutes = self.from_minute..end;
        if !(0.0..=1000.0).contains(&self.run_scale) {
            return Err(Failure::new("--run-scale must be from 0 to 1000").exit(Exit::Usage));
        }
        Ok(ReplayOptions {
            functions: self.functions.unwrap_or_else(|| trace.called(&minutes)),
            minutes,
            speed: 1.0,
            rate: self.rate_scale,
            within: match self.arrivals {
                Spread::Poisson => Within::Uniform,
                Spread::Equidistant => Within::Equidistant,
            },
            seed: self.seed,
        })
    }

    /// How much faster than recorded.
    pub(super) fn speed(&self) -> f64 {
        60.0 / self.scale
    }
}

fn exit_of(error: &TraceError) -> Exit {
    match error {
        TraceError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Exit::NotFound,
        _ => Exit::Failure,
    }
}
