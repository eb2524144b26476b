//! `spore load run`: requests to any HTTP server.

use super::calls::{CallOptions, target};
use super::drive::Driver;
use super::options::LoadOptions;
use super::result::{Heading, document, finish};
use super::save::Sink;
use crate::args::Global;
use crate::failure::Failure;
use clap::Args;
use loadtest::call::Mix;
use loadtest::report::{Document, Machine, RunReport};
use loadtest::target::Target;
use std::path::PathBuf;

/// Options of `spore load run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// What to load: http://HOST:PORT/PATH or unix:SOCKET:/PATH; several are measured in turn
    #[arg(required = true, value_name = "URL")]
    targets: Vec<String>,
    #[command(flatten)]
    load: LoadOptions,
    #[command(flatten)]
    calls: CallOptions,
    /// Also write the results as JSON to FILE; `-` prints them instead of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the report as HTML, HdrHistogram's files and tables into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Repetitions unless told otherwise.
const REPETITIONS: u32 = 1;

pub(super) fn run(args: RunArgs, global: &Global) -> Result<(), Failure> {
    let load = args.load.load()?;
    let repetitions = args.load.repetitions(REPETITIONS)?;
    let systems = args.targets.iter().map(|url| {
        let (target, path) = target(url)?;
        Ok((url.as_str(), target, args.calls.mix(&path)?))
    });
    let systems: Vec<(&str, Target, Mix)> = systems.collect::<Result<_, Failure>>()?;
    let sink = Sink::open(args.json.as_deref(), args.out.as_deref(), global.output)?;
    // As it is before the load.
    let machine = Machine::here();
    let driver = Driver::new()?;
    let mut runs = Vec::new();
    for repetition in 0..repetitions {
        for index in 0..systems.len() {
            // Another one is the first in each repetition, so that none always runs in the wake of the same.
            let (url, target, mix) = &systems[(index + repetition as usize) % systems.len()];
            if driver.stopped() {
                break;
            }
            let seed = args.load.seed(repetition);
            let plan = args.load.plan(target.clone(), mix.clone(), load.clone(), seed);
            let outcome = driver.run(&format!("{url} {}/{repetitions}", repetition + 1), plan)?;
            runs.push(RunReport::new(url, repetition, &outcome));
        }
    }
    let heading = Heading {
        experiment: "run",
        question: "How do these targets answer this load?".to_owned(),
        settings: args.load.settings(),
    };
    finish(&Document { machine, ..document(heading, runs) }, sink, driver.stopped())
}
