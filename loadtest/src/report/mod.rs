//! Results: one document for every experiment, from which tables, plots and comparisons are made.

mod check;
mod clean;
pub mod compare;
mod document;
pub mod files;
pub mod html;
mod machine;
mod packed;
pub mod plots;
mod read;
mod run;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod schema;
mod svg;
pub mod tables;

pub use check::VALUES_MAX;
pub use document::{
    Axis, Better, Document, Machine, Measure, Plot, PlotKind, SCHEMA, Scale, Series, Table, Tool,
};
pub use files::{WriteError, write_results};
pub use machine::now;
pub use packed::Packed;
pub use read::ReadError;
pub use run::{FailureCount, Generator, LatencyReport, RATE_SECONDS_MIN, RunReport, Second};
