//! Single calls, gathered by function and start.

use super::caller::Answered;
use crate::report::plots::Breakdown;
use crate::report::{Generator, LatencyReport, Packed, RunReport};
use crate::tally::{Start, histogram, record};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a response time is made up of: what `Server-Timing` says, what it does not, and what lies outside of the server.
pub const PARTS: [&str; 5] = ["queue", "fork", "run", "rest of total", "outside"];

/// Function, start, repetition.
type Key = (String, Start, u32);
/// Response time, and its parts in milliseconds.
type Call = (Duration, [f64; 5]);

/// Calls so far.
#[derive(Clone, Debug, Default)]
pub struct Staged {
    calls: BTreeMap<Key, Vec<Call>>,
    missing: BTreeMap<(String, Start), u64>,
}

impl Staged {
    /// Adds calls; of `wanted` those that are missing could not be arranged.
    pub fn add(&mut self, system: &str, start: Start, repetition: u32, answers: &[Answered], wanted: usize) {
        if !answers.is_empty() {
            let calls = self.calls.entry((system.to_owned(), start, repetition)).or_default();
            calls.extend(answers.iter().map(|answer| (answer.elapsed, parts(answer))));
        }
        if answers.len() < wanted {
            let missing = self.missing.entry((system.to_owned(), start)).or_default();
            *missing += (wanted - answers.len()) as u64;
        }
    }

    /// A run for each function, start and repetition.
    pub fn runs(&self, seed: u64) -> Vec<RunReport> {
        self.calls.iter().map(|(key, calls)| run(key, calls, seed)).collect()
    }

    /// Means of [`PARTS`] in milliseconds: one for each repetition of each function with its start.
    pub fn parts(&self) -> Vec<(String, [f64; 5])> {
        let mean = |((system, start, _), calls): (&Key, &Vec<Call>)| {
            (name(system, *start), means(calls.iter().map(|(_, parts)| parts)))
        };
        self.calls.iter().map(mean).collect()
    }

    /// A bar for each function and start, all repetitions together.
    pub fn bars(&self) -> Vec<Breakdown> {
        let mut groups: BTreeMap<(&str, Start), Vec<&[f64; 5]>> = BTreeMap::new();
        for ((system, start, _), calls) in &self.calls {
            groups.entry((system, *start)).or_default().extend(calls.iter().map(|(_, parts)| parts));
        }
        let bar = |((system, start), calls): ((&str, Start), Vec<&[f64; 5]>)| Breakdown {
            name: name(system, start),
            parts: PARTS.iter().map(|part| (*part).to_owned()).zip(means(calls.into_iter())).collect(),
        };
        groups.into_iter().map(bar).collect()
    }

    /// What could not be arranged, in words.
    pub fn missing(&self) -> Vec<String> {
        let line = |((system, start), count): (&(String, Start), &u64)| {
            format!("{count} calls of {} could not be arranged", name(system, *start))
        };
        self.missing.iter().map(line).collect()
    }
}

fn name(system: &str, start: Start) -> String {
    format!("{system} {}", start.name())
}

fn parts(answer: &Answered) -> [f64; 5] {
    let part = |name| answer.timing(name).unwrap_or(0.0);
    let (queue, fork, run, total) = (part("queue"), part("fork"), part("run"), part("total"));
    let outside = answer.elapsed.as_secs_f64() * 1e3 - total;
    [queue, fork, run, (total - queue - fork - run).max(0.0), outside.max(0.0)]
}

fn means<'a>(parts: impl Iterator<Item = &'a [f64; 5]>) -> [f64; 5] {
    let (mut sum, mut count) = ([0.0; 5], 0.0);
    for parts in parts {
        count += 1.0;
        sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
    sum.map(|sum: f64| sum / f64::max(count, 1.0))
}

fn run((system, start, repetition): &Key, calls: &[Call], seed: u64) -> RunReport {
    let mut times = histogram();
    for (elapsed, _) in calls {
        record(&mut times, u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
    }
    RunReport {
        system: name(system, *start),
        repetition: *repetition,
        seed,
        complete: true,
        seconds: calls.iter().map(|(elapsed, _)| elapsed.as_secs_f64()).sum(),
        offered_rate: None,
        answered: calls.len() as u64,
        answered_in_time: calls.len() as u64,
        failed: Vec::new(),
        late: 0,
        dropped: 0,
        unfinished: 0,
        warm_up: 0,
        body_bytes: 0,
        latencies: vec![LatencyReport {
            call: system.clone(),
            start: *start,
            response: Packed(times.clone()),
            service: Packed(times),
        }],
        timeline: Vec::new(),
        generator: Generator { threads: 1, ..Generator::default() },
    }
}

/// A run with `count` answers of a call.
#[cfg(test)]
pub(crate) fn sample_run(call: &str, count: u64) -> RunReport {
    let calls: Vec<Call> = (1..=count).map(|ms| (Duration::from_millis(ms), [0.0; 5])).collect();
    run(&(call.to_owned(), Start::New, 0), &calls, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(timing: &str, millis: u64) -> Answered {
        let headers = BTreeMap::from([("server-timing".to_owned(), timing.to_owned())]);
        Answered { headers, elapsed: Duration::from_millis(millis), ..Answered::default() }
    }

    #[test]
    fn the_parts_of_a_call_add_up_to_what_the_client_saw() {
        let parts = parts(&answer("queue;dur=1, fork;dur=2, run;dur=3, total;dur=7", 10));
        assert_eq!(parts.map(f64::round), [1.0, 2.0, 3.0, 1.0, 3.0]);
    }

    #[test]
    fn calls_gather_by_function_start_and_repetition() {
        let mut staged = Staged::default();
        for repetition in [0, 0, 1] {
            staged.add("a", Start::New, repetition, &[answer("total;dur=4", 6)], 1);
        }
        staged.add("a", Start::Spare, 0, &[], 1);
        let runs = staged.runs(1);
        let found: Vec<_> = runs.iter().map(|run| (&run.system[..], run.repetition, run.answered)).collect();
        assert_eq!(found, [("a new", 0, 2), ("a new", 1, 1)]);
        let median = runs[0].latencies[0].response.0.value_at_quantile(0.5) as f64 / 1e6;
        assert!((median - 6.0).abs() < 0.1, "{median}");
        assert_eq!(staged.parts().len(), 2);
        let bars = staged.bars();
        assert_eq!((bars.len(), bars[0].parts[4].1.round()), (1, 2.0));
        assert_eq!(staged.missing(), ["1 calls of a spare could not be arranged"]);
    }
}
