//! What a system does as more is asked of it.

use super::axis;
use crate::report::{Axis, Plot, PlotKind, RunReport, Scale, Series};
use crate::significance::interval;
use crate::tally::histogram;
use std::collections::BTreeMap;

/// Latency and goodput against the offered load, by system: a line each for median and 99th percentile, means of the
/// repetitions with their intervals. Runs without an offered rate are left out.
pub fn hockey_stick(title: &str, runs: &[RunReport]) -> [Plot; 2] {
    let rate = || axis("offered load (requests/s)", Scale::Linear);
    let latency =
        by_load(runs, &[("median", |run| quantile_ms(run, 0.5)), ("p99", |run| quantile_ms(run, 0.99))]);
    let goodput = by_load(runs, &[("answered", |run| run.has_rates().then(|| run.goodput()))]);
    [
        Plot {
            title: format!("{title}: response time"),
            kind: PlotKind::Lines,
            x: rate(),
            y: axis("response time (ms)", Scale::Log),
            series: latency,
        },
        Plot {
            title: format!("{title}: goodput"),
            kind: PlotKind::Lines,
            x: rate(),
            y: axis("answers as expected (1/s)", Scale::Linear),
            series: goodput,
        },
    ]
}

type Figure = (&'static str, fn(&RunReport) -> Option<f64>);

fn by_load(runs: &[RunReport], figures: &[Figure]) -> Vec<Series> {
    let mut systems: Vec<&str> = Vec::new();
    for run in runs.iter().filter(|run| run.offered_rate.is_some()) {
        if !systems.contains(&run.system.as_str()) {
            systems.push(&run.system);
        }
    }
    let mut series = Vec::new();
    for system in &systems {
        for (name, figure) in figures {
            let values: Vec<(f64, f64)> = runs
                .iter()
                .filter(|run| run.system == *system)
                .filter_map(|run| Some((run.offered_rate?, figure(run)?)))
                .collect();
            let name = if systems.len() == 1 { (*name).to_owned() } else { format!("{system} {name}") };
            series.push(repeated(&name, &values));
        }
    }
    series
}

/// A series of the means of values with the same x, with their 95 % intervals if there is more than one of each.
pub fn repeated(name: &str, values: &[(f64, f64)]) -> Series {
    let mut by_x: BTreeMap<u64, (f64, Vec<f64>)> = BTreeMap::new();
    for &(x, y) in values.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
        by_x.entry(x.to_bits()).or_insert_with(|| (x, Vec::new())).1.push(y);
    }
    let mut places: Vec<(f64, Vec<f64>)> = by_x.into_values().collect();
    places.sort_by(|one, other| one.0.total_cmp(&other.0));
    let known: Vec<_> = places.iter().filter_map(|(x, ys)| Some((*x, interval(ys)?))).collect();
    let repeats = places.iter().any(|(_, ys)| ys.len() > 1);
    Series {
        name: name.to_owned(),
        points: known.iter().map(|(x, interval)| (*x, interval.mean)).collect(),
        intervals: known.iter().filter(|_| repeats).map(|(_, of)| (of.low, of.high)).collect(),
    }
}

/// A quantile of all response times of a run, in milliseconds; none without answers.
fn quantile_ms(run: &RunReport, quantile: f64) -> Option<f64> {
    let mut sum = histogram();
    for latency in &run.latencies {
        latency.response.add_to(&mut sum);
    }
    (!sum.is_empty()).then(|| sum.value_at_quantile(quantile) as f64 / 1e6)
}

/// One bar of a breakdown: its name, and how long each part takes.
#[derive(Clone, Debug)]
pub struct Breakdown {
    /// Name under the bar.
    pub name: String,
    /// Parts, in order from the bottom; the same names in every bar mean the same part.
    pub parts: Vec<(String, f64)>,
}

/// Stacked bars of what something is made up of.
pub fn breakdown(title: &str, y_label: &str, bars: &[Breakdown]) -> Plot {
    let mut parts: Vec<&str> = Vec::new();
    for (name, _) in bars.iter().flat_map(|bar| &bar.parts) {
        if !parts.contains(&name.as_str()) {
            parts.push(name);
        }
    }
    let height = |bar: &Breakdown, part: &str| -> f64 {
        bar.parts.iter().filter(|(name, _)| name == part).map(|(_, value)| value).sum()
    };
    Plot {
        title: title.to_owned(),
        kind: PlotKind::StackedBars,
        x: Axis {
            label: String::new(),
            scale: Scale::Linear,
            categories: bars.iter().map(|bar| bar.name.clone()).collect(),
        },
        y: axis(y_label, Scale::Linear),
        series: parts
            .iter()
            .map(|part| Series {
                name: (*part).to_owned(),
                points: bars.iter().enumerate().map(|(at, bar)| (at as f64, height(bar, part))).collect(),
                intervals: Vec::new(),
            })
            .collect(),
    }
}

/// What was seen with a number of live instances.
#[derive(Clone, Copy, Debug)]
pub struct DensityPoint {
    /// Live instances.
    pub instances: u64,
    /// 99th percentile of the response time, in milliseconds.
    pub p99_ms: f64,
    /// Memory that one instance has for itself, in KiB.
    pub private_kib: f64,
    /// Memory of one instance that others have, too.
    pub shared_kib: f64,
    /// Its private memory and its part of what is shared (PSS).
    pub pss_kib: f64,
}

type DensityFigure = (&'static str, fn(&DensityPoint) -> f64);

/// Response time and memory against the number of live instances. Points with the same number are repetitions.
pub fn density(title: &str, points: &[DensityPoint]) -> [Plot; 2] {
    let line = |(name, value): &DensityFigure| {
        let values: Vec<(f64, f64)> =
            points.iter().map(|point| (point.instances as f64, value(point))).collect();
        repeated(name, &values)
    };
    let plot = |what: &str, label: &str, figures: &[DensityFigure]| Plot {
        title: format!("{title}: {what}"),
        kind: PlotKind::Lines,
        x: axis("live instances", Scale::Log),
        y: axis(label, Scale::Linear),
        series: figures.iter().map(line).collect(),
    };
    let memory: [DensityFigure; 3] = [
        ("private", |point| point.private_kib),
        ("shared", |point| point.shared_kib),
        ("PSS", |point| point.pss_kib),
    ];
    [
        plot("p99", "response time p99 (ms)", &[("p99", |point| point.p99_ms)]),
        plot("memory", "memory of one instance (KiB)", &memory),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::tally::Start;

    #[test]
    fn repetitions_of_a_rate_are_one_point_with_an_interval() {
        let mut runs = Vec::new();
        for (repetition, rate) in [(0, 100.0), (1, 100.0), (0, 50.0), (1, 50.0)] {
            let mut run = samples::run("a", repetition, &[(Start::New, 100)]);
            run.offered_rate = Some(rate);
            runs.push(run);
        }
        runs.push(samples::run("closed loop", 0, &[(Start::New, 100)]));
        let [latency, goodput] = hockey_stick("Knee", &runs);
        assert_eq!((latency.series.len(), goodput.series.len()), (2, 1));
        for line in latency.series.iter().chain(&goodput.series) {
            assert_eq!((line.points.len(), line.intervals.len()), (2, 2));
            assert_eq!((line.points[0].0, line.points[1].0), (50.0, 100.0));
            assert!(line.intervals[0].0 <= line.points[0].1 && line.points[0].1 <= line.intervals[0].1);
        }
    }

    #[test]
    fn density_draws_what_an_instance_has_alone_and_what_it_shares() {
        let point = |instances: u64, p99_ms: f64| {
            let each = 300.0 / instances as f64;
            DensityPoint { instances, p99_ms, private_kib: 100.0, shared_kib: 300.0, pss_kib: 100.0 + each }
        };
        let [p99, memory] = density("Density", &[point(1, 2.0), point(1, 4.0), point(3, 3.0)]);
        assert_eq!((p99.series.len(), &p99.series[0].points[..]), (1, &[(1.0, 3.0), (3.0, 3.0)][..]));
        let lines: Vec<_> = memory.series.iter().map(|line| (&line.name[..], line.points[1].1)).collect();
        assert_eq!(lines, [("private", 100.0), ("shared", 300.0), ("PSS", 200.0)]);
    }

    #[test]
    fn parts_of_bars_are_found_by_name() {
        let bar = |name: &str, parts: &[(&str, f64)]| Breakdown {
            name: name.to_owned(),
            parts: parts.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        let plot =
            breakdown("t", "ms", &[bar("a", &[("map", 1.0), ("run", 2.0)]), bar("b", &[("run", 3.0)])]);
        assert_eq!(plot.x.categories, ["a", "b"]);
        assert_eq!(plot.series[0].points, [(0.0, 1.0), (1.0, 0.0)]);
        assert_eq!(plot.series[1].points, [(0.0, 2.0), (1.0, 3.0)]);
    }

    #[test]
    fn single_values_have_no_interval_and_what_is_no_number_is_left_out() {
        let line = repeated("a", &[(2.0, 1.0), (1.0, 5.0), (3.0, f64::NAN)]);
        assert_eq!((line.points, line.intervals.len()), (vec![(1.0, 5.0), (2.0, 1.0)], 0));
    }
}
