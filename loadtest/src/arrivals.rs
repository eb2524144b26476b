//! When requests are meant to be sent.
//!
//! An open loop sends at times that do not depend on answers. [`Schedule`] makes these times from a process and a seed: the
//! same seed gives the same times, however many threads send them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

const NS_PER_S: f64 = 1e9;

/// An arrival process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Arrivals {
    /// Independent arrivals: exponential times between them.
    Poisson {
        /// Mean arrivals per second.
        rate: f64,
    },
    /// Equal times between arrivals.
    Constant {
        /// Arrivals per second.
        rate: f64,
    },
    /// A Poisson process whose rate goes from one value to another in a straight line.
    Ramp {
        /// Arrivals per second at the beginning.
        from: f64,
        /// Arrivals per second at the end.
        to: f64,
        /// Length of the ramp.
        over_s: f64,
    },
    /// `size` arrivals at once, again and again.
    Burst {
        /// Arrivals in each burst.
        size: u32,
        /// Time from burst to burst.
        every_s: f64,
    },
}

/// A rate or a length that no process has.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{what} must be {wanted}, not {value}")]
pub struct InvalidArrivals {
    what: &'static str,
    wanted: &'static str,
    value: f64,
}

/// Rates above this would need more than one arrival in a nanosecond.
pub const RATE_MAX: f64 = 1e8;

impl Arrivals {
    /// The times of one run, in nanoseconds from its start, in order, without end.
    pub fn schedule(&self, seed: u64) -> Result<Schedule, InvalidArrivals> {
        self.check()?;
        Ok(Schedule { arrivals: self.clone(), rng: ChaCha8Rng::seed_from_u64(seed), index: 0, at: 0.0 })
    }

    fn check(&self) -> Result<(), InvalidArrivals> {
        match *self {
            Arrivals::Poisson { rate } | Arrivals::Constant { rate } => positive("the rate", rate),
            Arrivals::Ramp { from, to, over_s } => {
                positive("the rate at the end of a ramp", to)?;
                positive("the length of a ramp", over_s)?;
                let fits = (0.0..=RATE_MAX).contains(&from);
                let wanted = "from 0 to 100,000,000";
                fits.then_some(()).ok_or(InvalidArrivals {
                    what: "the rate at the start of a ramp",
                    wanted,
                    value: from,
                })
            }
            Arrivals::Burst { size, every_s } => {
                positive("the size of a burst", f64::from(size))?;
                positive("the time between bursts", every_s)
            }
        }
    }
}

fn positive(what: &'static str, value: f64) -> Result<(), InvalidArrivals> {
    let fits = value > 0.0 && value <= RATE_MAX;
    fits.then_some(()).ok_or(InvalidArrivals { what, wanted: "more than 0 and at most 100,000,000", value })
}

/// The times of one run. See [`Arrivals::schedule`].
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    rng: ChaCha8Rng,
    /// Arrivals so far.
    index: u64,
    /// The last arrival: in nanoseconds; for a ramp, in mean arrivals since the start.
    at: f64,
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let index = self.index;
        self.index += 1;
        let ns = match self.arrivals {
            Arrivals::Constant { rate } => index as f64 * NS_PER_S / rate,
            Arrivals::Burst { size, every_s } => (index / u64::from(size)) as f64 * every_s * NS_PER_S,
            Arrivals::Poisson { rate } => {
                self.at += self.exponential() * NS_PER_S / rate;
                self.at
            }
            Arrivals::Ramp { from, to, over_s } => {
                self.at += self.exponential();
                seconds_of_ramp(from, to, over_s, self.at) * NS_PER_S
            }
        };
        Some(whole(ns))
    }
}

impl Schedule {
    /// An exponential variate of mean 1.
    fn exponential(&mut self) -> f64 {
        // 53 random bits, never 0.
        let uniform = ((self.rng.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}

/// Nanoseconds as a whole number; what does not fit is the largest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn whole(ns: f64) -> u64 {
    ns.round() as u64
}

/// When a process of rate `from + (to - from) t / over` (then `to` for ever) has `count` mean arrivals behind it.
fn seconds_of_ramp(from: f64, to: f64, over: f64, count: f64) -> f64 {
    let in_ramp = (from + to) / 2.0 * over;
    if count >= in_ramp {
        return over + (count - in_ramp) / to;
    }
    let slope = (to - from) / over;
    if slope == 0.0 {
        return count / from;
    }
    // from t + slope t^2 / 2 = count, in the form that is exact for small slopes.
    2.0 * count / (from + (from * from + 2.0 * slope * count).max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals, count: usize) -> Vec<u64> {
        arrivals.schedule(42).unwrap().take(count).collect()
    }

    #[test]
    fn constant_arrivals_are_equidistant_and_do_not_drift() {
        let times = times(Arrivals::Constant { rate: 3.0 }, 3_000_001);
        assert_eq!(times[..4], [0, 333_333_333, 666_666_667, 1_000_000_000]);
        assert_eq!(times[3_000_000], 1_000_000_000_000_000);
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_of_an_exponential() {
        let times = times(Arrivals::Poisson { rate: 1000.0 }, 100_001);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        let long = gaps.iter().filter(|&&gap| gap > 3.0).count() as f64 / gaps.len() as f64;
        assert!((long - (-3.0_f64).exp()).abs() < 0.005, "{long}");
    }

    #[test]
    fn a_ramp_has_the_arrivals_of_its_mean_rate() {
        let ramp = Arrivals::Ramp { from: 0.0, to: 2000.0, over_s: 10.0 };
        let times = times(ramp, 30_000);
        let until = |s: u64| times.iter().filter(|&&at| at < s * 1_000_000_000).count();
        assert!((2350..2650).contains(&until(5)), "{}", until(5));
        assert!((9700..10300).contains(&until(10)), "{}", until(10));
        assert!((13_600..14_400).contains(&until(12)), "{}", until(12));
        assert!((seconds_of_ramp(5.0, 5.0, 10.0, 25.0) - 5.0).abs() < 1e-9);
        assert!((seconds_of_ramp(10.0, 5.0, 10.0, 75.0) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn bursts_come_at_once() {
        let times = times(Arrivals::Burst { size: 3, every_s: 0.5 }, 7);
        assert_eq!(times, [0, 0, 0, 500_000_000, 500_000_000, 500_000_000, 1_000_000_000]);
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let schedule =
            |seed| Arrivals::Poisson { rate: 10.0 }.schedule(seed).unwrap().take(9).collect::<Vec<_>>();
        assert_eq!(schedule(1), schedule(1));
        assert_ne!(schedule(1), schedule(2));
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e8] {
            let error = Arrivals::Poisson { rate }.schedule(0).unwrap_err().to_string();
            assert!(error.starts_with("the rate must be more than 0"), "{error}");
        }
        assert!(Arrivals::Ramp { from: f64::NAN, to: 1.0, over_s: 1.0 }.schedule(0).is_err());
        assert!(Arrivals::Burst { size: 0, every_s: 1.0 }.schedule(0).is_err());
    }
}
