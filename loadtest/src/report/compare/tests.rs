//! Documents that differ in known ways.

use super::*;
use crate::report::samples;

const LIMITS: Limits = Limits { threshold: 0.05, alpha: 0.05 };

fn verdicts(comparison: &Comparison) -> Vec<Verdict> {
    comparison.changes.iter().map(|change| change.verdict).collect()
}

fn scaled(measure: usize, factor: f64) -> Document {
    let mut document = samples::document();
    document.measures[measure].values.iter_mut().for_each(|value| *value *= factor);
    document
}

#[test]
fn a_result_is_the_same_as_itself() {
    let comparison = compare(&samples::document(), &samples::document(), LIMITS);
    assert_eq!(verdicts(&comparison), [Verdict::Same; 3]);
    assert!(!comparison.worse() && comparison.warnings.is_empty(), "{:?}", comparison.warnings);
    assert!(comparison.missing.is_empty());
}

#[test]
fn better_and_worse_go_the_way_the_measure_says() {
    let of = |measure, factor| compare(&samples::document(), &scaled(measure, factor), LIMITS);
    let slower = of(0, 2.0);
    assert_eq!(verdicts(&slower), [Verdict::Worse, Verdict::Same, Verdict::Same]);
    assert!(slower.worse() && (slower.changes[0].change.unwrap() - 1.0).abs() < 1e-9);
    assert!((slower.changes[0].p - 3.0 * 2.0 / 252.0).abs() < 1e-12);
    assert_eq!(verdicts(&of(0, 0.5))[0], Verdict::Better);
    assert_eq!((verdicts(&of(2, 2.0))[2], verdicts(&of(2, 0.5))[2]), (Verdict::Better, Verdict::Worse));
    assert_eq!(verdicts(&of(2, 0.96))[2], Verdict::Same, "significant, but less than 5 %");
}

#[test]
fn few_repetitions_cannot_tell() {
    let (mut first, mut second) = (samples::document(), scaled(0, 2.0));
    first.measures[0].values.truncate(3);
    second.measures[0].values.truncate(3);
    assert_eq!(verdicts(&compare(&first, &second, LIMITS))[0], Verdict::TooFewRepetitions);
    assert_eq!((least_p(5, 5), least_p(3, 2), least_p(1, 1)), (2.0 / 252.0, 0.1, 1.0));
}

#[test]
fn measures_that_cannot_be_compared_are_named() {
    let mut second = samples::document();
    second.measures[0].name = "another".to_owned();
    second.measures[1].unit = "s".to_owned();
    second.measures[2].values.clear();
    let comparison = compare(&samples::document(), &second, LIMITS);
    assert!(comparison.changes.is_empty());
    assert_eq!(comparison.warnings.len(), 4, "{:?}", comparison.warnings);
    assert_eq!(comparison.missing, ["python-hello p50", "python-hello p99", "python-hello rate"]);
}

#[test]
fn nothing_is_missing_where_nothing_was() {
    let (mut first, mut second) = (samples::document(), samples::document());
    first.measures[0].values.clear();
    second.measures[0].values.clear();
    // What is new, and what was empty and is gone.
    first.measures[1].values.clear();
    second.measures[1].name = "another".to_owned();
    let comparison = compare(&first, &second, LIMITS);
    assert_eq!((comparison.changes.len(), comparison.warnings.len()), (1, 3), "{:?}", comparison.warnings);
    assert!(comparison.missing.is_empty(), "{:?}", comparison.missing);
    // A value where there was none says no more than none where there was one.
    second.measures[0].values.push(1.0);
    assert_eq!(compare(&first, &second, LIMITS).missing, ["python-hello p50"]);
}

#[test]
fn other_conditions_are_named() {
    let mut second = samples::document();
    second.machine.cpu = "Another".to_owned();
    second.tool.optimised = false;
    second.settings.insert("seed".to_owned(), "1".to_owned());
    second.runs[0].complete = false;
    second.machine.load = 9.0;
    let text = compare(&samples::document(), &second, LIMITS).warnings.join("\n");
    for part in [
        "processor differs: A processor and Another",
        "setting seed differs: unknown and 1",
        "debug",
        "busy",
        "1 runs",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_change_from_nothing_has_no_share() {
    let (mut first, mut second) = (samples::document(), samples::document());
    first.measures[0].values = vec![0.0; 5];
    second.measures[0].values = vec![1.0; 5];
    let comparison = compare(&first, &second, LIMITS);
    assert_eq!((comparison.changes[0].change, comparison.changes[0].verdict), (None, Verdict::Worse));
}

#[test]
fn corrected_values_are_those_of_holm() {
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
    let expected = [0.03, 0.06, 0.06, 0.02];
    assert!(adjusted.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-12), "{adjusted:?}");
    assert_eq!((holm(&[]), holm(&[0.7, 0.9])), (vec![], vec![1.0, 1.0]));
}
