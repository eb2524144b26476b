//! A trace as a schedule: part of its functions, part of its time, faster or slower.

use super::sample::representative;
use super::{Calls, Invocation, MINUTE_NS, Trace};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::Range;

/// When in its minute an invocation comes, where a trace has only counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Within {
    /// Anywhere, independently: a Poisson process, given the count.
    #[default]
    Uniform,
    /// In equal steps from a random beginning.
    Equidistant,
}

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayOptions {
    /// How many functions, chosen so that they are like all that are called in the time.
    pub functions: usize,
    /// Minutes of the trace.
    pub minutes: Range<usize>,
    /// How much faster than recorded. Run times stay as they are.
    pub speed: f64,
    /// How many times as many calls as recorded. Of recorded invocations a part can be left out, none added.
    pub rate: f64,
    /// Where in a minute calls come.
    pub within: Within,
    /// Of all choices.
    pub seed: u64,
}

/// Options that fit no part of the trace.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ReplayError {
    /// The minutes.
    #[error("minutes {from} to {to} are not in the trace, which has {minutes}")]
    Minutes {
        /// The first.
        from: usize,
        /// The one behind the last.
        to: usize,
        /// Of the trace.
        minutes: usize,
    },
    /// The functions.
    #[error("{wanted} functions cannot be replayed: in these minutes the trace calls {called}")]
    Functions {
        /// Wanted.
        wanted: usize,
        /// Called.
        called: usize,
    },
    /// The speed.
    #[error("the speed must be from 0.001 to 1,000,000, not {0}")]
    Speed(f64),
    /// The rate.
    #[error("the rate must be from 0.001 to {most}, not {rate}; recorded invocations can only be left out")]
    Rate {
        /// The most this trace can have.
        most: f64,
        /// Wanted.
        rate: f64,
    },
    /// A minute that does not fit into memory.
    #[error("minute {0} has more than {MINUTE_CALLS_MAX} calls; take fewer functions or a lower rate")]
    Full(usize),
}

/// Calls of one minute of a replay.
const MINUTE_CALLS_MAX: f64 = 2e7;

/// Invocations in order of their time, minute by minute.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    trace: &'a Trace,
    options: ReplayOptions,
    /// Functions of the trace that are replayed; the index is the function of the replay.
    chosen: Vec<usize>,
    /// Where in the distribution of its memory each of them is.
    memory_percents: Vec<f64>,
    /// Function of the trace to function of the replay.
    place: Vec<Option<usize>>,
    rng: ChaCha8Rng,
    minute: usize,
    ready: VecDeque<Invocation>,
}

impl<'a> Replay<'a> {
    /// Chooses what is replayed.
    pub fn new(trace: &'a Trace, options: ReplayOptions) -> Result<Replay<'a>, ReplayError> {
        let Range { start: from, end: to } = options.minutes;
        let minutes = trace.minutes();
        if from >= to || to > minutes {
            return Err(ReplayError::Minutes { from, to, minutes });
        }
        if !(0.001..=1e6).contains(&options.speed) {
            return Err(ReplayError::Speed(options.speed));
        }
        let most = if matches!(trace.calls, Calls::Each(_)) { 1.0 } else { 1000.0 };
        if !(0.001..=most).contains(&options.rate) {
            return Err(ReplayError::Rate { most, rate: options.rate });
        }
        let called = called(trace, &options.minutes);
        let wanted = options.functions;
        if wanted == 0 || wanted > called.len() {
            return Err(ReplayError::Functions { wanted, called: called.len() });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let chosen = representative(called, wanted, &mut rng);
        let memory_percents = chosen.iter().map(|_| uniform(&mut rng) * 100.0).collect();
        check_minutes(trace, &chosen, &options)?;
        let mut place = vec![None; trace.functions.len()];
        for (index, &function) in chosen.iter().enumerate() {
            place[function] = Some(index);
        }
        let minute = options.minutes.start;
        Ok(Replay { trace, options, chosen, memory_percents, place, rng, minute, ready: VecDeque::new() })
    }

    /// The functions that are replayed: indices into those of the trace, in the order of the replay.
    pub fn functions(&self) -> &[usize] {
        &self.chosen
    }

    /// The memory of each function, drawn once from its distribution, in MiB.
    pub fn memory_mib(&self) -> Vec<f64> {
        let drawn = self.chosen.iter().zip(&self.memory_percents).map(|(&index, &percent)| {
            let memory_mb = self.trace.functions[index].memory_mb.as_ref();
            memory_mb.map_or(0.0, |memory| memory.at(percent)) * 1e6 / f64::from(1 << 20)
        });
        drawn.collect()
    }

    /// How long it takes, in nanoseconds.
    pub fn length_ns(&self) -> u64 {
        self.scaled(self.options.minutes.len() as u64 * MINUTE_NS)
    }

    fn scaled(&self, ns: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let scaled = (ns as f64 / self.options.speed).round() as u64;
        scaled
    }

    /// Makes the invocations of the next minute.
    fn fill(&mut self) {
        let minute = self.minute;
        self.minute += 1;
        let mut made = match &self.trace.calls {
            Calls::PerMinute(counts) => {
                let counts: Vec<u32> =
                    self.chosen.iter().map(|&of| counts[of].get(minute).copied().unwrap_or(0)).collect();
                counts
                    .into_iter()
                    .enumerate()
                    .flat_map(|(function, count)| {
                        let count = self.scaled_count(count);
                        self.spread(minute, function, count)
                    })
                    .collect()
            }
            Calls::Each(each) => self.recorded(each, minute),
        };
        made.sort_by_key(|invocation: &Invocation| invocation.at_ns);
        let begin = self.options.minutes.start as u64 * MINUTE_NS;
        for mut invocation in made {
            invocation.at_ns = self.scaled(invocation.at_ns - begin);
            self.ready.push_back(invocation);
        }
    }

    /// `count` invocations somewhere in a minute, with run times of their function's distribution.
    fn spread(&mut self, minute: usize, function: usize, count: u32) -> Vec<Invocation> {
        let begin = minute as u64 * MINUTE_NS;
        let phase = self.uniform();
        let run_ms = self.trace.functions[self.chosen[function]].run_ms.as_ref();
        let mut made = Vec::new();
        for step in 0..count {
            let part = match self.options.within {
                Within::Uniform => self.uniform(),
                Within::Equidistant => (f64::from(step) + phase) / f64::from(count),
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is inside a minute"
            )]
            let at_ns = begin + (part * MINUTE_NS as f64) as u64;
            let percent = self.uniform() * 100.0;
            made.push(Invocation { at_ns, function, run_ms: run_ms.map_or(0.0, |run| run.at(percent)) });
        }
        made
    }

    /// A count at the rate that is wanted: rounded up or down at random, so that sums are right.
    fn scaled_count(&mut self, count: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let scaled = (f64::from(count) * self.options.rate + self.uniform()) as u32;
        scaled
    }

    fn recorded(&mut self, each: &[Invocation], minute: usize) -> Vec<Invocation> {
        let bound = |minute: usize| each.partition_point(|call| call.at_ns < minute as u64 * MINUTE_NS);
        let mut made = Vec::new();
        for call in &each[bound(minute)..bound(minute + 1)] {
            let Some(function) = self.place[call.function] else { continue };
            if self.uniform() < self.options.rate {
                made.push(Invocation { function, ..*call });
            }
        }
        made
    }

    fn uniform(&mut self) -> f64 {
        uniform(&mut self.rng)
    }
}

/// From 0 to less than 1.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether each minute fits into memory.
fn check_minutes(trace: &Trace, chosen: &[usize], options: &ReplayOptions) -> Result<(), ReplayError> {
    let Calls::PerMinute(counts) = &trace.calls else { return Ok(()) };
    for minute in options.minutes.clone() {
        let calls: f64 =
            chosen.iter().map(|&of| counts[of].get(minute).map_or(0.0, |&count| f64::from(count))).sum();
        if calls * options.rate > MINUTE_CALLS_MAX {
            return Err(ReplayError::Full(minute + 1));
        }
    }
    Ok(())
}

impl Iterator for Replay<'_> {
    type Item = Invocation;

    fn next(&mut self) -> Option<Invocation> {
        while self.ready.is_empty() && self.minute < self.options.minutes.end {
            self.fill();
        }
        self.ready.pop_front()
    }
}

impl Trace {
    /// How many functions are called in these minutes.
    pub fn called(&self, minutes: &Range<usize>) -> usize {
        called(self, minutes).len()
    }
}

/// The functions that are called in these minutes, and how often.
fn called(trace: &Trace, minutes: &Range<usize>) -> Vec<(usize, u64)> {
    let sums: Vec<u64> = match &trace.calls {
        Calls::PerMinute(counts) => {
            let sum = |counts: &Vec<u32>| {
                counts.iter().take(minutes.end).skip(minutes.start).map(|&count| u64::from(count)).sum()
            };
            counts.iter().map(sum).collect()
        }
        Calls::Each(each) => {
            let mut sums = vec![0; trace.functions.len()];
            let inside = |call: &&Invocation| minutes.contains(&super::minute_of(call.at_ns));
            each.iter().filter(inside).for_each(|call| sums[call.function] += 1);
            sums
        }
    };
    sums.into_iter().enumerate().filter(|&(_, sum)| sum > 0).collect()
}

#[cfg(test)]
mod tests;
