//! Single calls, gathered by function and start.

use super::caller::Answered;
use super::staging::Called;
use crate::report::plots::Breakdown;
use crate::report::{Generator, LatencyReport, Packed, RunReport};
use crate::tally::{Start, histogram, record};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a response time is made up of: what `Server-Timing` says, what it does not, and what lies outside of the server.
pub const PARTS: [&str; 5] = ["queue", "fork", "run", "rest of total", "outside"];

/// Function, start, repetition.
type Key = (String, Start, u32);
/// Response time, and its parts in milliseconds, if the answer tells them.
type Call = (Duration, Option<[f64; 5]>);

/// Calls so far.
#[derive(Clone, Debug, Default)]
pub struct Staged {
    calls: BTreeMap<Key, Calls>,
    missing: BTreeMap<(String, Start), Missing>,
}

/// Calls of one function and start in one repetition.
#[derive(Clone, Debug, Default)]
struct Calls {
    made: Vec<Call>,
    /// Whether there were to be more.
    interrupted: bool,
}

/// Calls that could not be arranged.
#[derive(Clone, Debug, Default)]
struct Missing {
    count: u64,
    /// Why the last of those that failed did.
    error: Option<String>,
}

impl Calls {
    fn parts(&self) -> impl Iterator<Item = &[f64; 5]> {
        self.made.iter().filter_map(|(_, parts)| parts.as_ref())
    }
}

impl Staged {
    /// Adds calls; of `wanted` those that are missing could not be arranged.
    pub fn add(&mut self, system: &str, start: Start, repetition: u32, called: &Called, wanted: usize) {
        let answers = &called.answers;
        if !answers.is_empty() {
            let calls = self.calls.entry((system.to_owned(), start, repetition)).or_default();
            calls.made.extend(answers.iter().map(|answer| (answer.elapsed, parts(answer))));
        }
        if answers.len() < wanted {
            let missing = self.missing.entry((system.to_owned(), start)).or_default();
            missing.count += (wanted - answers.len()) as u64;
            if called.error.is_some() {
                missing.error.clone_from(&called.error);
            }
        }
    }

    /// Marks what there is of a repetition, as far as `is_meant` says so, as interrupted: no measure has a value of it.
    pub fn interrupt(&mut self, repetition: u32, is_meant: impl Fn(&str, Start) -> bool) {
        for ((system, start, found), calls) in &mut self.calls {
            calls.interrupted |= *found == repetition && is_meant(system, *start);
        }
    }

    /// A run for each function, start and repetition.
    pub fn runs(&self, seed: u64) -> Vec<RunReport> {
        self.calls.iter().map(|(key, calls)| run(key, calls, seed)).collect()
    }

    /// Means of [`PARTS`] in milliseconds: one for each repetition of each function with its start, if it was not interrupted.
    pub fn parts(&self) -> Vec<(String, [f64; 5])> {
        let mean =
            |((system, start, _), calls): (&Key, &Calls)| Some((name(system, *start), means(calls.parts())?));
        self.calls.iter().filter(|(_, calls)| !calls.interrupted).filter_map(mean).collect()
    }

    /// A bar for each function and start, all repetitions together.
    pub fn bars(&self) -> Vec<Breakdown> {
        let mut groups: BTreeMap<(&str, Start), Vec<&[f64; 5]>> = BTreeMap::new();
        for ((system, start, _), calls) in &self.calls {
            groups.entry((system, *start)).or_default().extend(calls.parts());
        }
        let bar = |((system, start), calls): ((&str, Start), Vec<&[f64; 5]>)| {
            let parts = PARTS.iter().map(|part| (*part).to_owned()).zip(means(calls.into_iter())?);
            Some(Breakdown { name: name(system, start), parts: parts.collect() })
        };
        groups.into_iter().filter_map(bar).collect()
    }

    /// What a reader must know: calls that could not be arranged, and answers that are in no part.
    pub fn notes(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|((system, start), missing)| {
            let why = missing.error.as_ref().map(|error| format!(" (the last failure: {error})"));
            let name = name(system, *start);
            format!("{} calls of {name} could not be arranged{}", missing.count, why.unwrap_or_default())
        });
        missing.chain(self.untold()).collect()
    }

    /// How many answers do not say what they are made up of.
    fn untold(&self) -> Vec<String> {
        let mut counts: BTreeMap<(&str, Start), usize> = BTreeMap::new();
        for ((system, start, _), calls) in &self.calls {
            *counts.entry((system, *start)).or_default() += calls.made.len() - calls.parts().count();
        }
        let line = |((system, start), count): ((&str, Start), usize)| {
            let name = name(system, start);
            format!("{count} answers of {name} came without Server-Timing and are left out of its parts")
        };
        counts.into_iter().filter(|(_, count)| *count > 0).map(line).collect()
    }
}

fn name(system: &str, start: Start) -> String {
    format!("{system} {}", start.name())
}

/// None if the server does not say how long it took: not all of that is outside of it.
fn parts(answer: &Answered) -> Option<[f64; 5]> {
    let part = |name| answer.timing(name).unwrap_or(0.0);
    let (queue, fork, run, total) = (part("queue"), part("fork"), part("run"), answer.timing("total")?);
    let outside = answer.elapsed.as_secs_f64() * 1e3 - total;
    Some([queue, fork, run, (total - queue - fork - run).max(0.0), outside.max(0.0)])
}

/// None of none.
fn means<'a>(parts: impl Iterator<Item = &'a [f64; 5]>) -> Option<[f64; 5]> {
    let (mut sum, mut count) = ([0.0; 5], 0.0);
    for parts in parts {
        count += 1.0;
        sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
    (count > 0.0).then(|| sum.map(|sum: f64| sum / count))
}

fn run((system, start, repetition): &Key, calls: &Calls, seed: u64) -> RunReport {
    let Calls { made, interrupted } = calls;
    let mut times = histogram();
    for (elapsed, _) in made {
        record(&mut times, u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
    }
    RunReport {
        system: name(system, *start),
        repetition: *repetition,
        seed,
        complete: !interrupted,
        seconds: made.iter().map(|(elapsed, _)| elapsed.as_secs_f64()).sum(),
        offered_rate: None,
        answered: made.len() as u64,
        answered_in_time: made.len() as u64,
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
    let made = (1..=count).map(|ms| (Duration::from_millis(ms), None)).collect();
    run(&(call.to_owned(), Start::New, 0), &Calls { made, interrupted: false }, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(timing: &str, millis: u64) -> Answered {
        let headers = BTreeMap::from([("server-timing".to_owned(), timing.to_owned())]);
        Answered { headers, elapsed: Duration::from_millis(millis), ..Answered::default() }
    }

    fn called(answers: Vec<Answered>) -> Called {
        Called { answers, error: None }
    }

    #[test]
    fn the_parts_of_a_call_add_up_to_what_the_client_saw() {
        let parts = parts(&answer("queue;dur=1, fork;dur=2, run;dur=3, total;dur=7", 10)).unwrap();
        assert_eq!(parts.map(f64::round), [1.0, 2.0, 3.0, 1.0, 3.0]);
    }

    #[test]
    fn answers_that_do_not_tell_their_parts_are_counted_and_left_out() {
        let mut staged = Staged::default();
        let silent = || Answered { elapsed: Duration::from_millis(100), ..Answered::default() };
        staged.add("a", Start::New, 0, &called(vec![answer("total;dur=4", 6), silent()]), 2);
        staged.add("b", Start::New, 0, &called(vec![silent()]), 1);
        assert_eq!(staged.parts()[0].1.map(f64::round), [0.0, 0.0, 0.0, 4.0, 2.0]);
        assert_eq!((staged.parts().len(), staged.bars().len()), (1, 1));
        assert_eq!(staged.runs(1)[0].answered, 2);
        let note = |name: &str| {
            format!("1 answers of {name} new came without Server-Timing and are left out of its parts")
        };
        assert_eq!(staged.notes(), [note("a"), note("b")]);
    }

    #[test]
    fn an_interrupted_repetition_is_no_measure() {
        let mut staged = Staged::default();
        for (start, repetition) in [(Start::New, 0), (Start::New, 1), (Start::Cold, 1)] {
            staged.add("a", start, repetition, &called(vec![answer("total;dur=4", 6)]), 1);
        }
        staged.interrupt(1, |system, start| (system, start) == ("a", Start::New));
        let found = |run: &RunReport| (run.system.clone(), run.repetition, run.complete);
        let runs: Vec<_> = staged.runs(1).iter().map(found).collect();
        let run = |system: &str, repetition, complete| (system.to_owned(), repetition, complete);
        assert_eq!(runs, [run("a new", 0, true), run("a new", 1, false), run("a cold", 1, true)]);
        let parts: Vec<_> = staged.parts().into_iter().map(|(name, _)| name).collect();
        assert_eq!(parts, ["a new", "a cold"]);
    }

    #[test]
    fn calls_gather_by_function_start_and_repetition() {
        let mut staged = Staged::default();
        for repetition in [0, 0, 1] {
            staged.add("a", Start::New, repetition, &called(vec![answer("total;dur=4", 6)]), 1);
        }
        staged.add("a", Start::Spare, 0, &Called::default(), 1);
        let failed = Called { error: Some("a answered 500".to_owned()), ..Called::default() };
        staged.add("a", Start::Cold, 0, &failed, 2);
        let runs = staged.runs(1);
        let found: Vec<_> = runs.iter().map(|run| (&run.system[..], run.repetition, run.answered)).collect();
        assert_eq!(found, [("a new", 0, 2), ("a new", 1, 1)]);
        let median = runs[0].latencies[0].response.0.value_at_quantile(0.5) as f64 / 1e6;
        assert!((median - 6.0).abs() < 0.1, "{median}");
        assert_eq!(staged.parts().len(), 2);
        let bars = staged.bars();
        assert_eq!((bars.len(), bars[0].parts[4].1.round()), (1, 2.0));
        let notes = staged.notes();
        assert_eq!(notes[0], "1 calls of a spare could not be arranged");
        assert_eq!(
            notes[1..],
            ["2 calls of a cold could not be arranged (the last failure: a answered 500)"]
        );
    }
}
