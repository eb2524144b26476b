//! The numbers an experiment is made for, one for each repetition.

use crate::report::{Better, Measure, RunReport};
use crate::tally::{Start, histogram};
use hdrhistogram::Histogram;

/// Share of a run's requests that may be lost before the rest proves nothing.
pub const LOST_MAX: f64 = 0.05;

/// Measures, in the order in which they were first added.
#[derive(Clone, Debug, Default)]
pub struct Measures(Vec<Measure>);

impl Measures {
    /// Adds a value of one repetition.
    pub fn add(&mut self, name: &str, unit: &str, better: Better, value: f64) {
        match self.0.iter_mut().find(|measure| measure.name == name) {
            Some(measure) => measure.values.push(value),
            None => self.0.push(Measure {
                name: name.to_owned(),
                unit: unit.to_owned(),
                better,
                values: vec![value],
            }),
        }
    }

    /// Adds median, 99th percentile and greatest of latencies, in milliseconds: `NAME p50`, `NAME p99`, `NAME max`. Nothing of
    /// nothing.
    pub fn latencies(&mut self, name: &str, latencies: &Histogram<u64>) {
        if latencies.is_empty() {
            return;
        }
        let at = |quantile: f64| millis(latencies.value_at_quantile(quantile));
        self.add(&format!("{name} p50"), "ms", Better::Lower, at(0.5));
        self.add(&format!("{name} p99"), "ms", Better::Lower, at(0.99));
        self.add(&format!("{name} max"), "ms", Better::Lower, millis(latencies.max()));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, sorted by name: the order of systems is random, that of a document is not.
    pub fn finish(mut self) -> Vec<Measure> {
        self.0.sort_by(|one, other| one.name.cmp(&other.name));
        self.0
    }
}

/// Nanoseconds as milliseconds.
pub fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// All response times of a run; of one kind of start, if it is given.
pub fn response(run: &RunReport, start: Option<Start>) -> Histogram<u64> {
    let fits = |found: Start| start.is_none_or(|start| start == found);
    run.latencies.iter().filter(|one| fits(one.start)).fold(histogram(), |mut sum, one| {
        sum += &one.response.0;
        sum
    })
}

/// Requests that were to be sent and have no proper answer.
pub fn lost(run: &RunReport) -> u64 {
    failures(run) + run.dropped + run.unfinished
}

/// Whether more of a run's requests than [`LOST_MAX`] have no proper answer.
pub fn too_many_lost(run: &RunReport) -> bool {
    let lost = lost(run);
    lost as f64 > LOST_MAX * (lost + run.answered) as f64
}

/// Failures of a run, all kinds.
pub fn failures(run: &RunReport) -> u64 {
    run.failed.iter().map(|failed| failed.count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::staged::sample_run;
    use crate::failure::Failure;
    use crate::report::FailureCount;

    #[test]
    fn one_in_twenty_may_be_lost_by_failures_and_drops() {
        let mut run = sample_run("a", 95);
        assert!(!too_many_lost(&run));
        run.failed = vec![FailureCount { call: "a".to_owned(), failure: Failure::Timeout, count: 3 }];
        run.dropped = 2;
        assert!(!too_many_lost(&run));
        run.unfinished = 1;
        assert!(too_many_lost(&run));
    }

    #[test]
    fn values_gather_under_their_names() {
        let mut measures = Measures::default();
        assert!(measures.is_empty());
        measures.add("b", "1/s", Better::Higher, 1.0);
        assert!(!measures.is_empty());
        measures.add("a", "ms", Better::Lower, 5.0);
        measures.add("b", "1/s", Better::Higher, 3.0);
        measures.latencies("none", &histogram());
        let measures = measures.finish();
        let names: Vec<_> = measures.iter().map(|one| (&one.name[..], one.values.len())).collect();
        assert_eq!(names, [("a", 1), ("b", 2)]);
    }

    #[test]
    fn latencies_become_three_measures_in_milliseconds() {
        let mut latencies = histogram();
        for value in 1..=100 {
            latencies.record(value * 1_000_000).unwrap();
        }
        let mut measures = Measures::default();
        measures.latencies("x", &latencies);
        let found: Vec<_> =
            measures.finish().iter().map(|one| (one.name.clone(), one.values[0].round())).collect();
        assert_eq!(
            found,
            [("x max".to_owned(), 100.0), ("x p50".to_owned(), 50.0), ("x p99".to_owned(), 99.0)]
        );
    }
}
