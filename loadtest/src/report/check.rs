//! Whether the parts of a document fit together, and are not too many.

use super::{Document, Plot, PlotKind, Table};
use std::collections::BTreeSet;

/// Values of a measure, and so repetitions: every one is resampled thousands of times.
pub const VALUES_MAX: usize = 1_000;
/// Greatest value of a measure: sums of many must stay numbers.
const VALUE_MAX: f64 = 1e100;
/// Values of all measures.
const VALUES_OF_ALL_MAX: usize = 50_000;
/// Systems in the runs: each has files of its own.
const SYSTEMS_MAX: usize = 200;

/// Says what is wrong, if something is.
pub(super) fn document(document: &Document) -> Result<(), String> {
    measures(document)?;
    document.tables.iter().try_for_each(table)?;
    document.plots.iter().try_for_each(plot)?;
    let systems: BTreeSet<&str> = document.runs.iter().map(|run| run.system.as_str()).collect();
    if systems.len() > SYSTEMS_MAX {
        return Err(format!("it has {} systems; at most {SYSTEMS_MAX} are read", systems.len()));
    }
    Ok(())
}

fn measures(document: &Document) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for measure in &document.measures {
        if !names.insert(&measure.name) {
            return Err(format!("measure {:?} is there twice", measure.name));
        }
        if measure.values.len() > VALUES_MAX {
            return Err(format!("measure {:?} has more than {VALUES_MAX} values", measure.name));
        }
        if measure.values.iter().any(|value| value.abs() > VALUE_MAX) {
            return Err(format!("measure {:?} has a value beyond {VALUE_MAX:e}", measure.name));
        }
    }
    let all: usize = document.measures.iter().map(|measure| measure.values.len()).sum();
    if all > VALUES_OF_ALL_MAX {
        return Err(format!("its measures have {all} values; at most {VALUES_OF_ALL_MAX} are read"));
    }
    Ok(())
}

fn table(table: &Table) -> Result<(), String> {
    for (at, row) in table.rows.iter().enumerate() {
        if row.len() != table.columns.len() {
            let (title, cells, columns) = (&table.title, row.len(), table.columns.len());
            return Err(format!("table {title:?}: row {} has {cells} cells for {columns} columns", at + 1));
        }
    }
    Ok(())
}

fn plot(plot: &Plot) -> Result<(), String> {
    for series in &plot.series {
        let name = || format!("plot {:?}, series {:?}", plot.title, series.name);
        if !series.intervals.is_empty() && series.intervals.len() != series.points.len() {
            let (intervals, points) = (series.intervals.len(), series.points.len());
            return Err(format!("{}: {intervals} intervals for {points} points", name()));
        }
        if plot.kind == PlotKind::StackedBars {
            let categories = plot.x.categories.len();
            let is_category = |x: f64| x.fract() == 0.0 && x >= 0.0 && x < categories as f64;
            if let Some((x, _)) = series.points.iter().find(|(x, _)| !is_category(*x)) {
                return Err(format!("{}: {x} is not the index of a category", name()));
            }
        }
    }
    Ok(())
}
