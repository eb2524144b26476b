//! Tables of how calls were answered: by parent, by start, by function.

use super::replayed::Replayed;
use super::report::table;
use loadtest::report::Table;
use loadtest::report::tables::number;
use loadtest::trace::analysis::quantile;

/// Functions that are shown one by one.
const FUNCTIONS_SHOWN: usize = 20;

/// Of which parents answers were forks, how their VMs came to be, and what the platform did for that.
pub(super) fn starts(of: &Replayed) -> Table {
    let answered = of.analysis.answered();
    let row = |what: String, count: u64, from: &str| {
        vec![what, count.to_string(), percent(count, answered), from.to_owned()]
    };
    let mut all: Vec<Vec<String>> =
        parents(of).into_iter().map(|(what, count, from)| row(what.to_owned(), count, &from)).collect();
    for (start, count) in &of.analysis.starts {
        all.push(row(format!("start: {}", start.name()), *count, "counted by answer"));
    }
    all.extend(platform(of));
    table("How calls were answered", &["what", "count", "% of answers", "from"], all)
}

/// Answers by their parents. Kinds that seldom are have a row only if they are.
fn parents(of: &Replayed) -> Vec<(&'static str, u64, String)> {
    let parents = &of.parents;
    let waited = if parents.estimated == 0 {
        "counted: start cold, and how the function's parent came".to_owned()
    } else {
        format!("{} of start cold estimated by how often parents came which way", parents.estimated)
    };
    let mut all = vec![
        ("calls: hot parent", parents.hot, "counted: start other than cold".to_owned()),
        ("calls: warm parent", parents.warm, waited.clone()),
        ("calls: cold parent", parents.cold, waited.clone()),
    ];
    if parents.held > 0 {
        all.push(("calls: parent in memory whose cell had ended", parents.held, waited));
    }
    if parents.unknown > 0 {
        all.push(("calls: parent unknown", parents.unknown, "the platform did not say".to_owned()));
    }
    all
}

/// What the platform counted of its parents and VMs.
fn platform(of: &Replayed) -> Vec<Vec<String>> {
    let counted = of.counted.as_ref().ok();
    let figures = [
        ("parents taken up from snapshots", counted.map(|of| of.loads() as f64)),
        ("parents built", counted.map(|of| of.boots() as f64)),
        ("parents that left memory", counted.map(|of| of.evictions)),
        ("VMs made ahead of demand", counted.map(|of| of.spares)),
        ("live VMs at the end", counted.map(|of| of.vms as f64)),
    ];
    let row = |(what, count): (&str, Option<f64>)| {
        let count = count.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
        let from = if counted.is_some() { "counted by the platform" } else { "unknown" };
        vec![what.to_owned(), count, "-".to_owned(), from.to_owned()]
    };
    figures.map(row).into()
}

/// A part of a whole, if there is one.
fn percent(count: u64, all: u64) -> String {
    if all == 0 { "-".to_owned() } else { number(count as f64 / all as f64 * 100.0) }
}

/// The busiest functions.
pub(super) fn functions(of: &Replayed) -> Table {
    let functions = &of.analysis.functions;
    let mut order: Vec<_> = functions.iter().enumerate().collect();
    order.sort_by_key(|(index, function)| (std::cmp::Reverse(function.calls), *index));
    let rows = order.iter().take(FUNCTIONS_SHOWN).map(|(index, function)| {
        let slowdown = |at| quantile(&function.slowdowns, at).map_or_else(|| "-".to_owned(), number);
        vec![
            index.to_string(),
            function.calls.to_string(),
            function.answered.to_string(),
            function.failed.to_string(),
            percent(function.made, function.answered),
            of.planned.memory_mib[*index].to_string(),
            slowdown(0.5),
            slowdown(0.99),
        ]
    });
    let columns = [
        "function",
        "calls",
        "answered",
        "failed",
        "made anew %",
        "touches MiB",
        "slowdown p50",
        "slowdown p99",
    ];
    table(&format!("The busiest of {} functions", functions.len()), &columns, rows.collect())
}
