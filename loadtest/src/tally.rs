//! What was seen, in histograms: by call, by kind of start, by kind of failure.

use crate::failure::Failure;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Longest latency that is told apart, in nanoseconds: 100 s. What took longer counts as this.
const LATENCY_MAX_NS: u64 = 100_000_000_000;
/// Shorter differences than half of this are not told apart, in nanoseconds: 128 ns are, in fact.
const LATENCY_UNIT_NS: u64 = 250;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// How the VM that answered came to be, as the header `x-spore-start` says; none from other servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The server does not say.
    None,
    /// It served before and was restored in place.
    Recycled,
    /// It was made ahead of the request.
    Spare,
    /// It served before, and its memory was mapped anew.
    Remapped,
    /// It was made for the request.
    New,
    /// It was made for the request, of a parent that was not in memory.
    Cold,
    /// A word this program does not know.
    Other,
}

impl Start {
    pub(crate) fn of(word: &[u8]) -> Start {
        match word.split(|&byte| byte == 0).next().unwrap_or_default() {
            b"" => Start::None,
            b"recycled" => Start::Recycled,
            b"spare" => Start::Spare,
            b"remapped" => Start::Remapped,
            b"new" => Start::New,
            b"cold" => Start::Cold,
            _ => Start::Other,
        }
    }

    /// Its name, as in documents.
    pub fn name(self) -> &'static str {
        match self {
            Start::None => "none",
            Start::Recycled => "recycled",
            Start::Spare => "spare",
            Start::Remapped => "remapped",
            Start::New => "new",
            Start::Cold => "cold",
            Start::Other => "other",
        }
    }
}

/// One request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Index of the call in the mix.
    pub call: usize,
    /// When it was meant to be sent, in nanoseconds since the start; in a closed loop, when it was sent.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// When its answer was complete, or it failed.
    pub done_ns: u64,
    /// How the answer came to be, or why there is none.
    pub outcome: Result<Start, Failure>,
    /// Bytes of the answer's body.
    pub body_bytes: u64,
}

/// Histograms of requests with something in common, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// From the intended time to the end of the answer.
    pub response: Histogram<u64>,
    /// From sending to the end of the answer.
    pub service: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { response: histogram(), service: histogram() }
    }
}

/// An empty histogram of latencies. It grows with the longest one: 16 KiB up to 260 us, 8 KiB more each time that doubles.
pub fn histogram() -> Histogram<u64> {
    let mut empty = Histogram::new_with_bounds(LATENCY_UNIT_NS, 2 * LATENCY_UNIT_NS, DIGITS)
        .expect("the bounds are valid");
    empty.auto(true);
    empty
}

/// Counts a latency.
pub(crate) fn record(histogram: &mut Histogram<u64>, ns: u64) {
    histogram.record(ns.min(LATENCY_MAX_NS)).expect("a histogram grows up to the longest latency");
}

/// What was seen in some time.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers as expected, by call and start.
    pub answered: BTreeMap<(usize, Start), Latencies>,
    /// Requests that failed, by call and failure.
    pub failed: BTreeMap<(usize, Failure), u64>,
    /// Requests sent later than they should have been by more than a millisecond.
    pub late: u64,
    /// Requests never sent: all connections were busy, and the queue was full.
    pub dropped: u64,
    /// Requests that were begun or waited when the run ended, and have no outcome.
    pub unfinished: u64,
    /// Answers as expected that came between the warm-up and the end, whenever they were meant to be sent.
    pub in_time: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
}

/// How late a request is sent before it is called late, in nanoseconds.
pub(crate) const LATE_NS: u64 = 1_000_000;

impl Tally {
    /// Counts one request.
    pub fn add(&mut self, record: &Record) {
        self.body_bytes += record.body_bytes;
        self.late += u64::from(record.sent_ns.saturating_sub(record.intended_ns) > LATE_NS);
        match record.outcome {
            Ok(start) => {
                let latencies = self.answered.entry((record.call, start)).or_default();
                self::record(&mut latencies.response, record.done_ns.saturating_sub(record.intended_ns));
                self::record(&mut latencies.service, record.done_ns.saturating_sub(record.sent_ns));
            }
            Err(failure) => *self.failed.entry((record.call, failure)).or_default() += 1,
        }
    }

    /// Adds what `other` saw.
    pub fn merge(&mut self, other: Tally) {
        for (key, latencies) in other.answered {
            match self.answered.entry(key) {
                Entry::Vacant(place) => drop(place.insert(latencies)),
                Entry::Occupied(mut mine) => {
                    mine.get_mut().response += latencies.response;
                    mine.get_mut().service += latencies.service;
                }
            }
        }
        for (key, count) in other.failed {
            *self.failed.entry(key).or_default() += count;
        }
        self.late += other.late;
        self.dropped += other.dropped;
        self.unfinished += other.unfinished;
        self.in_time += other.in_time;
        self.body_bytes += other.body_bytes;
    }

    /// Answers as expected.
    pub fn answers(&self) -> u64 {
        self.answered.values().map(|latencies| latencies.response.len()).sum()
    }

    /// Requests that failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// All response times.
    pub fn response(&self) -> Histogram<u64> {
        self.answered.values().fold(histogram(), |mut sum, latencies| {
            sum += &latencies.response;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(intended_ns: u64, sent_ns: u64, done_ns: u64) -> Record {
        Record { call: 0, intended_ns, sent_ns, done_ns, outcome: Ok(Start::of(b"new\0\0")), body_bytes: 3 }
    }

    #[test]
    fn response_times_count_from_the_intended_time() {
        let mut tally = Tally::default();
        tally.add(&record(1_000, 5_000_000, 6_000_000));
        tally.add(&record(1_000, 1_001, 2_000));
        let latencies = &tally.answered[&(0, Start::New)];
        assert_eq!((latencies.response.max() / 10_000, latencies.service.max() / 10_000), (600, 100));
        assert_eq!((latencies.response.min() / 128, tally.late, tally.body_bytes), (7, 1, 6));
    }

    #[test]
    fn tallies_add_up_and_nothing_is_too_long_to_count() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        one.add(&record(0, 0, u64::MAX));
        two.add(&Record { outcome: Err(Failure::Timeout), ..record(0, 0, 9) });
        two.dropped = 4;
        one.merge(two.clone());
        one.merge(two);
        assert_eq!((one.answers(), one.failures(), one.dropped), (1, 2, 8));
        assert!(one.response().max() >= LATENCY_MAX_NS);
    }
}
