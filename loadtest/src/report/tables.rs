//! Tables made of runs and measures.

use super::{Measure, RunReport, Table};
use crate::significance::{Interval, interval};
use crate::tally::{Start, histogram};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// The tables that every set of runs has.
pub fn of_runs(runs: &[RunReport]) -> Vec<Table> {
    let mut tables = vec![latencies("Response time, all runs", runs)];
    if runs.iter().any(|run| !run.failed.is_empty()) {
        tables.push(failures("Failures, all runs", runs));
    }
    tables
}

/// Columns of [`latencies`].
const COLUMNS: [&str; 11] = [
    "system",
    "call",
    "start",
    "n",
    "min ms",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "service p99 ms",
];

/// Percentiles of the response time by system, call and start; all repetitions together.
pub fn latencies(title: &str, runs: &[RunReport]) -> Table {
    let mut systems: Vec<&str> = Vec::new();
    let mut sums: BTreeMap<(usize, &str, Start), [Histogram<u64>; 2]> = BTreeMap::new();
    for run in runs {
        let system = place(&mut systems, &run.system);
        for latency in &run.latencies {
            let [response, service] = sums
                .entry((system, &latency.call, latency.start))
                .or_insert_with(|| [histogram(), histogram()]);
            latency.response.add_to(response);
            latency.service.add_to(service);
        }
    }
    let row = |(&(system, call, start), [sum, service]): (&(usize, &str, Start), &[Histogram<u64>; 2])| {
        let ms = |ns: u64| number(ns as f64 / 1e6);
        let at = |quantile| ms(sum.value_at_quantile(quantile));
        let names = [systems[system].to_owned(), call.to_owned(), start.name().to_owned()];
        let times = [ms(sum.min()), at(0.5), at(0.9), at(0.99), at(0.999), ms(sum.max())];
        let rest = [ms(service.value_at_quantile(0.99))];
        names.into_iter().chain([sum.len().to_string()]).chain(times).chain(rest).collect()
    };
    Table {
        title: title.to_owned(),
        columns: COLUMNS.map(str::to_owned).to_vec(),
        rows: sums.iter().map(row).collect(),
    }
}

/// Failures by system, call and kind; all repetitions together.
pub fn failures(title: &str, runs: &[RunReport]) -> Table {
    let mut systems: Vec<&str> = Vec::new();
    let mut counts: BTreeMap<(usize, &str, String), u64> = BTreeMap::new();
    for run in runs {
        let system = place(&mut systems, &run.system);
        for failure in &run.failed {
            *counts.entry((system, &failure.call, failure.failure.to_string())).or_default() += failure.count;
        }
    }
    Table {
        title: title.to_owned(),
        columns: ["system", "call", "failure", "n"].map(str::to_owned).to_vec(),
        rows: counts
            .into_iter()
            .map(|((system, call, why), count)| {
                vec![systems[system].to_owned(), call.to_owned(), why, count.to_string()]
            })
            .collect(),
    }
}

/// Measures with their means and 95 % intervals.
pub fn measures(title: &str, measures: &[Measure]) -> Table {
    let row = |measure: &Measure| {
        let (mean, range) = interval(&measure.values).map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |of| (number(of.mean), range(&of, measure.values.len())),
        );
        vec![measure.name.clone(), mean, range, measure.unit.clone(), measure.values.len().to_string()]
    };
    Table {
        title: title.to_owned(),
        columns: ["measure", "mean", "95 % interval", "unit", "n"].map(str::to_owned).to_vec(),
        rows: measures.iter().map(row).collect(),
    }
}

/// Ends of an interval; a single value has none.
fn range(interval: &Interval, repetitions: usize) -> String {
    match repetitions {
        0 | 1 => "-".to_owned(),
        _ => format!("{} to {}", number(interval.low), number(interval.high)),
    }
}

fn place<'a>(systems: &mut Vec<&'a str>, name: &'a str) -> usize {
    systems.iter().position(|known| *known == name).unwrap_or_else(|| {
        systems.push(name);
        systems.len() - 1
    })
}

/// A number with as many digits as are worth reading: four, at least all before the point.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let size = value.abs();
    match size {
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-4..1e15).contains(&size) => format!("{value:.3e}"),
        _ if size >= 1000.0 => format!("{value:.0}"),
        _ if size >= 100.0 => format!("{value:.1}"),
        _ if size >= 10.0 => format!("{value:.2}"),
        _ if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

/// A table as lines of text: words to the left, numbers to the right. Control characters become spaces.
pub fn text(table: &Table) -> String {
    let heads = std::iter::once(&table.columns);
    let lines: Vec<&Vec<String>> = heads.chain(&table.rows).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let numeric: Vec<bool> = (0..table.columns.len()).map(|column| is_numeric(table, column)).collect();
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).zip(&numeric).map(|((cell, width), numeric)| match numeric {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        let cells = cells.map(|cell| cell.replace(char::is_control, " "));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Whether a column holds numbers only.
pub(crate) fn is_numeric(table: &Table, column: usize) -> bool {
    let number = |cell: &String| cell == "-" || cell.parse::<f64>().is_ok();
    !table.rows.is_empty() && table.rows.iter().all(|row| row.get(column).is_none_or(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Better, samples};

    #[test]
    fn latencies_of_repetitions_are_put_together() {
        let starts = [(Start::Recycled, 1000), (Start::Cold, 4)];
        let runs = [samples::run("a", 0, &starts), samples::run("a", 1, &starts)];
        let table = latencies("t", &runs);
        assert_eq!(table.rows.len(), 2);
        assert_eq!(table.rows[0][..4], ["a", "hello", "recycled", "2000"]);
        assert_eq!(table.rows[1][..4], ["a", "hello", "cold", "8"]);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        assert_eq!(failures("t", &runs).rows, [["a", "hello", "no answer in time", "6"].map(str::to_owned)]);
    }

    #[test]
    fn measures_have_intervals_and_numbers_are_short() {
        let values = vec![1.0, 2.0, 3.0];
        let measure = Measure { name: "m".to_owned(), unit: "ms".to_owned(), better: Better::Lower, values };
        let table = measures("t", &[measure]);
        assert_eq!((table.rows[0][1].as_str(), table.rows[0][4].as_str()), ("2.000", "3"));
        for (value, text) in
            [(0.0, "0"), (12_345.6, "12346"), (0.123_45, "0.123"), (1e20, "1.000e20"), (f64::NAN, "-")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn text_is_aligned() {
        let cells = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        let rows = vec![cells(["é", "1.5"]), cells(["long", "22"])];
        let table = Table { title: "t".to_owned(), columns: cells(["name", "n"]), rows };
        assert_eq!(text(&table), "name    n\né     1.5\nlong   22\n");
    }
}
