//! `spore load`: loads HTTP servers, this platform or any other, and says what they did.

mod calls;
mod compare;
mod drive;
mod experiment;
mod files;
mod generate;
mod options;
mod report;
mod requests;
mod result;
mod run;
mod save;
mod trace;
mod workloads;

use crate::args::Global;
use crate::failure::Failure;
use clap::{Args, Subcommand};

/// Options of `spore load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Send requests to an HTTP server, in an open or a closed loop
    Run(Box<run::RunArgs>),
    /// Replay a trace of Azure Functions on this platform
    Trace(Box<trace::TraceArgs>),
    /// Write a trace with the statistics of the published ones
    Generate(generate::GenerateArgs),
    /// List, deploy and check the workloads that come with spore
    Workloads(workloads::WorkloadsArgs),
    /// Answer a question about a platform: latency, knee, burst, density, cold, isolation, soak, peers
    Experiment(Box<experiment::ExperimentArgs>),
    /// Say whether two results differ; exit code 1 if the second is worse
    Compare(compare::CompareArgs),
    /// Make the HTML report and the histogram files of a result
    Report(report::ReportArgs),
}

/// Runs one of the commands.
pub(crate) fn run(args: LoadArgs, global: &Global) -> Result<(), Failure> {
    match args.what {
        What::Run(args) => run::run(*args, global),
        What::Trace(args) => trace::run(&args, global),
        What::Generate(args) => generate::run(args, global),
        What::Workloads(args) => workloads::run(args, global),
        What::Experiment(args) => experiment::run(*args, global),
        What::Compare(args) => compare::run(args, global),
        What::Report(args) => report::run(args, global),
    }
}
