//! `soak`: load for hours, and what grows meanwhile.

mod watch;

use super::platform::{Kind, Platform};
use super::session::Session;
use crate::failure::Failure;
use clap::Args;
use loadtest::call::Mix;
use loadtest::engine::Plan;
use loadtest::experiment::functions::{hello, secret};
use loadtest::experiment::measures::{failures, lost, response, too_many_lost};
use loadtest::experiment::slope::slope_interval;
use loadtest::report::{Better, Plot, PlotKind, RunReport, Scale, Series, plots};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use watch::{Look, PATIENCE, Watch};

/// Options of `spore load experiment soak`. `--duration` says how long; an hour unless told otherwise.
#[derive(Debug, Args)]
pub(super) struct SoakArgs {
    /// Requests a second [default: 100]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Time between two looks at the platform's processes [default: a 200th of the duration, 100 ms at least]
    #[arg(long, value_parser = super::duration, value_name = "TIME")]
    every: Option<Duration>,
}

const HOUR: Duration = Duration::from_secs(3600);
const EVERY_LEAST: Duration = Duration::from_millis(100);
/// Samples of the beginning that are not judged, as a share: pools and caches fill.
const BEGINNING: usize = 3;

/// What is looked at: its name, unit, and growth in an hour that is no leak.
const WATCHED: [(&str, &str, f64); 6] = [
    ("memory of its own", "MiB", 4.0),
    ("PSS", "MiB", 4.0),
    ("open descriptors", "descriptors", 10.0),
    ("threads", "threads", 4.0),
    ("VMs", "VMs", 2.0),
    ("disk", "MiB", 16.0),
];

pub(super) fn run(args: &SoakArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin("soak", "Does anything grow while the platform serves for a long time?");
    let duration =
        session.common.duration.unwrap_or_else(|| session.common.pick(Duration::from_secs(5), HOUR));
    let rate = args.rate.unwrap_or_else(|| session.common.pick(20.0, 100.0));
    let every = args.every.unwrap_or_else(|| (duration / 200).max(EVERY_LEAST));
    session.set("duration", format!("{duration:?}"));
    session.set("rate", rate);
    session.set("looks every", format!("{every:?}"));
    let platform = session.own_platform(&[])?;
    let mix = deployed(&platform)?;
    let (_, seed) = session.order(1, 0);
    let plan = session.open(&platform.target, mix, rate, seed);
    let plan = Plan { duration: session.common.warm_up() + duration, ..plan };
    let (looks, kept) = soaked(session, &platform, plan, every);
    // Whatever became of the load, hours of looks are worth a report.
    let whole = matches!(kept, Ok(Some(())));
    // What was asked for, as the last look came earlier; or what came of it.
    let length = if whole { duration.as_secs_f64() } else { looks.last().map_or(0.0, |(time, _)| *time) };
    judge(&looks, length).tell(session, whole);
    kept.map(drop)
}

/// Deploys what is called.
fn deployed(platform: &Platform) -> Result<Mix, Failure> {
    let mut parts = Vec::new();
    for kind in Kind::ALL {
        let path = platform.deploy(kind, kind.name(), None)?;
        parts.push((4, hello(&path, kind.name())));
        if kind != Kind::Rust {
            parts.push((1, secret(&path, &format!("{} secret", kind.name()), "soak", None)));
        }
    }
    Mix::weighted(parts).map_err(|error| Failure::new(error.to_string()))
}

/// What was seen, and whether the run came to its end. It fails if the platform did before it.
fn soaked(
    session: &mut Session,
    platform: &Platform,
    plan: Plan,
    every: Duration,
) -> (Vec<Look>, Result<Option<()>, Failure>) {
    let (looks, stop) = (Mutex::default(), session.stop().part());
    let watch = Watch {
        pid: platform.pid().unwrap_or(0),
        data: platform.data(),
        target: &platform.target,
        every,
        patience: PATIENCE,
        looks: &looks,
        stop: &stop,
    };
    let run = watch.during(|| session.measure_until("soak", 0, plan, &stop));
    let mut kept = run.and_then(|run| keep(session, platform, run));
    // It may be gone before its process has ended.
    if kept.is_ok() && stop.is_set() && !session.stopped() {
        kept = Err(platform.gone());
    }
    (looks.into_inner().unwrap_or_else(PoisonError::into_inner), kept)
}

/// Keeps the run; whether it came to its end.
fn keep(session: &mut Session, platform: &Platform, run: RunReport) -> Result<Option<()>, Failure> {
    session.plots.push(plots::tail_over_time("Response time over time", &run));
    session.plots.push(plots::failures_over_time("Answers and failures over time", &run));
    if run.complete && too_many_lost(&run) {
        let (lost, answered) = (lost(&run), run.answered);
        session.flaws.push(format!("{lost} requests failed or were not sent, {answered} were answered"));
    }
    session.keep(platform, run, |measures, run| {
        measures.latencies("soak", &response(run, None));
        measures.add("soak failed", "answers", Better::Lower, failures(run) as f64);
    })
}

/// What looks at a platform come to.
#[derive(Debug, Default)]
struct Found {
    plots: Vec<Plot>,
    /// Name, unit and value; less of each is better.
    measures: Vec<(String, String, f64)>,
    notes: Vec<String>,
    /// Why it fails, if it does.
    leak: Option<String>,
}

impl Found {
    /// A run that is not whole has no measures, but its plots and notes.
    fn tell(self, session: &mut Session, whole: bool) {
        session.plots.extend(self.plots);
        session.notes.extend(self.notes);
        session.flaws.extend(self.leak);
        for (name, unit, value) in self.measures.into_iter().filter(|_| whole) {
            session.measures.add(&name, &unit, Better::Lower, value);
        }
    }
}

/// The slope of each figure after the beginning, and whether it is surely more than it may be.
fn judge(looks: &[Look], length: f64) -> Found {
    let settled = &looks[looks.len() / BEGINNING..];
    let (mut found, mut leaks) = (Found::default(), Vec::new());
    for (at, (name, unit, allowed)) in WATCHED.iter().enumerate() {
        let points = figure(looks, at);
        if let Some((_, last)) = points.last() {
            found.measures.push((format!("{name} at the end"), (*unit).to_owned(), *last));
        }
        found.plots.push(Plot {
            title: format!("Platform: {name}"),
            kind: PlotKind::Lines,
            x: plots::axis("time (s)", Scale::Linear),
            y: plots::axis(unit, Scale::Linear),
            series: vec![Series { name: (*name).to_owned(), points, intervals: Vec::new() }],
        });
        let hourly: Vec<_> =
            figure(settled, at).iter().map(|(time, value)| (time / 3600.0, *value)).collect();
        let Some(growth) = slope_interval(&hourly) else {
            found.notes.push(format!("{name}: too few looks for a slope"));
            continue;
        };
        found.measures.push((format!("{name} growth"), format!("{unit}/h"), growth.mean));
        let text = format!(
            "{name} grew by {:.2} {unit}/h (95 %: {:.2} to {:.2})",
            growth.mean, growth.low, growth.high
        );
        if growth.low > *allowed {
            leaks.push(text.clone());
        }
        found.notes.push(text);
    }
    // In a short run the last pool that fills looks like a leak.
    if length < JUDGED_FROM_SECONDS {
        found.notes.push("too short to judge growth: give it half an hour or more".to_owned());
    } else if !leaks.is_empty() {
        found.leak = Some(format!("it grows: {}", leaks.join("; ")));
    }
    found
}

/// One of the figures over time, without looks that did not find it.
fn figure(looks: &[Look], at: usize) -> Vec<(f64, f64)> {
    looks.iter().map(|(time, look)| (*time, look[at])).filter(|(_, value)| value.is_finite()).collect()
}

/// Runs at least so long are judged.
const JUDGED_FROM_SECONDS: f64 = 1800.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks in an hour at a platform whose memory grows by so much.
    fn looks(mib: f64) -> Vec<Look> {
        let noise = |at: u32| f64::from(at.wrapping_mul(2_654_435_761) >> 24) / 256.0;
        let look = |at: u32| [100.0 + mib * f64::from(at) / 200.0, 200.0, 30.0, 8.0, 3.0, noise(at)];
        (0..=200).map(|at| (f64::from(at) * 18.0, look(at))).collect()
    }

    #[test]
    fn what_grows_for_long_enough_fails() {
        let found = judge(&looks(50.0), 3600.0);
        assert!(found.leak.unwrap().starts_with("it grows: memory of its own grew by 50.00 MiB/h"));
        assert_eq!((found.plots.len(), found.measures.len()), (6, 12));
        assert!(judge(&looks(50.0), 1799.0).leak.is_none());
        assert!(judge(&looks(3.0), 3600.0).leak.is_none());
    }

    #[test]
    fn looks_that_did_not_find_a_figure_are_left_out_and_none_at_all_are_told() {
        let mut some = looks(0.0);
        some[200].1[4] = f64::NAN;
        let found = judge(&some, 3600.0);
        let vms = found.plots.iter().find(|plot| plot.title == "Platform: VMs").unwrap();
        assert_eq!(vms.series[0].points.len(), 200);
        let none = judge(&[], 0.0);
        assert!(none.measures.is_empty() && none.notes[0].contains("too few looks"));
    }
}
