//! Traces like those of Azure Functions 2019, made from a seed: for where the data itself cannot go.
//!
//! The tables below are quantiles of a published sample of 1,000 functions and one day (vHive's InVitro, from the data of
//! Shahrad et al., 2020; 11.6 million calls, of which the busiest function has 10 % and the 10 busiest 46 %). Functions
//! take even steps through the quantiles of how often they are called; run times and memory are drawn
//! independently of that, and of each other. A tenth of the functions are timers. What the sample has and this does not:
//! how calls depend on the hour, functions that call each other, applications of several functions.

mod write;

pub use write::{files, invocations_file, write_calls, write_invocations, write_memory, write_run_times};

use super::{Calls, Function, Percentiles, Trace};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Minutes of a day.
const DAY: u32 = 1440;

/// Calls a day: percent of functions, and the most that so many of them have.
const CALLS: &[(f64, f64)] = &[
    (0.0, 1.0),
    (5.0, 1.0),
    (10.0, 2.0),
    (20.0, 7.0),
    (30.0, 14.0),
    (40.0, 31.0),
    (50.0, 83.5),
    (60.0, 336.0),
    (70.0, 1055.0),
    (75.0, 2016.0),
    (80.0, 4015.0),
    (85.0, 5091.0),
    (90.0, 13_052.0),
    (92.0, 20_160.0),
    (94.0, 29_879.0),
    (96.0, 53_126.0),
    (97.0, 89_291.0),
    (98.0, 116_272.0),
    (99.0, 242_088.0),
    (99.5, 473_463.0),
    (100.0, 1_209_537.0),
];

/// Parts of all minutes in which a function is called at all.
const ACTIVE: &[(f64, f64)] =
    &[(0.0, 0.0007), (25.0, 0.0021), (50.0, 0.0191), (75.0, 0.2), (90.0, 0.8), (95.0, 1.0), (100.0, 1.0)];

/// Medians of run times in milliseconds.
const RUN_MS: &[(f64, f64)] = &[
    (0.0, 1.0),
    (1.0, 15.0),
    (5.0, 41.0),
    (10.0, 94.0),
    (25.0, 454.0),
    (50.0, 3161.0),
    (75.0, 15_771.0),
    (90.0, 79_936.0),
    (95.0, 241_877.0),
    (99.0, 773_577.0),
    (100.0, 8_402_852.0),
];

/// Which part of its median the first percentile of a function's run times is. Read from the other end than [`SPREAD`]:
/// functions that vary do so in both directions.
const LEAST: &[(f64, f64)] =
    &[(0.0, 0.001), (5.0, 0.11), (25.0, 0.46), (50.0, 0.81), (75.0, 1.0), (100.0, 1.0)];

/// How many times its median the 99th percentile of a function's run times is.
const SPREAD: &[(f64, f64)] =
    &[(0.0, 1.0), (25.0, 1.0), (50.0, 1.93), (75.0, 6.25), (95.0, 56.38), (100.0, 2103.0)];

/// Medians of memory in MB.
const MEMORY_MB: &[(f64, f64)] = &[
    (0.0, 80.0),
    (1.0, 94.0),
    (5.0, 139.0),
    (25.0, 610.0),
    (50.0, 1420.0),
    (75.0, 1916.0),
    (95.0, 2513.0),
    (100.0, 4153.0),
];

/// Of so many functions one is a timer.
const TIMERS: u32 = 10;

/// How much is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Functions.
    pub functions: u32,
    /// Minutes. Calls are as frequent as they are in a day, however many there are.
    pub minutes: u32,
}

/// A function of a generated trace.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is.
    pub function: Function,
    /// Whether it is called in even steps.
    pub is_timer: bool,
    /// Calls in each minute.
    pub counts: Vec<u32>,
}

/// Makes a trace function by function, so that a large one need not fit into memory.
pub fn rows(shape: Shape, seed: u64) -> impl Iterator<Item = Row> {
    let mut source = Source(ChaCha8Rng::seed_from_u64(seed));
    (0..shape.functions).map(move |index| {
        let percent = 100.0 * (f64::from(index) + 0.5) / f64::from(shape.functions);
        let a_day = between(CALLS, percent);
        let id = format!("{:016x}", source.0.next_u64());
        let (run_ms, memory_mb) = (source.run_ms(), source.memory_mb());
        let is_timer = index % TIMERS == 0;
        let counts = if is_timer {
            source.timer(a_day, shape.minutes)
        } else {
            source.minutes(a_day, between(ACTIVE, percent), shape.minutes)
        };
        Row { function: Function { app: format!("app-{id}"), id, run_ms, memory_mb }, is_timer, counts }
    })
}

/// Makes a whole trace.
pub fn generate(shape: Shape, seed: u64) -> Trace {
    let (functions, counts) = rows(shape, seed).map(|row| (row.function, row.counts)).unzip();
    Trace { functions, calls: Calls::PerMinute(counts) }
}

struct Source(ChaCha8Rng);

impl Source {
    /// From 0 to less than 1.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn run_ms(&mut self) -> Option<Percentiles> {
        let median = between(RUN_MS, self.uniform() * 100.0);
        let varies = self.uniform() * 100.0;
        let (spread, low) = (between(SPREAD, varies), between(LEAST, 100.0 - varies));
        let least = (median * low).max(1.0).min(median);
        let lower = [(0.0, least), (1.0, least), (25.0, median * low.sqrt()), (50.0, median)];
        let most = median * spread.powf(1.2);
        let upper = [(75.0, median * spread.powf(0.3)), (99.0, median * spread), (100.0, most)];
        Percentiles::new(lower.into_iter().chain(upper).collect())
    }

    fn memory_mb(&mut self) -> Option<Percentiles> {
        let median = between(MEMORY_MB, self.uniform() * 100.0);
        let points = [
            (1.0, 0.8),
            (5.0, 0.85),
            (25.0, 0.95),
            (50.0, 1.0),
            (75.0, 1.05),
            (95.0, 1.15),
            (99.0, 1.2),
            (100.0, 1.3),
        ];
        Percentiles::new(points.into_iter().map(|(percent, part)| (percent, median * part)).collect())
    }

    /// Calls in equal steps.
    fn timer(&mut self, a_day: f64, minutes: u32) -> Vec<u32> {
        let phase = self.uniform();
        let until = |minute: u32| whole((f64::from(minute) / f64::from(DAY)).mul_add(a_day, phase).floor());
        (0..minutes).map(|minute| until(minute + 1) - until(minute)).collect()
    }

    /// Calls in some minutes, and in each of these a Poisson count. At least one call in a whole day.
    fn minutes(&mut self, a_day: f64, active: f64, minutes: u32) -> Vec<u32> {
        let day = f64::from(DAY);
        let active = active.max(1.0 / day).min(a_day / day).max(1.0 / day);
        let mean = a_day / (active * day);
        let mut counts: Vec<u32> =
            (0..minutes).map(|_| if self.uniform() < active { self.poisson(mean) } else { 0 }).collect();
        if minutes >= DAY && counts.iter().all(|&count| count == 0) {
            let at = whole(self.uniform() * f64::from(minutes)) as usize;
            counts[at] = whole(a_day).max(1);
        }
        counts
    }

    /// A Poisson variate: Knuth's product for small means, the normal approximation for others.
    fn poisson(&mut self, mean: f64) -> u32 {
        if mean < 30.0 {
            let floor = (-mean).exp();
            let mut product = self.uniform();
            let mut count = 0;
            while product > floor {
                product *= self.uniform();
                count += 1;
            }
            return count;
        }
        let (radius, angle) =
            ((-2.0 * (1.0 - self.uniform()).ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        whole((mean + mean.sqrt() * radius * angle.cos()).max(0.0).round())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn whole(value: f64) -> u32 {
    value as u32
}

/// The value at `percent`: between two points in a straight line of logarithms.
fn between(points: &[(f64, f64)], percent: f64) -> f64 {
    let after = points.partition_point(|point| point.0 < percent).clamp(1, points.len() - 1);
    let ((low, from), (high, to)) = (points[after - 1], points[after]);
    from * (to / from).powf((percent - low) / (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(trace: &Trace) -> Vec<u64> {
        let Calls::PerMinute(counts) = &trace.calls else { panic!("counts") };
        let mut sums: Vec<u64> =
            counts.iter().map(|counts| counts.iter().map(|&count| u64::from(count)).sum()).collect();
        sums.sort_unstable();
        sums
    }

    #[test]
    fn a_generated_day_is_like_the_sample() {
        let trace = generate(Shape { functions: 1000, minutes: DAY }, 42);
        let sums = sums(&trace);
        let total: u64 = sums.iter().sum();
        let top = |count: usize| sums.iter().rev().take(count).sum::<u64>() as f64 / total as f64;
        // In the sample: 11.6 million; 10.4 %, 46.4 % and 92 %; 72.5 % with at most one call a minute; median 83.5.
        assert!((9_000_000..15_000_000).contains(&total), "{total}");
        assert!((0.07..0.13).contains(&top(1)), "{}", top(1));
        assert!((0.38..0.54).contains(&top(10)), "{}", top(10));
        assert!((0.87..0.97).contains(&top(100)), "{}", top(100));
        let rare = sums.iter().filter(|&&sum| sum <= 1440).count();
        assert!((690..760).contains(&rare), "{rare}");
        assert!((50..130).contains(&sums[500]), "{}", sums[500]);
        assert!(sums[0] >= 1);
    }

    /// The quantile `at` of what `of` says of each function.
    fn quantile(trace: &Trace, at: f64, of: impl Fn(&Function) -> f64) -> f64 {
        let mut values: Vec<f64> = trace.functions.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[whole(at * values.len() as f64) as usize]
    }

    #[test]
    fn run_times_and_memory_are_like_the_sample() {
        let trace = generate(Shape { functions: 5000, minutes: 1 }, 42);
        let run = |percent: f64| move |function: &Function| function.run_ms.as_ref().unwrap().at(percent);
        let memory =
            |percent: f64| move |function: &Function| function.memory_mb.as_ref().unwrap().at(percent);
        let spread = |function: &Function| run(99.0)(function) / run(50.0)(function);
        let least = |function: &Function| run(1.0)(function) / run(50.0)(function);
        // Quantiles of the sample: of medians, of how far the 99th and the first percentile are from them, of memory.
        for (found, sample, part) in [
            (quantile(&trace, 0.25, run(50.0)), 455.0, 0.2),
            (quantile(&trace, 0.5, run(50.0)), 3165.0, 0.2),
            (quantile(&trace, 0.75, run(50.0)), 15_900.0, 0.2),
            (quantile(&trace, 0.95, run(50.0)), 248_677.0, 0.3),
            (quantile(&trace, 0.5, run(99.0)), 10_172.0, 0.3),
            (quantile(&trace, 0.5, spread), 1.93, 0.1),
            (quantile(&trace, 0.75, spread), 6.26, 0.2),
            (quantile(&trace, 0.5, least), 0.81, 0.1),
            (quantile(&trace, 0.25, memory(50.0)), 611.0, 0.15),
            (quantile(&trace, 0.5, memory(50.0)), 1421.0, 0.1),
            (quantile(&trace, 0.75, memory(50.0)), 1919.0, 0.1),
            (quantile(&trace, 0.95, memory(50.0)), 2525.0, 0.1),
        ] {
            assert!((found / sample - 1.0).abs() < part, "{found} {sample}");
        }
    }

    #[test]
    fn minutes_of_a_short_trace_are_as_busy_as_those_of_a_day() {
        let per_minute = |minutes| {
            let trace = generate(Shape { functions: 1000, minutes }, 7);
            trace.invocations() as f64 / f64::from(minutes)
        };
        let (short, day) = (per_minute(20), per_minute(DAY));
        assert!((0.85..1.15).contains(&(short / day)), "{short} {day}");
    }

    #[test]
    fn the_same_seed_makes_the_same_trace() {
        let shape = Shape { functions: 30, minutes: 60 };
        assert_eq!(sums(&generate(shape, 1)), sums(&generate(shape, 1)));
        assert_ne!(sums(&generate(shape, 1)), sums(&generate(shape, 2)));
    }
}
