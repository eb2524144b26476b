//! `spore load run`: requests to any HTTP server.

use super::calls::{CallOptions, target};
use super::drive::{Driver, refused};
use super::options::LoadOptions;
use super::requests::{REQUESTS_MAX, RequestFile};
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
    /// Also write each request as a line of CSV to FILE: the first 2,000,000 of every run
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
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
    for (_, target, mix) in &systems {
        // What cannot be measured is known before the first of them is.
        let plan = args.load.plan(target.clone(), mix.clone(), load.clone(), args.load.seed(0));
        plan.validate().map_err(refused)?;
    }
    let sink = Sink::open(args.json.as_deref(), args.out.as_deref(), global.output)?;
    let mut requests = args.requests.as_deref().map(RequestFile::open).transpose()?;
    // As it is before the load.
    let machine = Machine::here();
    let driver = Driver::new()?;
    let mut notes = Vec::new();
    let (runs, done) = in_turn(repetitions, systems.len(), |repetition, index| {
        if driver.stopped() {
            return Ok(None);
        }
        let (url, target, mix) = &systems[index];
        let plan = args.load.plan(target.clone(), mix.clone(), load.clone(), args.load.seed(repetition));
        let label = format!("{url} {}/{repetitions}", repetition + 1);
        let outcome = match &mut requests {
            None => driver.run(&label, plan)?,
            Some(file) => {
                let outcome = driver.run_recorded(&label, plan, REQUESTS_MAX)?;
                file.add(url, repetition, &outcome);
                notes.extend(left_out(url, repetition, outcome.unrecorded));
                outcome
            }
        };
        Ok(Some(RunReport::new(url, repetition, &outcome)))
    });
    if runs.is_empty() && done.is_err() {
        return done;
    }
    notes.extend(done.as_ref().err().map(|failure| format!("it broke off: {}", failure.message)));
    let heading = Heading {
        experiment: "run",
        question: "How do these targets answer this load?".to_owned(),
        settings: args.load.settings(),
    };
    let mut document = Document { machine, ..document(heading, runs) };
    document.notes.append(&mut notes);
    let finished = finish(&document, sink, driver.stopped());
    Failure::first_of([done, finished, requests.map_or(Ok(()), RequestFile::keep)])
}

/// Runs everything in turn, until there is nothing more to run, or to the first failure: what was measured before it is a result.
fn in_turn(
    repetitions: u32,
    systems: usize,
    mut one: impl FnMut(u32, usize) -> Result<Option<RunReport>, Failure>,
) -> (Vec<RunReport>, Result<(), Failure>) {
    let mut runs = Vec::new();
    for repetition in 0..repetitions {
        for index in 0..systems {
            // Another one is the first in each repetition, so that none always runs in the wake of the same.
            match one(repetition, (index + repetition as usize) % systems) {
                Ok(Some(run)) => runs.push(run),
                Ok(None) => return (runs, Ok(())),
                Err(failure) => return (runs, Err(failure)),
            }
        }
    }
    (runs, Ok(()))
}

/// What to say of requests that `--requests` had no room for.
fn left_out(system: &str, repetition: u32, count: u64) -> Option<String> {
    (count > 0).then(|| {
        let run = repetition + 1;
        format!(
            "{system}, run {run}: the file of requests has the first {REQUESTS_MAX}, not the other {count}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::load::result::tests::sample_run;

    #[test]
    fn what_was_measured_before_a_failure_is_kept() {
        let mut order = Vec::new();
        let (runs, done) = in_turn(3, 2, |repetition, index| {
            order.push((repetition, index));
            match order.len() {
                4 => Err(Failure::new("no descriptors")),
                _ => Ok(Some(sample_run(repetition, 1))),
            }
        });
        assert_eq!((runs.len(), done.unwrap_err().message.as_str()), (3, "no descriptors"));
        assert_eq!(order, [(0, 0), (0, 1), (1, 1), (1, 0)], "and nothing is run after it");
        let (runs, done) = in_turn(3, 2, |repetition, _| Ok((repetition == 0).then(|| sample_run(0, 1))));
        assert_eq!((runs.len(), done.is_ok()), (2, true));
    }
}
