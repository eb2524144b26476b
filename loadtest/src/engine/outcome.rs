//! A whole run: what the threads counted, put together.

use super::counts::ThreadReport;
use super::{Interval, Load, Prepared, Run};
use crate::report::{Generator, RATE_SECONDS_MIN, Second};
use crate::tally::{Record, Tally};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Names of the calls of the mix.
    pub calls: Vec<String>,
    /// Seed of the schedule.
    pub seed: u64,
    /// Whether it came to its end: it was not stopped, and no thread failed.
    pub complete: bool,
    /// Seconds that were counted.
    pub seconds: f64,
    /// Requests meant to be sent a second, without the warm-up; none in a closed loop, or of a burst alone.
    pub offered_rate: Option<f64>,
    /// Everything after the warm-up.
    pub total: Tally,
    /// Requests of the warm-up.
    pub warm_up: u64,
    /// Each second.
    pub timeline: Vec<Second>,
    /// Each request after the warm-up, of a given load or if they were to be recorded; the call is the one of the mix. Nearly in
    /// the order in which they ended.
    pub records: Vec<Record>,
    /// Requests that were to be recorded, but were more than there is room for.
    pub unrecorded: u64,
    /// What the generator itself did.
    pub generator: Generator,
}

/// What there is so far, with the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Answers as expected.
    pub answered: u64,
    /// Failures.
    pub failed: u64,
    /// Requests never sent.
    pub dropped: u64,
}

/// Seconds that are kept open for threads that report late.
const OPEN_SECONDS: u64 = 1;
/// A thread busier than this share of its time had no time to be exact.
const BUSY: f64 = 0.9;
/// More sends than this share late by the generator's own doing spoil its latencies.
const LATE_SHARE: f64 = 0.01;

impl Run {
    /// Follows the run to its end. `each` is told of every second that is over, and of everything up to then.
    pub fn watch(self, mut each: impl FnMut(&Second, &Progress)) -> io::Result<Outcome> {
        let mut open: BTreeMap<u64, Interval> = BTreeMap::new();
        let mut outcome = self.empty_outcome();
        let mut progress = Progress::default();
        let mut close = |outcome: &mut Outcome, interval: &Interval| {
            let second = summary(interval);
            progress.answered += second.answered;
            progress.failed += second.failed;
            progress.dropped += second.dropped;
            each(&second, &progress);
            outcome.timeline.push(second);
        };
        let most = self.prepared.recorded.unwrap_or(usize::MAX);
        for mut interval in self.intervals() {
            outcome.keep(&mut interval.records, most);
            outcome.warm_up += interval.warm_up;
            let latest = interval.second;
            // What comes after its second was closed counts with the next one.
            let next = outcome.timeline.last().map_or(0, |last| last.second + 1);
            interval.second = interval.second.max(next);
            match open.get_mut(&interval.second) {
                Some(same) => same.merge(interval),
                None => drop(open.insert(interval.second, interval)),
            }
            while let Some(first) = open.first_entry() {
                if first.key() + OPEN_SECONDS > latest {
                    break;
                }
                close(&mut outcome, &first.remove());
            }
        }
        for interval in open.values() {
            close(&mut outcome, interval);
        }
        self.complete(&mut outcome)?;
        Ok(outcome)
    }

    /// What the threads count, as they do; without end only as long as the run goes on.
    fn intervals(&self) -> impl Iterator<Item = Interval> {
        self.intervals.iter()
    }

    fn empty_outcome(&self) -> Outcome {
        let plan = &self.prepared.plan;
        let names = match plan.load {
            Load::Given(_) => vec!["all".to_owned()],
            Load::Open(_) | Load::Closed => plan.mix.calls().iter().map(|call| call.name.clone()).collect(),
        };
        Outcome {
            calls: names,
            seed: plan.seed,
            complete: false,
            seconds: 0.0,
            offered_rate: None,
            total: Tally::default(),
            warm_up: 0,
            timeline: Vec::new(),
            records: Vec::new(),
            unrecorded: 0,
            generator: Generator { threads: plan.threads, ..Generator::default() },
        }
    }

    /// Waits for the threads, and notes what is known only at the end. A thread that failed takes no more with it than what it
    /// counted itself; it is an error only if there is no other.
    fn complete(self, outcome: &mut Outcome) -> io::Result<()> {
        let (mut reports, mut failed) = (Vec::new(), Vec::new());
        for thread in self.threads {
            match thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))) {
                Ok(report) => reports.push(report),
                Err(error) => failed.push(error),
            }
        }
        let (count, all) = (failed.len(), failed.len() + reports.len());
        let mut first = failed.into_iter().next();
        if let Some(error) = first.take_if(|_| reports.is_empty()) {
            return Err(error);
        }
        let Prepared { plan, stop, .. } = &*self.prepared;
        outcome.complete = !stop.is_set() && count == 0;
        let end = Duration::from_nanos(reports.iter().map(|report| report.end_ns).max().unwrap_or(0));
        outcome.seconds = end.saturating_sub(plan.warm_up).as_secs_f64();
        outcome.add_threads(reports, plan.load != Load::Closed);
        if let Some(error) = first {
            outcome.generator.limited = Some(format!(
                "{count} of {all} sending threads failed, and what they counted is lost: {error}"
            ));
        }
        Ok(())
    }
}

impl Interval {
    fn merge(&mut self, other: Interval) {
        self.response += other.response;
        self.failed += other.failed;
        self.dropped += other.dropped;
    }
}

impl Outcome {
    /// Keeps records, up to `most` in all.
    fn keep(&mut self, records: &mut Vec<Record>, most: usize) {
        let room = most.saturating_sub(self.records.len());
        self.unrecorded += records.len().saturating_sub(room) as u64;
        records.truncate(room);
        self.records.append(records);
    }

    /// Adds what the threads said at their end.
    pub(super) fn add_threads(&mut self, reports: Vec<ThreadReport>, open_loop: bool) {
        let arrivals: u64 = reports.iter().map(|report| report.begun).sum();
        let has_rate = self.seconds >= RATE_SECONDS_MIN;
        self.offered_rate = (open_loop && has_rate).then(|| arrivals as f64 / self.seconds);
        self.generator.cpu_seconds = reports.iter().map(|report| report.cpu_seconds).sum();
        self.generator.limited = limited(&reports, arrivals, has_rate);
        for report in reports {
            self.total.merge(report.tally);
        }
    }
}

/// Why the generator was the limit, if it was.
fn limited(reports: &[ThreadReport], arrivals: u64, has_rate: bool) -> Option<String> {
    let exhausted: u64 = reports.iter().map(|report| report.exhausted).sum();
    if exhausted > 0 {
        return Some(format!(
            "{exhausted} connections found no descriptor, port or memory (see ulimit -n and \
             net.ipv4.ip_local_port_range)"
        ));
    }
    let share = |report: &ThreadReport| report.cpu_seconds / (report.cpu_ns as f64 / 1e9).max(1e-9);
    let busiest = reports.iter().map(share).fold(0.0, f64::max);
    // It may well be busy for the moment of a burst.
    if has_rate && busiest > BUSY {
        let percent = 100.0 * busiest;
        return Some(format!(
            "a sending thread was busy {percent:.0} % of the time; give it more with --threads"
        ));
    }
    let late: u64 = reports.iter().map(|report| report.late_itself).sum();
    if late as f64 > LATE_SHARE * arrivals as f64 {
        return Some(format!(
            "{late} of {arrivals} requests were due more than 1 ms before its threads came to them: they had no processor, or too much to do at once"
        ));
    }
    None
}

fn summary(interval: &Interval) -> Second {
    let response = &interval.response;
    let micros = |ns: u64| ns as f64 / 1000.0;
    Second {
        second: interval.second,
        answered: response.len(),
        failed: interval.failed,
        dropped: interval.dropped,
        p50_us: micros(response.value_at_quantile(0.5)),
        p99_us: micros(response.value_at_quantile(0.99)),
        max_us: micros(response.max()),
    }
}
