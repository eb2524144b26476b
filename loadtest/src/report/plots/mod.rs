//! Plots made of runs.
//!
//! | module | question |
//! |---|---|
//! | `distribution` | how response times are distributed, by how the VM came to be |
//! | `time` | how a run went, second by second |
//! | `load` | what a system does as more is asked of it |
//! | `burst` | how many answers there are how soon after all were asked for at once |

mod burst;
mod distribution;
mod load;
mod time;

pub use burst::kth_answers;
pub use distribution::{ccdf, cdf, distributions};
pub use load::{Breakdown, DensityPoint, breakdown, density, hockey_stick, repeated};
pub use time::{failures_over_time, tail_over_time};

use super::{Axis, Plot, RunReport, Scale};

/// The plots that every set of runs has: both distributions, and how the first run went.
pub fn of_runs(runs: &[RunReport]) -> Vec<Plot> {
    let mut plots = Vec::new();
    if runs.iter().any(|run| run.answered > 0) {
        plots.push(cdf("Response time", runs));
        plots.push(ccdf("Response time: the tail", runs));
    }
    if let Some(first) = runs.first().filter(|run| run.timeline.len() > 1) {
        plots.push(tail_over_time("Response time over time", first));
        plots.push(failures_over_time("Answers and failures over time", first));
    }
    plots
}

/// An axis of numbers.
pub fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale, categories: Vec::new() }
}
