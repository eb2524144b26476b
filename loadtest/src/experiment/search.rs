//! The search for the knee: the greatest rate a server keeps up with.

use super::measures::{lost, millis, response};
use crate::report::RunReport;
use std::time::Duration;

/// What is tried before the search gives up doubling.
const DOUBLINGS_MAX: u32 = 24;
/// A run with fewer requests says nothing.
const ARRIVALS_MIN: f64 = 10.0;
/// A rate is tried if so many requests are to be expected: those of a Poisson process vary.
const EXPECTED_MIN: f64 = 2.0 * ARRIVALS_MIN;
/// Share of what was offered that must be answered.
const GOODPUT_MIN: f64 = 0.95;

/// The least rate that a run of this length says something of.
pub fn least_rate(duration: Duration) -> f64 {
    EXPECTED_MIN / duration.as_secs_f64().max(1e-3)
}

/// The state of a search: rates are doubled until one is too much, then the gap is halved.
#[derive(Clone, Debug)]
pub struct Search {
    low: Option<f64>,
    high: Option<f64>,
    next: f64,
    precision: f64,
    least: f64,
    steps: u32,
}

impl Search {
    /// Begins at `first` (more than 0) and ends when the gap is less than `precision` of the rate. Rates below `least` are not
    /// tried.
    pub fn new(first: f64, precision: f64, least: f64) -> Search {
        let precision = precision.max(1e-3);
        Search { low: None, high: None, next: first.max(least), precision, least, steps: 0 }
    }

    /// The rate to try next; none when the knee is known.
    pub fn next(&self) -> Option<f64> {
        let close = match (self.low, self.high) {
            (Some(low), Some(high)) => (high - low) / high <= self.precision,
            _ => false,
        };
        (!close && self.next >= self.least && self.steps < 2 * DOUBLINGS_MAX).then_some(self.next)
    }

    /// Tells whether the server kept up with the rate that [`Search::next`] gave.
    pub fn tell(&mut self, kept_up: bool) {
        self.steps += 1;
        let tried = self.next;
        *if kept_up { &mut self.low } else { &mut self.high } = Some(tried);
        self.next = match (self.low, self.high) {
            (Some(low), Some(high)) => f64::midpoint(low, high),
            (Some(low), None) => low * 2.0,
            (None, Some(high)) => high / 2.0,
            (None, None) => tried,
        };
    }

    /// The greatest rate that was kept up with; none if none was.
    pub fn knee(&self) -> Option<f64> {
        self.low
    }
}

/// Whether a run kept up: it had some requests, at least 95 % of them were answered as expected, and the 99th percentile of all
/// is below the limit.
pub fn keeps_up(run: &RunReport, limit_ms: f64) -> bool {
    // What was offered in fact: a Poisson process of a short run differs from its rate.
    let offered = run.offered_rate.unwrap_or(0.0);
    offered * run.seconds >= ARRIVALS_MIN && run.goodput() >= GOODPUT_MIN * offered && p99_ms(run) <= limit_ms
}

/// The 99th percentile of the response time in milliseconds; what has no proper answer took forever.
fn p99_ms(run: &RunReport) -> f64 {
    let times = response(run, None);
    let rank = (0.99 * (times.len() + lost(run)) as f64).ceil();
    let quantile = rank / times.len().max(1) as f64;
    if times.is_empty() || quantile > 1.0 { f64::INFINITY } else { millis(times.value_at_quantile(quantile)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::staged::sample_run;
    use crate::failure::Failure;
    use crate::report::FailureCount;

    fn search(knee: f64, first: f64) -> (Option<f64>, Vec<f64>) {
        let mut search = Search::new(first, 0.05, 0.0);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.tell(rate <= knee);
        }
        (search.knee(), tried)
    }

    #[test]
    fn the_knee_is_found_from_below_and_from_above() {
        for (knee, first) in [(1234.0, 10.0), (1234.0, 100_000.0), (7.0, 7.0), (3.3, 1.0)] {
            let (found, tried) = search(knee, first);
            let found = found.unwrap();
            assert!(found <= knee && found >= knee * 0.94, "{found} of {knee}: {tried:?}");
            assert!(tried.len() < 30, "{tried:?}");
        }
        assert_eq!(search(100.0, 10.0).1[..5], [10.0, 20.0, 40.0, 80.0, 160.0]);
    }

    #[test]
    fn what_always_or_never_keeps_up_ends_too() {
        let (found, tried) = search(f64::INFINITY, 1.0);
        assert!(found.unwrap() > 1e6 && tried.len() <= 48);
        let (found, tried) = search(0.0, 1.0);
        assert!(found.is_none() && tried.len() <= 48);
    }

    #[test]
    fn rates_of_too_few_requests_are_not_tried() {
        let least = least_rate(Duration::from_secs(10));
        assert_eq!(least, 2.0);
        let mut search = Search::new(1.0, 0.05, least);
        assert_eq!(search.next(), Some(2.0));
        search.tell(false);
        assert_eq!((search.next(), search.knee()), (None, None));
    }

    /// A run of a second with answers after 1 ms, 2 ms, and so on.
    fn run(answered: u64, failed: u64, dropped: u64) -> RunReport {
        let mut run = sample_run("call", answered);
        run.seconds = 1.0;
        run.offered_rate = Some((answered + failed + dropped) as f64);
        run.dropped = dropped;
        run.failed = vec![FailureCount { call: "call".to_owned(), failure: Failure::Connect, count: failed }];
        run
    }

    #[test]
    fn keeping_up_is_answers_in_time() {
        assert!(keeps_up(&run(100, 0, 0), 100.0));
        assert!(!keeps_up(&run(100, 0, 0), 98.0));
        let slow = RunReport { offered_rate: Some(106.0), ..run(100, 0, 0) };
        assert!(!keeps_up(&slow, 1000.0));
    }

    #[test]
    fn a_dead_server_keeps_up_with_nothing() {
        assert!(!keeps_up(&run(0, 0, 0), 1000.0) && !keeps_up(&run(0, 100, 0), 1000.0));
        assert!(!keeps_up(&run(9, 0, 0), 1000.0));
    }

    #[test]
    fn what_fails_takes_forever() {
        assert!(keeps_up(&run(199, 1, 0), 1000.0) && keeps_up(&run(199, 0, 1), 1000.0));
        assert!(!keeps_up(&run(96, 4, 0), 1000.0) && !keeps_up(&run(96, 0, 4), 1000.0));
        // The failure is the slowest of 100, so the 99th percentile is the slowest answer.
        assert_eq!((p99_ms(&run(99, 1, 0)).round(), p99_ms(&run(99, 2, 0))), (99.0, f64::INFINITY));
    }
}
