//! `spore load compare`.

use super::files;
use crate::args::{Global, Output};
use crate::failure::{Exit, Failure};
use crate::output::{left, right, table};
use crate::print;
use clap::Args;
use loadtest::report::compare::{Change, Comparison, Limits, Verdict, compare};
use loadtest::report::tables::number;
use loadtest::significance::Interval;
use std::path::PathBuf;

/// Options of `spore load compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is worse, 1 something is, 2 the results cannot be compared, one of them lacks values of a measure, or they have too few repetitions to tell."
)]
pub(super) struct CompareArgs {
    /// The result to compare to
    #[arg(value_name = "FIRST.json")]
    first: PathBuf,
    /// The result in question
    #[arg(value_name = "SECOND.json")]
    second: PathBuf,
    /// A change of a mean counts if it is more than this
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    threshold: f64,
    /// Chance of a false alarm, over all measures together
    #[arg(long, value_name = "P", default_value = "0.05", value_parser = probability)]
    alpha: f64,
    /// Compares only measures whose names hold this text; may be repeated. Fewer measures need fewer repetitions
    #[arg(long = "measure", value_name = "TEXT")]
    measures: Vec<String>,
}

pub(super) fn run(args: CompareArgs, global: &Global) -> Result<(), Failure> {
    // 1 says that something is worse; what is no result must not say so.
    let read = |path| files::read(path).map_err(|failure| failure.exit(Exit::Usage));
    let (mut first, mut second) = (read(&args.first)?, read(&args.second)?);
    for document in [&mut first, &mut second] {
        let wanted =
            |name: &str| args.measures.is_empty() || args.measures.iter().any(|text| name.contains(text));
        document.measures.retain(|measure| wanted(&measure.name));
    }
    let comparison = compare(&first, &second, Limits { threshold: args.threshold, alpha: args.alpha });
    if global.output == Output::Json {
        print::json(&comparison)?;
    } else {
        show(&comparison)?;
    }
    if comparison.changes.is_empty() {
        return Err(
            Failure::new("the results have no measure in common that both have values of").exit(Exit::Usage)
        );
    }
    match comparison.undecided() {
        _ if comparison.worse() => Err(Failure::silent(Exit::Failure)),
        _ if !comparison.missing.is_empty() => Err(missing(&comparison.missing)),
        0 => Ok(()),
        count => Err(Failure::new(format!(
            "{count} measures are worse by more than the threshold, which so few repetitions of so many measures cannot tell from chance"
        ))
        .hint("repeat more often, or choose what matters with --measure")
        .exit(Exit::Usage)),
    }
}

/// Measures that say nothing beside the other result. That is no success: a target that is dead has no response times.
fn missing(names: &[String]) -> Failure {
    let (count, first) = (names.len(), names.first().map(String::as_str).unwrap_or_default());
    let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    let message = format!("the measure {first:?}{others} cannot be compared: see the warnings");
    Failure::new(message)
        .hint("choose measures that both results have values of with --measure")
        .exit(Exit::Usage)
}

fn show(comparison: &Comparison) -> Result<(), Failure> {
    for warning in &comparison.warnings {
        print::note(&format!("warning: {}", crate::output::one_line(warning)));
    }
    let columns = [
        left("MEASURE"),
        left("UNIT"),
        right("FIRST"),
        left("95 %"),
        right("SECOND"),
        left("95 %"),
        right("CHANGE"),
        right("P"),
        left("VERDICT"),
    ];
    print::line(&table(&columns, comparison.changes.iter().map(row)))?;
    if comparison.changes.iter().any(|change| change.verdict == Verdict::TooFewRepetitions) {
        print::note(
            "note: more repetitions (or fewer measures) are needed to tell some differences from chance",
        );
    }
    Ok(())
}

fn row(change: &Change) -> Vec<String> {
    let range = |of: &Interval| match of.low < of.high {
        true => format!("{} to {}", number(of.low), number(of.high)),
        false => "-".to_owned(),
    };
    let percent =
        change.change.map_or_else(|| "from 0".to_owned(), |share| format!("{:+.1}%", share * 100.0));
    let verdict = match change.verdict {
        Verdict::Better => "better",
        Verdict::Worse => "WORSE",
        Verdict::Same => "same",
        Verdict::TooFewRepetitions => "too few repetitions",
    };
    vec![
        change.name.clone(),
        change.unit.clone(),
        number(change.first.mean),
        range(&change.first),
        number(change.second.mean),
        range(&change.second),
        percent,
        format!("{:.4}", change.p),
        verdict.to_owned(),
    ]
}

/// `5%` as a share.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').ok_or("a percentage is meant, like 5%")?;
    let value: f64 = number.trim().parse().map_err(|_| "a percentage is meant, like 5%")?;
    if (0.0..=10_000.0).contains(&value) { Ok(value / 100.0) } else { Err("from 0% to 10000%".to_owned()) }
}

fn probability(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a probability is meant, like 0.05")?;
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err("between 0 and 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_percentages_and_alpha_a_probability() {
        assert_eq!((percent("5%"), percent("0%"), percent("12.5 %")), (Ok(0.05), Ok(0.0), Ok(0.125)));
        for text in ["5", "-1%", "x%", "%", "NaN%", "1e9%"] {
            assert!(percent(text).is_err(), "{text}");
        }
        assert_eq!(probability("0.01"), Ok(0.01));
        for text in ["0", "1", "5%", "nan", "-0.1"] {
            assert!(probability(text).is_err(), "{text}");
        }
    }
}
