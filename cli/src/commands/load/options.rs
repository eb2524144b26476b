//! Options that every command has that makes load.

use crate::failure::{Exit, Failure};
use clap::{Args, ValueEnum};
use loadtest::arrivals::Arrivals;
use loadtest::call::Mix;
use loadtest::engine::{Load, Plan, Protocol};
use loadtest::target::Target;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much load, for how long.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub(super) struct LoadOptions {
    /// Open loop: requests a second, whatever the answers do; latency counts from the intended time
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<f64>,
    /// How the requests of an open loop are spread over time
    #[arg(long, value_enum, default_value_t = Process::Poisson, value_name = "PROCESS")]
    pub(super) arrivals: Process,
    /// With `--arrivals ramp`: the rate at the start; at the end it is --rate
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    pub(super) ramp_from: f64,
    /// With `--arrivals burst`: time between bursts; each holds --rate times as many requests
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub(super) burst_every: Duration,
    /// Closed loop: connections (or streams) that send again when they are answered; with --rate the most there may be
    /// [default with --rate: 10000]
    #[arg(long, short, value_name = "N")]
    pub(super) connections: Option<usize>,
    /// Requests of an open loop that may wait for a connection; what comes then is dropped, and counted
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(super) queue: usize,
    /// For how long requests are sent, with the warm-up: 500ms, 10s, 5m, 8h
    #[arg(long, short, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(super) duration: Duration,
    /// What is meant to be sent before this is not counted
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub(super) warm_up: Duration,
    /// What has no complete answer so long after it was sent has failed
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub(super) timeout: Duration,
    /// Threads that send
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) threads: usize,
    /// Seed of all random choices: the same one sends the same requests at the same times
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub(super) seed: u64,
    /// How often everything is measured, at most 1000 times; each time with another seed, made from --seed
    #[arg(long, value_name = "N")]
    pub(super) repetitions: Option<u32>,
    /// Speak HTTP/2 (without TLS, prior knowledge)
    #[arg(long)]
    pub(super) http2: bool,
    /// With --http2: requests under way on one connection at a time
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(super) streams: usize,
}

/// An arrival process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Process {
    /// Independent arrivals
    Poisson,
    /// Equal distances
    Constant,
    /// A Poisson process whose rate grows or falls in a straight line
    Ramp,
    /// Many at once, again and again
    Burst,
}

/// Connections of an open loop, at most, unless told otherwise.
const CONNECTIONS: usize = 10_000;
/// Repetitions, at most: results with more cannot be read.
const REPETITIONS_MAX: u32 = 1_000;

impl LoadOptions {
    /// The loop that the options describe; usage error if they describe none.
    pub(super) fn load(&self) -> Result<Load, Failure> {
        let Some(rate) = self.rate else {
            return match self.connections {
                Some(_) => Ok(Load::Closed),
                None => {
                    Err(Failure::new("how much load: give --rate (open loop) or --connections (closed loop)")
                        .exit(Exit::Usage))
                }
            };
        };
        Ok(Load::Open(self.arrivals(rate)))
    }

    /// The arrival process at a rate.
    pub(super) fn arrivals(&self, rate: f64) -> Arrivals {
        let every_s = self.burst_every.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let size = (rate * every_s).round() as u32;
        match self.arrivals {
            Process::Poisson => Arrivals::Poisson { rate },
            Process::Constant => Arrivals::Constant { rate },
            Process::Ramp => {
                Arrivals::Ramp { from: self.ramp_from, to: rate, over_s: self.duration.as_secs_f64() }
            }
            Process::Burst => Arrivals::Burst { size, every_s },
        }
    }

    /// A run of these options.
    pub(super) fn plan(&self, target: Target, mix: Mix, load: Load, seed: u64) -> Plan {
        let connections = self.connections.unwrap_or(CONNECTIONS);
        Plan {
            target,
            mix,
            connections,
            load,
            queue: self.queue,
            duration: self.duration,
            warm_up: self.warm_up,
            timeout: self.timeout,
            threads: self.threads,
            seed,
            protocol: if self.http2 { Protocol::Http2 { streams: self.streams } } else { Protocol::Http1 },
        }
    }

    /// How often to measure; `default` if nobody said.
    pub(super) fn repetitions(&self, default: u32) -> Result<u32, Failure> {
        let count = self.repetitions.unwrap_or(default);
        let fits = (1..=REPETITIONS_MAX).contains(&count);
        let wrong =
            || Failure::new(format!("--repetitions must be from 1 to {REPETITIONS_MAX}")).exit(Exit::Usage);
        fits.then_some(count).ok_or_else(wrong)
    }

    /// Seed of one repetition.
    pub(super) fn seed(&self, repetition: u32) -> u64 {
        self.seed.wrapping_add(u64::from(repetition))
    }

    /// The options for a document, defaults included.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        let protocol =
            if self.http2 { format!("HTTP/2, {} streams", self.streams) } else { "HTTP/1.1".to_owned() };
        let arrivals = self.rate.map(|rate| format!("{:?}", self.arrivals(rate)));
        let pairs = [
            ("arrivals", arrivals.unwrap_or_else(|| "closed loop".to_owned())),
            ("connections", text(self.connections.map(|count| count.to_string()))),
            ("queue", self.queue.to_string()),
            ("duration", format!("{:?}", self.duration)),
            ("warm-up", format!("{:?}", self.warm_up)),
            ("timeout", format!("{:?}", self.timeout)),
            ("threads", self.threads.to_string()),
            ("seed", self.seed.to_string()),
            ("repetitions", text(self.repetitions.map(|count| count.to_string()))),
            ("protocol", protocol),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// A year: longer times are typing errors.
const DURATION_MAX_S: f64 = 365.0 * 86_400.0;

/// `500ms`, `10s`, `1.5m`, `8h`, or seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("`{unit}` is no unit of time: us, ms, s, m, h, d")),
    };
    let seconds = number.parse::<f64>().map_err(|_| format!("`{number}` is not a number"))? * factor;
    if !(0.0..=DURATION_MAX_S).contains(&seconds) {
        return Err("a time is from 0 to 365 days".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_with_the_most_repetitions_can_be_read() {
        assert_eq!(REPETITIONS_MAX as usize, loadtest::report::VALUES_MAX);
    }

    #[test]
    fn times_have_units() {
        let good = [("500ms", 500_000), ("10", 10_000_000), ("1.5m", 90_000_000), ("7us", 7), ("0", 0)];
        for (text, micros) in good {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "s", "1w", "-1s", "nan", "inf", "1e400", "1 s", "1000000h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
