//! What a replay's records say about each function, and about all.

use super::plan::Planned;
use crate::tally::{Record, Start};
use std::collections::BTreeMap;

/// What came of a function's calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionResult {
    /// Calls of the trace.
    pub calls: u64,
    /// Answers as expected.
    pub answered: u64,
    /// Failures.
    pub failed: u64,
    /// Answers of VMs that were made for the request.
    pub made: u64,
    /// Those of them whose request had to wait for the parent.
    pub waited: u64,
    /// Response time over run time of each answer, rising; without calls of run time 0.
    pub slowdowns: Vec<f64>,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// By function of the replay.
    pub functions: Vec<FunctionResult>,
    /// Answers by how the VM came to be.
    pub starts: BTreeMap<Start, u64>,
    /// Slowdowns of all answers, rising.
    pub slowdowns: Vec<f64>,
    /// Seconds that answered calls were asked to work.
    pub busy_s: f64,
    /// Seconds from sending to answer, all answers together.
    pub service_s: f64,
    /// Touched memory of answered calls times their service time, in GiB-seconds.
    pub touched_gib_s: f64,
    /// The same as a provider bills it: the function's whole memory, times in whole milliseconds.
    pub billed_gib_s: f64,
    /// Service times in whole milliseconds, in seconds.
    pub billed_s: f64,
}

/// Counts records. `memory_mib` is what each function of the replay is deployed with.
pub fn analyse(planned: &Planned, records: &[Record], memory_mib: &[u32]) -> Analysis {
    let calls = planned.calls().into_iter();
    let functions = calls.map(|calls| FunctionResult { calls, ..FunctionResult::default() }).collect();
    let mut all = Analysis { functions, ..Analysis::default() };
    for record in records {
        all.add(planned, record, memory_mib);
    }
    all.slowdowns.sort_by(f64::total_cmp);
    for function in &mut all.functions {
        function.slowdowns.sort_by(f64::total_cmp);
    }
    all
}

impl Analysis {
    fn add(&mut self, planned: &Planned, record: &Record, memory_mib: &[u32]) {
        let kind = planned.kinds[record.call];
        let function = &mut self.functions[kind.function];
        let Ok(start) = record.outcome else {
            function.failed += 1;
            return;
        };
        function.answered += 1;
        function.made += u64::from(matches!(start, Start::New | Start::Cold));
        function.waited += u64::from(start == Start::Cold);
        *self.starts.entry(start).or_default() += 1;
        let seconds = |from: u64| record.done_ns.saturating_sub(from) as f64 / 1e9;
        let (response, service) = (seconds(record.intended_ns), seconds(record.sent_ns));
        let busy = f64::from(kind.busy_ms) / 1e3;
        if kind.busy_ms > 0 {
            let slowdown = response * 1e3 / f64::from(kind.busy_ms);
            function.slowdowns.push(slowdown);
            self.slowdowns.push(slowdown);
        }
        let billed = record.done_ns.saturating_sub(record.sent_ns).div_ceil(1_000_000) as f64 / 1e3;
        let gib = |mib: u32| f64::from(mib) / 1024.0;
        self.busy_s += busy;
        self.service_s += service;
        self.touched_gib_s += gib(planned.memory_mib[kind.function]) * service;
        self.billed_s += billed;
        self.billed_gib_s += gib(memory_mib.get(kind.function).copied().unwrap_or(0)) * billed;
    }

    /// Answers as expected.
    pub fn answered(&self) -> u64 {
        self.starts.values().sum()
    }

    /// Failures.
    pub fn failed(&self) -> u64 {
        self.functions.iter().map(|function| function.failed).sum()
    }

    /// For each function with answers the part of them whose VM was made for the request, rising.
    pub fn parts_made(&self) -> Vec<f64> {
        let with_answers = self.functions.iter().filter(|function| function.answered > 0);
        let mut parts: Vec<f64> =
            with_answers.map(|function| function.made as f64 / function.answered as f64).collect();
        parts.sort_by(f64::total_cmp);
        parts
    }
}

/// The value at a quantile of rising values, if there are any.
pub fn quantile(rising: &[f64], quantile: f64) -> Option<f64> {
    let last = rising.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let at = (quantile * last as f64).round() as usize;
    rising.get(at.min(last)).copied()
}

/// Points of the distribution of rising values: (value, share of values at most so great), at most about `most` of them.
pub fn distribution(rising: &[f64], most: usize) -> Vec<(f64, f64)> {
    let step = rising.len().div_ceil(most.max(1)).max(1);
    let share = |index: usize| (index + 1) as f64 / rising.len() as f64;
    let mut points: Vec<(f64, f64)> =
        rising.iter().enumerate().step_by(step).map(|(index, &value)| (value, share(index))).collect();
    if let Some(&last) = rising.last() {
        points.push((last, 1.0));
    }
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::super::plan::Kind;
    use super::*;
    use crate::engine::Arrival;
    use crate::failure::Failure;

    #[test]
    fn records_become_rates_slowdowns_and_what_is_billed() {
        let kinds = vec![Kind { function: 0, busy_ms: 100 }, Kind { function: 1, busy_ms: 0 }];
        let arrivals = [0, 0, 0, 1].map(|call| Arrival { at_ns: 0, call }).into();
        let memory_mib = vec![512, 0];
        let planned = Planned { kinds, arrivals, memory_mib, cut_calls: 0, cut_functions: 0 };
        let record = |call, outcome, done_ms: u64| Record {
            call,
            intended_ns: 0,
            sent_ns: 50_000_000,
            done_ns: done_ms * 1_000_000,
            outcome,
            body_bytes: 0,
        };
        let records = [
            record(0, Ok(Start::New), 300),
            record(0, Ok(Start::Recycled), 150),
            record(0, Err(Failure::Timeout), 900),
            record(1, Ok(Start::Remapped), 51),
            record(1, Ok(Start::Cold), 51),
        ];
        let found = analyse(&planned, &records, &[1024, 2048]);
        let first = FunctionResult {
            calls: 3,
            answered: 2,
            failed: 1,
            made: 1,
            waited: 0,
            slowdowns: vec![1.5, 3.0],
        };
        assert_eq!(found.functions[0], first);
        assert_eq!((found.functions[1].made, found.functions[1].waited), (1, 1));
        assert_eq!((found.answered(), found.failed(), found.slowdowns.len()), (4, 1, 2));
        assert_eq!(found.parts_made(), [0.5, 0.5]);
        let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
        near(found.busy_s, 0.2);
        near(found.service_s, 0.352);
        near(found.touched_gib_s, 0.175);
        near(found.billed_gib_s, 0.354);
    }

    #[test]
    fn a_distribution_goes_up_to_its_greatest_value() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let points = distribution(&values, 100);
        assert_eq!((points.len(), points[0], points[100]), (101, (0.0, 0.001), (999.0, 1.0)));
        assert_eq!(distribution(&[], 10), []);
        let at = |quantile| super::quantile(&values, quantile);
        assert_eq!((at(0.5), at(1.0), quantile(&[], 0.5)), (Some(500.0), Some(999.0), None));
    }
}
