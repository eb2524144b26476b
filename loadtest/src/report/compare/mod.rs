//! Whether one result is worse than another.

mod conditions;

use super::{Better, Document, Measure};
use crate::significance::{Interval, interval, p_value};
use serde::Serialize;

/// When a difference counts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Share of the first mean that a change must exceed.
    pub threshold: f64,
    /// Probability of seeing any difference where there is none, over all measures together.
    pub alpha: f64,
}

/// What a comparison says of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The second result is better.
    Better,
    /// The second result is worse.
    Worse,
    /// No difference that counts.
    Same,
    /// So few repetitions of so many measures could not tell any difference.
    TooFewRepetitions,
}

/// A measure of both results.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
    /// In the first result.
    pub first: Interval,
    /// In the second.
    pub second: Interval,
    /// By what share of the first mean the second differs; none if the first is 0 and the second is not.
    pub change: Option<f64>,
    /// Probability of such a difference by chance, corrected for the number of measures (Holm, 1979).
    pub p: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// Two results side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Measures that both have.
    pub changes: Vec<Change>,
    /// Measures of the first result that say nothing beside the second: it has none of the name, one of both has no values, or they
    /// mean different things. A target that answers nothing has no response times, and is not better for that.
    pub missing: Vec<String>,
    /// Why the comparison may mean something else than it seems to.
    pub warnings: Vec<String>,
}

impl Comparison {
    /// Whether the second result is worse in something.
    pub fn worse(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Worse)
    }

    /// How many measures seem worse, but have too few repetitions to tell.
    pub fn undecided(&self) -> usize {
        let seems_worse = |change: &&Change| {
            let rises = change.second.mean > change.first.mean;
            change.verdict == Verdict::TooFewRepetitions && rises == (change.better == Better::Lower)
        };
        self.changes.iter().filter(seems_worse).count()
    }
}

/// Compares the second result to the first.
pub fn compare(first: &Document, second: &Document, limits: Limits) -> Comparison {
    let mut warnings = conditions::warnings(first, second);
    let (mut changes, mut missing) = (Vec::new(), Vec::new());
    for one in &first.measures {
        let Some(two) = second.measures.iter().find(|two| two.name == one.name) else {
            warnings.push(format!("only the first result has the measure {:?}", one.name));
            // Where there was nothing, nothing is missing.
            missing.extend((!one.values.is_empty()).then(|| one.name.clone()));
            continue;
        };
        match change(one, two) {
            Ok(found) => changes.push((found, least_p(one.values.len(), two.values.len()))),
            Err(why) => {
                warnings.push(why);
                let any = !(one.values.is_empty() && two.values.is_empty());
                missing.extend(any.then(|| one.name.clone()));
            }
        }
    }
    for two in second.measures.iter().filter(|two| first.measures.iter().all(|one| one.name != two.name)) {
        warnings.push(format!("only the second result has the measure {:?}", two.name));
    }
    let adjusted = holm(&changes.iter().map(|(change, _)| change.p).collect::<Vec<f64>>());
    let count = changes.len() as f64;
    for ((change, least), p) in changes.iter_mut().zip(adjusted) {
        change.p = p;
        change.verdict = verdict(change, *least * count, limits);
    }
    Comparison { changes: changes.into_iter().map(|(change, _)| change).collect(), missing, warnings }
}

/// Both values of a measure, not yet judged.
fn change(one: &Measure, two: &Measure) -> Result<Change, String> {
    if one.unit != two.unit || one.better != two.better {
        return Err(format!("the measure {:?} means different things in the two results", one.name));
    }
    let (Some(first), Some(second), Some(p)) =
        (interval(&one.values), interval(&two.values), p_value(&one.values, &two.values, 1))
    else {
        return Err(format!("the measure {:?} has no values in one of the results", one.name));
    };
    let difference = second.mean - first.mean;
    let change = match first.mean {
        _ if difference == 0.0 => Some(0.0),
        0.0 => None,
        mean => Some(difference / mean.abs()),
    };
    let (name, unit, better) = (one.name.clone(), one.unit.clone(), one.better);
    Ok(Change { name, unit, better, first, second, change, p, verdict: Verdict::Same })
}

fn verdict(change: &Change, least: f64, limits: Limits) -> Verdict {
    let large = change.change.is_none_or(|share| share.abs() > limits.threshold);
    if large && change.p <= limits.alpha {
        let rises = change.second.mean > change.first.mean;
        return if rises == (change.better == Better::Higher) { Verdict::Better } else { Verdict::Worse };
    }
    if large && least > limits.alpha { Verdict::TooFewRepetitions } else { Verdict::Same }
}

/// The least p value that so many repetitions can give: the order seen and, with equal numbers, its mirror image.
fn least_p(one: usize, two: usize) -> f64 {
    let choices: f64 = (0..one.min(two)).map(|at| (one + two - at) as f64 / (at + 1) as f64).product();
    if one == two { 2.0 / choices } else { 1.0 / choices }
}

/// P values such that the chance of one false alarm among all is what one says.
fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let mut adjusted = vec![1.0; values.len()];
    let mut least: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        least = least.max((values.len() - rank) as f64 * values[at]).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests;
