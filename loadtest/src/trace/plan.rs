//! A replay as load: which calls there are, and when each is made.

use super::Replay;
use crate::engine::Arrival;
use std::collections::HashMap;

/// Arrivals of one replay; each is kept in memory, and so is its record.
pub const ARRIVALS_MAX: usize = 5_000_000;

/// What calls are limited to, so that a small machine can replay a large trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caps {
    /// Factor of all run times.
    pub run_scale: f64,
    /// Longest run time, in milliseconds.
    pub run_ms: f64,
    /// Most memory, in MiB.
    pub memory_mib: f64,
}

/// A call that the function can be asked for. Run times are rounded to two significant digits, at most 5 % off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Function of the replay.
    pub function: usize,
    /// How long it works.
    pub busy_ms: u32,
}

/// A replay, ready to be sent.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Different calls.
    pub kinds: Vec<Kind>,
    /// When which of them is made.
    pub arrivals: Vec<Arrival>,
    /// Memory each function of the replay touches, in MiB.
    pub memory_mib: Vec<u32>,
    /// Calls whose run time was cut.
    pub cut_calls: u64,
    /// Functions whose memory was cut.
    pub cut_functions: usize,
}

/// A replay with more than [`ARRIVALS_MAX`] arrivals, or more kinds of calls than a mix lists.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this replay has more than {ARRIVALS_MAX} calls; take fewer functions or minutes, or a lower rate")]
pub struct TooLong;

impl Planned {
    /// Takes all of a replay.
    pub fn new(replay: Replay<'_>, caps: Caps) -> Result<Planned, TooLong> {
        let (memory_mib, cut_functions) = memory(&replay, caps.memory_mib);
        let mut planned =
            Planned { kinds: Vec::new(), arrivals: Vec::new(), memory_mib, cut_calls: 0, cut_functions };
        let mut known: HashMap<Kind, u32> = HashMap::new();
        for invocation in replay {
            if planned.arrivals.len() == ARRIVALS_MAX {
                return Err(TooLong);
            }
            let run_ms = invocation.run_ms * caps.run_scale;
            planned.cut_calls += u64::from(run_ms > caps.run_ms);
            let kind = Kind { function: invocation.function, busy_ms: rounded(run_ms.min(caps.run_ms)) };
            let call = *known.entry(kind).or_insert_with(|| {
                planned.kinds.push(kind);
                u32::try_from(planned.kinds.len() - 1).unwrap_or(u32::MAX)
            });
            planned.arrivals.push(Arrival { at_ns: invocation.at_ns, call });
        }
        if planned.kinds.len() > crate::call::LISTED_MAX {
            return Err(TooLong);
        }
        Ok(planned)
    }

    /// Arrivals of each function.
    pub fn calls(&self) -> Vec<u64> {
        let mut calls = vec![0; self.memory_mib.len()];
        for arrival in &self.arrivals {
            calls[self.kinds[arrival.call as usize].function] += 1;
        }
        calls
    }

    /// Milliseconds that all calls together work.
    pub fn busy_ms(&self) -> u64 {
        self.arrivals.iter().map(|arrival| u64::from(self.kinds[arrival.call as usize].busy_ms)).sum()
    }
}

/// Memory of each function in MiB, at most `cap`, and how many would have more.
fn memory(replay: &Replay<'_>, cap: f64) -> (Vec<u32>, usize) {
    let drawn = replay.memory_mib();
    let cut = drawn.iter().filter(|&&memory| memory > cap).count();
    (drawn.into_iter().map(|memory| whole(memory.min(cap))).collect(), cut)
}

/// Whole milliseconds, of two significant digits.
fn rounded(ms: f64) -> u32 {
    let whole = whole(ms);
    let mut unit = 1;
    while whole / unit >= 100 {
        unit *= 10;
    }
    (whole / unit).saturating_mul(unit).saturating_add(if whole % unit * 2 >= unit && unit > 1 {
        unit
    } else {
        0
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn whole(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
mod tests {
    use super::super::generate::{Shape, generate};
    use super::super::{ReplayOptions, Within};
    use super::*;

    #[test]
    fn run_times_have_two_digits() {
        let of = [0.2, 1.0, 99.4, 104.0, 105.0, 1949.0, 9_999.0, 123_456.0].map(rounded);
        assert_eq!(of, [0, 1, 99, 100, 110, 1900, 10_000, 120_000]);
        assert_eq!(rounded(f64::INFINITY), u32::MAX);
    }

    #[test]
    fn every_invocation_is_planned_once_and_within_its_limits() {
        let trace = generate(Shape { functions: 50, minutes: 30 }, 3);
        let options = ReplayOptions {
            functions: 10,
            minutes: 5..10,
            speed: 60.0,
            rate: 1.0,
            within: Within::Uniform,
            seed: 1,
        };
        let replay = Replay::new(&trace, options).unwrap();
        let caps = Caps { run_scale: 0.1, run_ms: 200.0, memory_mib: 64.0 };
        let planned = Planned::new(replay.clone(), caps).unwrap();
        let invocations: Vec<_> = replay.collect();
        assert_eq!(planned.arrivals.len(), invocations.len());
        assert_eq!(planned.calls().iter().sum::<u64>(), invocations.len() as u64);
        for (arrival, invocation) in planned.arrivals.iter().zip(&invocations) {
            let kind = planned.kinds[arrival.call as usize];
            assert_eq!((arrival.at_ns, kind.function), (invocation.at_ns, invocation.function));
            let wanted = (invocation.run_ms * 0.1).min(200.0);
            assert!((f64::from(kind.busy_ms) - wanted).abs() <= 0.5 + wanted * 0.05);
        }
        assert!(planned.cut_calls > 0 && planned.cut_functions > 0);
        assert!(planned.memory_mib.iter().all(|&memory| memory <= 64));
    }
}
