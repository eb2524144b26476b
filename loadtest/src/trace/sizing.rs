//! How many machines a tenant needs, computed from the trace and what a call costs.
//!
//! - By processor: the busy time of the busiest minute (run times as far as they lie in it, and the overhead of each
//!   call), over what the cores of a machine may be busy in a minute. A run counts as one busy core: an upper
//!   bound for functions that wait.
//! - By memory: the most memory of calls under way at one moment (what each touches, and what a VM has of its own),
//!   and the parents of all functions, over what a machine may use of its memory.

use super::{MINUTE_NS, Replay};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is assumed of machines and platform.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Assumptions {
    /// Processor time of a call beside its run time, in milliseconds.
    pub overhead_ms: f64,
    /// Memory of a live VM beside what its function touches, in MiB.
    pub vm_mib: f64,
    /// Memory of a function's parent, in MiB.
    pub parent_mib: f64,
    /// Cores of a machine.
    pub cores: f64,
    /// Memory of a machine, in MiB.
    pub memory_mib: f64,
    /// Part of the cores that may be busy.
    pub cpu_share: f64,
    /// Part of the memory that may be used.
    pub memory_share: f64,
}

/// What a trace needs. Times are those of the trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sizing {
    /// Calls.
    pub calls: u64,
    /// Run times of all calls together, in seconds, also what lies behind the end of the time replayed.
    pub run_s: f64,
    /// Busy core-seconds of each minute, with overhead.
    pub busy_s: Vec<f64>,
    /// Most calls under way in each minute.
    pub concurrency: Vec<u64>,
    /// Most memory of calls under way at once, in MiB.
    pub live_mib: f64,
    /// Memory of parents, in MiB.
    pub parents_mib: f64,
    /// Memory of calls times their run time, in GiB-seconds.
    pub gib_s: f64,
    /// Machines for the mean minute.
    pub by_cpu_mean: f64,
    /// Machines for the busiest minute.
    pub by_cpu_peak: f64,
    /// Machines for the memory.
    pub by_memory: f64,
    /// Machines: the greater one of both peaks, whole.
    pub machines: u64,
}

/// Sizes a replay. It must be at the speed of the trace for its figures to be those of the tenant.
pub fn size(replay: Replay<'_>, of: Assumptions) -> Sizing {
    let memory = replay.memory_mib();
    let minutes = usize::try_from(replay.length_ns().div_ceil(MINUTE_NS)).unwrap_or(0);
    let mut sizing = Sizing {
        busy_s: vec![0.0; minutes],
        concurrency: vec![0; minutes],
        parents_mib: of.parent_mib * memory.len() as f64,
        ..Sizing::default()
    };
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut live = 0.0;
    for call in replay {
        let lasts_ns = nanoseconds(call.run_ms + of.overhead_ms);
        while let Some(Reverse((end, function))) = running.peek().copied() {
            if end > call.at_ns {
                break;
            }
            running.pop();
            live -= memory[function] + of.vm_mib;
        }
        let end = call.at_ns.saturating_add(lasts_ns);
        running.push(Reverse((end, call.function)));
        let own = memory[call.function] + of.vm_mib;
        live += own;
        sizing.live_mib = sizing.live_mib.max(live);
        sizing.calls += 1;
        sizing.run_s += call.run_ms / 1e3;
        sizing.gib_s += own / 1024.0 * lasts_ns as f64 / 1e9;
        let minute = usize::try_from(call.at_ns / MINUTE_NS).unwrap_or(usize::MAX);
        if let Some(most) = sizing.concurrency.get_mut(minute) {
            *most = (*most).max(running.len() as u64);
        }
        spread(&mut sizing.busy_s, call.at_ns, end);
    }
    sizing.finish(of)
}

/// Adds a time to the minutes that it covers.
fn spread(busy_s: &mut [f64], from: u64, to: u64) {
    let first = usize::try_from(from / MINUTE_NS).unwrap_or(usize::MAX);
    for (minute, busy) in busy_s.iter_mut().enumerate().skip(first) {
        let begin = minute as u64 * MINUTE_NS;
        if begin >= to {
            break;
        }
        *busy += (to.min(begin + MINUTE_NS) - from.max(begin)) as f64 / 1e9;
    }
}

impl Sizing {
    fn finish(mut self, of: Assumptions) -> Sizing {
        let capacity = 60.0 * of.cores * of.cpu_share;
        let mean = self.busy_s.iter().sum::<f64>() / self.busy_s.len().max(1) as f64;
        self.by_cpu_mean = mean / capacity;
        self.by_cpu_peak = self.busy_s.iter().copied().fold(0.0, f64::max) / capacity;
        self.by_memory = (self.live_mib + self.parents_mib) / (of.memory_mib * of.memory_share);
        self.machines = up(self.by_cpu_peak.max(self.by_memory)).max(1);
        self
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn up(value: f64) -> u64 {
    value.ceil() as u64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn nanoseconds(ms: f64) -> u64 {
    (ms * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::{Calls, Function, Invocation, Percentiles, ReplayOptions, Trace, Within};
    use super::*;

    #[test]
    fn machines_follow_from_the_busiest_minute_and_the_fullest_moment() {
        let function = Function {
            id: "f".into(),
            app: "a".into(),
            run_ms: None,
            memory_mb: Percentiles::new(vec![(50.0, 100.0)]),
        };
        let call = |at_s: u64, run_ms| Invocation { at_ns: at_s * 1_000_000_000, function: 0, run_ms };
        // Two at once for 30 s; one that begins 10 s before the end of a minute and lasts 20 s.
        let calls = Calls::Each(vec![call(0, 30e3), call(0, 30e3), call(50, 20e3), call(119, 0.0)]);
        let trace = Trace { functions: vec![function], calls };
        let options = ReplayOptions {
            functions: 1,
            minutes: 0..2,
            speed: 1.0,
            rate: 1.0,
            within: Within::Uniform,
            seed: 0,
        };
        let of = Assumptions {
            overhead_ms: 0.0,
            vm_mib: 0.0,
            parent_mib: 56.0,
            cores: 1.0,
            memory_mib: 128.0,
            cpu_share: 0.5,
            memory_share: 1.0,
        };
        let sizing = size(Replay::new(&trace, options).unwrap(), of);
        assert_eq!((sizing.calls, sizing.run_s, sizing.concurrency), (4, 80.0, vec![2, 1]));
        assert_eq!(sizing.busy_s, [70.0, 10.0]);
        let mib = 100e6 / f64::from(1 << 20);
        assert!((sizing.live_mib - 2.0 * mib).abs() < 1e-9);
        assert!((sizing.gib_s - 80.0 * mib / 1024.0).abs() < 1e-9);
        assert!(
            (sizing.by_cpu_peak - 70.0 / 30.0).abs() < 1e-9
                && (sizing.by_cpu_mean - 40.0 / 30.0).abs() < 1e-9
        );
        assert!((sizing.by_memory - (2.0 * mib + 56.0) / 128.0).abs() < 1e-9);
        assert_eq!(sizing.machines, 3);
    }
}
