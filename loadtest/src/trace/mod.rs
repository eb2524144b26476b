//! Recorded load of real platforms: who is called, when, for how long, with how much memory.
//!
//! Two public formats are read, both of Microsoft's Azure Functions:
//! - **2019** (Shahrad et al., "Serverless in the Wild", USENIX ATC 2020): invocations per minute for each function, percentiles
//!   of run times for each function, percentiles of memory for each application. When in a minute the invocations
//!   come is not recorded: [`Within`] says what is assumed.
//! - **2021** (Zhang et al., "Faster and Cheaper Serverless Computing on Harvested Resources", SOSP 2021): end and duration of
//!   each invocation.

pub mod analysis;
pub mod azure_2019;
pub mod azure_2021;
mod csv;
#[cfg(test)]
mod fuzz;
mod gaps;
pub mod generate;
pub mod plan;
mod replay;
mod sample;
pub mod sizing;

pub use csv::TraceError;
pub use gaps::Gaps;
pub use replay::{Replay, ReplayError, ReplayOptions, Within};

use serde::Serialize;

/// A trace: functions, and how often each is called.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The functions.
    pub functions: Vec<Function>,
    /// When they are called.
    pub calls: Calls,
}

/// A function of a trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    /// Its name in the trace.
    pub id: String,
    /// The application it belongs to.
    pub app: String,
    /// Run times in milliseconds; none where the trace has none.
    pub run_ms: Option<Percentiles>,
    /// Memory in MB; none where the trace has none.
    pub memory_mb: Option<Percentiles>,
}

/// When functions are called.
#[derive(Clone, Debug)]
pub enum Calls {
    /// Counts, for each function and each minute.
    PerMinute(Vec<Vec<u32>>),
    /// Single invocations, in order of their start.
    Each(Vec<Invocation>),
}

/// One invocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Invocation {
    /// Start, in nanoseconds since the beginning of the trace.
    pub at_ns: u64,
    /// Index of the function.
    pub function: usize,
    /// How long it runs, in milliseconds.
    pub run_ms: f64,
}

/// A distribution, known at some points: percents and values, both rising.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Percentiles(Vec<(f64, f64)>);

impl Percentiles {
    /// From points; values that fall are raised to those before them, as rounding in the traces needs.
    ///
    /// `None` without points, or if the percents do not rise from 0 or more to at most 100.
    pub fn new(points: Vec<(f64, f64)>) -> Option<Percentiles> {
        let rising = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let inside =
            points.iter().all(|(percent, value)| (0.0..=100.0).contains(percent) && value.is_finite());
        let mut highest = 0.0_f64;
        let raised = points.iter().map(|&(percent, value)| {
            highest = highest.max(value);
            (percent, highest)
        });
        (rising && inside && !points.is_empty()).then(|| Percentiles(raised.collect()))
    }

    /// The value at `percent`, in a straight line between the points next to it.
    pub fn at(&self, percent: f64) -> f64 {
        let after = self.0.partition_point(|point| point.0 < percent);
        match (after.checked_sub(1).and_then(|before| self.0.get(before)), self.0.get(after)) {
            (Some(before), Some(after)) => {
                before.1 + (after.1 - before.1) * (percent - before.0) / (after.0 - before.0)
            }
            (Some(point), None) | (None, Some(point)) => point.1,
            (None, None) => 0.0,
        }
    }
}

impl Trace {
    /// All invocations of the trace.
    pub fn invocations(&self) -> u64 {
        match &self.calls {
            Calls::PerMinute(counts) => counts.iter().flatten().map(|&count| u64::from(count)).sum(),
            Calls::Each(each) => each.len() as u64,
        }
    }

    /// Minutes from the beginning to the end, rounded up.
    pub fn minutes(&self) -> usize {
        match &self.calls {
            Calls::PerMinute(counts) => counts.iter().map(Vec::len).max().unwrap_or(0),
            Calls::Each(each) => each.last().map_or(0, |last| minute_of(last.at_ns) + 1),
        }
    }
}

const MINUTE_NS: u64 = 60_000_000_000;

fn minute_of(at_ns: u64) -> usize {
    usize::try_from(at_ns / MINUTE_NS).unwrap_or(usize::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_read_between_its_points() {
        let run = Percentiles::new(vec![(0.0, 10.0), (50.0, 20.0), (100.0, 120.0)]).unwrap();
        assert_eq!([0.0, 25.0, 50.0, 75.0, 100.0].map(|at| run.at(at)), [10.0, 15.0, 20.0, 70.0, 120.0]);
        let part = Percentiles::new(vec![(1.0, 5.0), (99.0, 4.0)]).unwrap();
        assert_eq!([0.0, 50.0, 100.0].map(|at| part.at(at)), [5.0, 5.0, 5.0]);
        for wrong in [vec![], vec![(2.0, 1.0), (1.0, 2.0)], vec![(0.0, f64::NAN)], vec![(101.0, 1.0)]] {
            assert_eq!(Percentiles::new(wrong), None);
        }
    }
}
