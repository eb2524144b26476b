//! Distributions of response times.

use super::axis;
use crate::report::{Plot, PlotKind, RunReport, Scale, Series};
use crate::tally::{Start, histogram};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// A step of less than this is joined with the next, unless the next is far off.
const STEP: f64 = 0.004;
/// Values nearer than this factor are joined in the tail.
const NEAR: f64 = 1.02;
const NS_PER_MS: f64 = 1e6;

/// The share of answers at most so slow, by start.
pub fn cdf(title: &str, runs: &[RunReport]) -> Plot {
    Plot {
        title: title.to_owned(),
        kind: PlotKind::Steps,
        x: axis("response time (ms)", Scale::Log),
        y: axis("share of answers", Scale::Linear),
        series: series(runs, cdf_points),
    }
}

/// The share of answers that are slower, by start: shows the tail.
pub fn ccdf(title: &str, runs: &[RunReport]) -> Plot {
    Plot {
        title: title.to_owned(),
        kind: PlotKind::Steps,
        x: axis("response time (ms)", Scale::Log),
        y: axis("share of answers that are slower", Scale::Log),
        series: series(runs, ccdf_points),
    }
}

/// Response times of all runs and calls together, by system and start, in the order of systems.
pub fn distributions(runs: &[RunReport]) -> Vec<(String, Histogram<u64>)> {
    let mut systems: Vec<&str> = Vec::new();
    let mut sums: BTreeMap<(usize, Start), Histogram<u64>> = BTreeMap::new();
    for run in runs {
        let system = systems.iter().position(|name| *name == run.system).unwrap_or_else(|| {
            systems.push(&run.system);
            systems.len() - 1
        });
        for latency in &run.latencies {
            latency.response.add_to(sums.entry((system, latency.start)).or_insert_with(histogram));
        }
    }
    let alone = systems.len() == 1;
    sums.into_iter().map(|((system, start), sum)| (name(systems[system], start, alone), sum)).collect()
}

fn name(system: &str, start: Start, alone: bool) -> String {
    match (alone, start) {
        (_, Start::None) => system.to_owned(),
        (true, _) => start.name().to_owned(),
        (false, _) => format!("{system} {}", start.name()),
    }
}

fn series(runs: &[RunReport], points: fn(&Histogram<u64>) -> Vec<(f64, f64)>) -> Vec<Series> {
    distributions(runs)
        .into_iter()
        .filter(|(_, histogram)| !histogram.is_empty())
        .map(|(name, histogram)| {
            let short = points(&histogram).into_iter().map(|(x, y)| (six_digits(x), six_digits(y)));
            Series { name, points: short.collect(), intervals: Vec::new() }
        })
        .collect()
}

fn cdf_points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let mut points = vec![(milliseconds(histogram.min()), 0.0)];
    for (value, at_most) in cumulated(histogram) {
        let (x, y) = points[points.len() - 1];
        if y == 0.0 || at_most - y >= STEP || value > x * NEAR || at_most >= 1.0 {
            points.push((value, at_most));
        }
    }
    points
}

fn ccdf_points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let mut points = vec![(milliseconds(histogram.min()), 1.0)];
    for (value, at_most) in cumulated(histogram) {
        let (x, y) = points[points.len() - 1];
        // None is slower than the slowest: the line ends there, at the height it has.
        let slower = if at_most >= 1.0 { y } else { 1.0 - at_most };
        if value > x * NEAR || slower < y * 0.9 || at_most >= 1.0 {
            points.push((value, slower));
        }
    }
    points
}

/// Every recorded value in milliseconds, and the share of values that are not greater.
fn cumulated(histogram: &Histogram<u64>) -> impl Iterator<Item = (f64, f64)> {
    let total = histogram.len();
    let mut sum = 0_u64;
    histogram.iter_recorded().map(move |value| {
        sum = sum.saturating_add(value.count_at_value());
        let share = if sum >= total { 1.0 } else { sum as f64 / total as f64 };
        (milliseconds(value.value_iterated_to()), share)
    })
}

/// Six digits that count are more than histograms have, and keep documents short.
fn six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

fn milliseconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_cdf_rises_from_none_to_all_and_a_ccdf_falls() {
        let runs = [samples::run("a", 0, &[(Start::Recycled, 1000), (Start::Cold, 10)])];
        let (rising, falling) = (cdf("t", &runs), ccdf("t", &runs));
        for (up, down) in rising.series.iter().zip(&falling.series) {
            assert_eq!(up.points[0].1, 0.0);
            assert_eq!(up.points[up.points.len() - 1].1, 1.0);
            assert!(up.points.is_sorted(), "{:?}", up.points);
            assert!(down.points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1), "{:?}", down.points);
            assert!(down.points.iter().all(|point| point.1 > 0.0) && down.points[0].1 == 1.0);
            assert!(up.points.len() < 900 && down.points.len() < 900);
        }
        let end = falling.series[1].points[falling.series[1].points.len() - 1].1;
        assert!((end - 0.1).abs() < 1e-9, "one of ten is slower than all others: {end}");
        let names: Vec<&str> = rising.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["recycled", "cold"]);
    }

    #[test]
    fn repetitions_are_one_line_and_systems_have_their_own() {
        let start = &[(Start::None, 10)][..];
        let runs = [samples::run("b", 0, start), samples::run("a", 0, start), samples::run("b", 1, start)];
        let all = distributions(&runs);
        let lens: Vec<(&str, u64)> = all.iter().map(|(name, sum)| (name.as_str(), sum.len())).collect();
        assert_eq!(lens, [("b", 20), ("a", 10)]);
        assert!(cdf("t", &[]).series.is_empty());
    }
}
