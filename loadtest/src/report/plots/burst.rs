//! How soon requests are answered that come all at once.

use super::{axis, repeated};
use crate::report::{Plot, PlotKind, RunReport, Scale};
use crate::tally::histogram;
use hdrhistogram::Histogram;

/// Answers up to which every one is a point; beyond, points are this share apart.
const EACH: u64 = 20;

/// The time to the k-th answer, a line for each system: means of the repetitions that have so many answers, with their
/// intervals. Runs that were stopped are left out.
pub fn kth_answers(title: &str, runs: &[RunReport]) -> Plot {
    let mut systems: Vec<(&str, Vec<Histogram<u64>>)> = Vec::new();
    for run in runs.iter().filter(|run| run.complete) {
        let times = run.latencies.iter().fold(histogram(), |mut sum, one| {
            one.response.add_to(&mut sum);
            sum
        });
        match systems.iter_mut().find(|(system, _)| *system == run.system) {
            Some((_, all)) => all.push(times),
            None => systems.push((&run.system, vec![times])),
        }
    }
    Plot {
        title: title.to_owned(),
        kind: PlotKind::Lines,
        x: axis("k-th answer", Scale::Log),
        y: axis("time since the burst (ms)", Scale::Log),
        series: systems.iter().map(|(name, all)| repeated(name, &points(all))).collect(),
    }
}

/// The answers that are drawn, with their times in each repetition.
fn points(repetitions: &[Histogram<u64>]) -> Vec<(f64, f64)> {
    let most = repetitions.iter().map(Histogram::len).max().unwrap_or(0);
    let drawn = drawn(most);
    let mut points = Vec::new();
    for times in repetitions {
        let mut wanted = drawn.iter().copied().peekable();
        let mut count = 0;
        for value in times.iter_recorded() {
            count += value.count_at_value();
            while let Some(k) = wanted.next_if(|&k| k <= count) {
                points.push((k as f64, value.value_iterated_to() as f64 / 1e6));
            }
        }
    }
    points
}

/// Numbers from 1 to `most`: all of the first, then some, and the last.
fn drawn(most: u64) -> Vec<u64> {
    let next = |k: &u64| Some(k + (k / EACH).max(1));
    let mut drawn: Vec<u64> = std::iter::successors(Some(1), next).take_while(|&k| k < most).collect();
    if most > 0 {
        drawn.push(most);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::tally::{Start, record};

    /// A burst whose k-th answer comes after k times `step_ms`; the even ones are of another start.
    fn burst(system: &str, repetition: u32, answers: u64, step_ms: u64) -> RunReport {
        let mut run = samples::run(system, repetition, &[(Start::New, 1), (Start::Spare, 1)]);
        for (at, one) in run.latencies.iter_mut().enumerate() {
            let mut times = histogram();
            let mine = (1..=answers).filter(|k| k.is_multiple_of(2) == (at == 1));
            mine.for_each(|k| record(&mut times, k * step_ms * 1_000_000));
            one.response = crate::report::Packed(times);
        }
        run
    }

    #[test]
    fn all_repetitions_are_in_the_time_to_the_kth_answer() {
        let stopped = RunReport { complete: false, ..burst("burst of 30", 2, 1, 500) };
        let runs =
            [burst("burst of 30", 0, 30, 1), burst("burst of 30", 1, 29, 3), stopped, burst("one", 0, 1, 7)];
        let plot = kth_answers("t", &runs);
        let [thirty, one] = &plot.series[..] else { panic!("{:?}", plot.series) };
        assert_eq!((thirty.points.len(), thirty.intervals.len()), (30, 30));
        assert_eq!((thirty.points[9].0, thirty.points[9].1.round()), (10.0, 20.0));
        assert!(thirty.intervals[9].0 < 10.0 && thirty.intervals[9].1 > 30.0, "{:?}", thirty.intervals[9]);
        assert_eq!((thirty.points[29].0, thirty.points[29].1.round()), (30.0, 30.0));
        assert_eq!((one.points.len(), one.intervals.len()), (1, 0));
    }

    #[test]
    fn few_of_many_answers_are_drawn_and_the_last_always_is() {
        assert_eq!((drawn(0), drawn(1), drawn(3)), (vec![], vec![1], vec![1, 2, 3]));
        let many = drawn(1000);
        assert!(many.len() < 150 && many[19] == 20 && many[many.len() - 1] == 1000, "{many:?}");
        assert!(many.is_sorted_by(|one, other| one < other));
    }
}
