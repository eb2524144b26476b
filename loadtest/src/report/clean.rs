//! Numbers that JSON cannot hold.

use super::Document;

impl Document {
    /// Takes out what is not a number, such as the mean of nothing, and says so in a note: JSON has no word for it.
    pub fn without_not_numbers(&self) -> Document {
        let mut document = self.clone();
        let mut lost = Vec::new();
        for measure in &mut document.measures {
            let before = measure.values.len();
            measure.values.retain(|value| value.is_finite());
            if measure.values.len() < before {
                lost.push(format!("measure {}", measure.name));
            }
        }
        for plot in &mut document.plots {
            for series in &mut plot.series {
                if drop_points(&mut series.points, &mut series.intervals) {
                    lost.push(format!("plot {}, series {}", plot.title, series.name));
                }
            }
        }
        for run in &mut document.runs {
            run.offered_rate = run.offered_rate.filter(|rate| rate.is_finite());
            let seconds = run.timeline.iter_mut();
            let times =
                seconds.flat_map(|second| [&mut second.p50_us, &mut second.p99_us, &mut second.max_us]);
            let others = [&mut run.seconds, &mut run.generator.cpu_seconds];
            for value in times.chain(others).filter(|value| !value.is_finite()) {
                *value = 0.0;
                lost.push(format!("a figure of run {} of {}", run.repetition, run.system));
            }
        }
        if !document.machine.load.is_finite() {
            document.machine.load = 0.0;
        }
        lost.dedup();
        document.notes.extend(
            lost.into_iter().map(|what| format!("{what}: a value that is not a number was left out")),
        );
        document
    }
}

/// Takes out points that are not numbers, with their intervals.
fn drop_points(points: &mut Vec<(f64, f64)>, intervals: &mut Vec<(f64, f64)>) -> bool {
    let finite = |(one, other): &(f64, f64)| one.is_finite() && other.is_finite();
    let keep: Vec<bool> =
        (0..points.len()).map(|at| finite(&points[at]) && intervals.get(at).is_none_or(finite)).collect();
    let mut kept = keep.iter();
    points.retain(|_| kept.next().copied().unwrap_or(false));
    let mut kept = keep.iter();
    intervals.retain(|_| kept.next().copied().unwrap_or(false));
    keep.contains(&false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_document_with_values_that_are_no_numbers_can_be_read_back() {
        let mut document = samples::document();
        document.measures[0].values[2] = f64::NAN;
        document.plots[0].series[0].points[1].1 = f64::INFINITY;
        document.runs[0].timeline[0].p99_us = f64::NAN;
        let clean = document.without_not_numbers();
        assert_eq!((clean.measures[0].values.len(), clean.notes.len()), (4, document.notes.len() + 3));
        let text = serde_json::to_vec(&clean).unwrap();
        assert!(samples::same(&Document::parse(&text).unwrap(), &clean));
        assert!(samples::document().without_not_numbers() == samples::document());
    }
}
