//! One run of the generator, as a document keeps it.

use super::packed::Packed;
use crate::engine::Outcome;
use crate::failure::Failure;
use crate::tally::{Latencies, Start};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A run that counted less time than this, in seconds, has no rates: it was a burst.
pub const RATE_SECONDS_MIN: f64 = 0.01;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// What was measured: a function, a target, a baseline.
    pub system: String,
    /// Which repetition, from 0.
    pub repetition: u32,
    /// Seed of its schedule and choices.
    pub seed: u64,
    /// Whether it came to its end; not, if somebody stopped it or a sending thread failed.
    pub complete: bool,
    /// Seconds that were counted: without the warm-up.
    pub seconds: f64,
    /// Requests meant to be sent a second, in an open loop.
    pub offered_rate: Option<f64>,
    /// Answers as expected, those after the end too.
    pub answered: u64,
    /// Those that came between the warm-up and the end, whenever they were meant to be sent: what rates are made of.
    #[serde(default = "not_counted")]
    pub answered_in_time: u64,
    /// What failed.
    pub failed: Vec<FailureCount>,
    /// Requests sent more than 1 ms late.
    pub late: u64,
    /// Requests never sent.
    pub dropped: u64,
    /// Requests under way or waiting when the run ended.
    #[serde(default)]
    pub unfinished: u64,
    /// Requests of the warm-up, which are counted nowhere else.
    pub warm_up: u64,
    /// Bytes of the bodies of all answers.
    pub body_bytes: u64,
    /// Latencies of answers, by call and start.
    pub latencies: Vec<LatencyReport>,
    /// Each second of it.
    pub timeline: Vec<Second>,
    /// What the generator itself did.
    pub generator: Generator,
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureCount {
    /// Name of the call.
    pub call: String,
    /// Why.
    pub failure: Failure,
    /// How many.
    pub count: u64,
}

/// Latencies of answers with something in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// Name of the call.
    pub call: String,
    /// How the VM came to be.
    pub start: Start,
    /// From the intended time of sending.
    pub response: Packed,
    /// From sending.
    pub service: Packed,
}

/// One second of a run, warm-up included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which, from 0.
    pub second: u64,
    /// Answers as expected.
    pub answered: u64,
    /// Failures.
    pub failed: u64,
    /// Requests never sent.
    pub dropped: u64,
    /// Median, 99th percentile and greatest response time, in microseconds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// The greatest.
    pub max_us: f64,
}

/// What the generator itself did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Threads that sent.
    pub threads: usize,
    /// Processor time of these threads after the warm-up, in seconds.
    pub cpu_seconds: f64,
    /// Why the generator, not the target, was the limit, if it was.
    pub limited: Option<String>,
}

/// What stands for [`RunReport::answered_in_time`] while a document without it is read.
fn not_counted() -> u64 {
    u64::MAX
}

/// Reads runs. In documents that do not tell answers in time from others, all were.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RunReport>, D::Error> {
    let mut runs = Vec::<RunReport>::deserialize(deserializer)?;
    for run in runs.iter_mut().filter(|run| run.answered_in_time == not_counted()) {
        run.answered_in_time = run.answered;
    }
    Ok(runs)
}

impl RunReport {
    /// Whether it lasted long enough for rates; a burst alone does not.
    pub fn has_rates(&self) -> bool {
        self.seconds >= RATE_SECONDS_MIN
    }

    /// Answers as expected a second.
    pub fn goodput(&self) -> f64 {
        self.answered_in_time as f64 / self.seconds.max(1e-9)
    }

    /// Of what the engine counted.
    pub fn new(system: &str, repetition: u32, outcome: &Outcome) -> RunReport {
        let total = &outcome.total;
        RunReport {
            system: system.to_owned(),
            repetition,
            seed: outcome.seed,
            complete: outcome.complete,
            seconds: outcome.seconds,
            offered_rate: outcome.offered_rate,
            answered: total.answers(),
            answered_in_time: total.in_time,
            failed: failures(outcome),
            late: total.late,
            dropped: total.dropped,
            unfinished: total.unfinished,
            warm_up: outcome.warm_up,
            body_bytes: total.body_bytes,
            latencies: latencies(outcome),
            timeline: outcome.timeline.clone(),
            generator: outcome.generator.clone(),
        }
    }
}

/// The name of a call. Calls of one name are one call to a reader.
fn name(outcome: &Outcome, call: usize) -> &str {
    outcome.calls.get(call).map_or("", String::as_str)
}

fn failures(outcome: &Outcome) -> Vec<FailureCount> {
    let mut sums: BTreeMap<(&str, Failure), u64> = BTreeMap::new();
    for (&(call, failure), count) in &outcome.total.failed {
        *sums.entry((name(outcome, call), failure)).or_default() += count;
    }
    let entry =
        |((call, failure), count): ((&str, _), _)| FailureCount { call: call.to_owned(), failure, count };
    sums.into_iter().map(entry).collect()
}

fn latencies(outcome: &Outcome) -> Vec<LatencyReport> {
    let mut sums: BTreeMap<(&str, Start), Latencies> = BTreeMap::new();
    for (&(call, start), latencies) in &outcome.total.answered {
        let sum = sums.entry((name(outcome, call), start)).or_default();
        sum.response += &latencies.response;
        sum.service += &latencies.service;
    }
    let entry = |((call, start), sum): ((&str, _), Latencies)| LatencyReport {
        call: call.to_owned(),
        start,
        response: Packed(sum.response),
        service: Packed(sum.service),
    };
    sums.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use crate::report::{Document, samples};

    #[test]
    fn in_documents_of_older_programs_all_answers_are_in_time() {
        let mut value = serde_json::to_value(samples::document()).unwrap();
        let run = value["runs"][0].as_object_mut().unwrap();
        run["answered"] = 500.into();
        assert!(run.remove("answered_in_time").is_some() && run.remove("unfinished").is_some());
        let read = Document::parse(&serde_json::to_vec(&value).unwrap()).unwrap();
        assert_eq!((read.runs[0].answered_in_time, read.runs[0].unfinished), (500, 0));
        assert!((read.runs[0].goodput() - 50.0).abs() < 1e-9);
        assert_eq!(read.runs[1].answered_in_time, samples::document().runs[1].answered_in_time);
    }
}
