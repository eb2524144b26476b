//! What one thread counts: everything once, for the end, and the second under way, for whoever watches.

use super::{Interval, Load, Plan, nanoseconds};
use crate::failure::Failure;
use crate::tally::{LATE_NS, Record, Tally, histogram, record};
use rustix::time::{ClockId, clock_gettime};
use std::sync::mpsc::Sender;

const SECOND_NS: u64 = 1_000_000_000;

/// What a thread says at its end.
#[derive(Debug, Default)]
pub(crate) struct ThreadReport {
    /// Everything after the warm-up.
    pub(super) tally: Tally,
    /// Processor time between the warm-up and the end, in seconds.
    pub(super) cpu_seconds: f64,
    /// The time in which that was used, in nanoseconds.
    pub(super) cpu_ns: u64,
    /// The end, in nanoseconds since the start: that of the plan, or when it was stopped.
    pub(super) end_ns: u64,
    /// Requests begun after the warm-up; in an open loop, arrivals.
    pub(super) begun: u64,
    /// Those of them that this thread looked at late, whatever the target did.
    pub(super) late_itself: u64,
    /// Requests that found no descriptor or port.
    pub(super) exhausted: u64,
}

/// The counters of a thread.
pub(super) struct Counts {
    report: ThreadReport,
    interval: Interval,
    sender: Sender<Interval>,
    warm_up_ns: u64,
    /// Whether each request is recorded.
    each: bool,
    /// Whether all calls count as one.
    as_one: bool,
    /// Processor time at the end of the warm-up, and at the end.
    cpu_from: Option<Used>,
    cpu_until: Option<Used>,
}

/// Processor time at some time.
#[derive(Clone, Copy)]
struct Used {
    at_ns: u64,
    seconds: f64,
}

impl Counts {
    /// Of the thread that calls. Each request is recorded if `recorded` says so, and those of a given load in any case.
    pub(super) fn new(plan: &Plan, recorded: bool, sender: Sender<Interval>) -> Counts {
        let as_one = matches!(plan.load, Load::Given(_));
        Counts {
            report: ThreadReport { end_ns: nanoseconds(plan.duration), ..ThreadReport::default() },
            interval: Interval::new(0),
            sender,
            warm_up_ns: nanoseconds(plan.warm_up),
            each: recorded || as_one,
            as_one,
            cpu_from: None,
            cpu_until: None,
        }
    }

    /// A request of an open loop is due, and is looked at now.
    pub(super) fn arrival(&mut self, intended_ns: u64, now_ns: u64) {
        self.begin(intended_ns);
        if intended_ns >= self.warm_up_ns {
            self.report.late_itself += u64::from(now_ns.saturating_sub(intended_ns) > LATE_NS);
        }
    }

    /// A request is begun. It will be over or dropped, or is unfinished at the end.
    pub(super) fn begin(&mut self, intended_ns: u64) {
        self.report.begun += u64::from(intended_ns >= self.warm_up_ns);
    }

    /// A request is over.
    pub(super) fn add(&mut self, one: &Record) {
        self.turn_to(one.done_ns);
        match one.outcome {
            Ok(_) => {
                record(&mut self.interval.response, one.done_ns.saturating_sub(one.intended_ns));
                let counted = self.warm_up_ns..self.report.end_ns;
                self.report.tally.in_time += u64::from(counted.contains(&one.done_ns));
            }
            Err(failure) => {
                self.interval.failed += 1;
                self.report.exhausted += u64::from(failure == Failure::Exhausted);
            }
        }
        if one.intended_ns < self.warm_up_ns {
            self.interval.warm_up += 1;
            return;
        }
        if self.each {
            self.interval.records.push(*one);
        }
        if self.as_one {
            self.report.tally.add(&Record { call: 0, ..*one });
        } else {
            self.report.tally.add(one);
        }
    }

    /// A request is never sent.
    pub(super) fn drop_one(&mut self, intended_ns: u64, now_ns: u64) {
        self.turn_to(now_ns);
        self.interval.dropped += 1;
        if intended_ns >= self.warm_up_ns {
            self.report.tally.dropped += 1;
        }
    }

    /// Tells of the second before, if a new one has begun.
    pub(super) fn turn_to(&mut self, now_ns: u64) {
        if self.cpu_from.is_none() && now_ns >= self.warm_up_ns {
            self.cpu_from = Some(Used::until(now_ns));
        }
        if self.cpu_until.is_none() && now_ns >= self.report.end_ns {
            self.cpu_until = Some(Used::until(now_ns));
        }
        let second = now_ns / SECOND_NS;
        if self.interval.second < second {
            let before = std::mem::replace(&mut self.interval, Interval::new(second));
            // Nobody listens any more: then nobody wants to know.
            let _ = self.sender.send(before);
        }
    }

    /// Somebody stopped the run: what comes after this is not in time.
    pub(super) fn stopped(&mut self, now_ns: u64) {
        self.report.end_ns = self.report.end_ns.min(now_ns);
        self.turn_to(now_ns);
    }

    /// The end of the thread.
    pub(super) fn finish(mut self, now_ns: u64) -> ThreadReport {
        self.turn_to(now_ns);
        if let Some(from) = self.cpu_from {
            let until = self.cpu_until.unwrap_or_else(|| Used::until(now_ns));
            self.report.cpu_seconds = until.seconds - from.seconds;
            self.report.cpu_ns = until.at_ns.saturating_sub(from.at_ns);
        }
        let ThreadReport { begun, tally, .. } = &mut self.report;
        let over = tally.answers() + tally.failures() + tally.dropped;
        debug_assert!(over <= *begun, "{over} requests ended, {begun} began");
        tally.unfinished = begun.saturating_sub(over);
        let _ = self.sender.send(self.interval);
        self.report
    }
}

impl Interval {
    fn new(second: u64) -> Interval {
        Interval { second, response: histogram(), failed: 0, dropped: 0, warm_up: 0, records: Vec::new() }
    }
}

impl Used {
    /// By this thread; `at_ns` is now.
    fn until(at_ns: u64) -> Used {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Used { at_ns, seconds: used.tv_sec as f64 + used.tv_nsec as f64 / 1e9 }
    }
}
