//! How a run went, second by second.

use super::axis;
use crate::report::{Plot, PlotKind, RunReport, Scale, Second, Series};

/// Median, 99th percentile and slowest answer of each second; warm-up included.
pub fn tail_over_time(title: &str, run: &RunReport) -> Plot {
    let line = |name: &str, value: fn(&Second) -> f64| Series {
        name: name.to_owned(),
        points: answered(run).map(|second| (second.second as f64, value(second) / 1000.0)).collect(),
        intervals: Vec::new(),
    };
    Plot {
        title: title.to_owned(),
        kind: PlotKind::Lines,
        x: axis("second of the run", Scale::Linear),
        y: axis("response time (ms)", Scale::Log),
        series: vec![
            line("median", |second| second.p50_us),
            line("p99", |second| second.p99_us),
            line("slowest", |second| second.max_us),
        ],
    }
}

/// Answers, failures and requests never sent in each second; warm-up included.
pub fn failures_over_time(title: &str, run: &RunReport) -> Plot {
    let line = |name: &str, value: fn(&Second) -> u64| Series {
        name: name.to_owned(),
        points: run.timeline.iter().map(|second| (second.second as f64, value(second) as f64)).collect(),
        intervals: Vec::new(),
    };
    Plot {
        title: title.to_owned(),
        kind: PlotKind::Lines,
        x: axis("second of the run", Scale::Linear),
        y: axis("requests in a second", Scale::Linear),
        series: vec![
            line("answered", |second| second.answered),
            line("failed", |second| second.failed),
            line("never sent", |second| second.dropped),
        ],
    }
}

fn answered(run: &RunReport) -> impl Iterator<Item = &Second> {
    run.timeline.iter().filter(|second| second.answered > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::tally::Start;

    #[test]
    fn each_second_is_a_point_and_one_without_answers_has_no_latency() {
        let mut run = samples::run("a", 0, &[(Start::New, 10)]);
        run.timeline = samples::timeline(5);
        run.timeline[2].answered = 0;
        run.timeline[2].failed = 9;
        let (tail, failures) = (tail_over_time("t", &run), failures_over_time("t", &run));
        assert!(tail.series.iter().all(|line| line.points.len() == 4));
        assert!(failures.series.iter().all(|line| line.points.len() == 5));
        assert_eq!((failures.series[1].points[2], failures.series[0].points[2]), ((2.0, 9.0), (2.0, 0.0)));
    }
}
