//! Azure Functions 2019: three tables, of which those with run times and memory may be missing.

use super::csv::{Table, TraceError};
use super::{Calls, Function, Percentiles, Trace};
use std::collections::HashMap;
use std::path::Path;

/// Columns of percentiles of run times, and what they are of.
const RUN: [(&str, f64); 7] = [
    ("percentile_Average_0", 0.0),
    ("percentile_Average_1", 1.0),
    ("percentile_Average_25", 25.0),
    ("percentile_Average_50", 50.0),
    ("percentile_Average_75", 75.0),
    ("percentile_Average_99", 99.0),
    ("percentile_Average_100", 100.0),
];

/// Columns of percentiles of memory.
const MEMORY: [(&str, f64); 8] = [
    ("AverageAllocatedMb_pct1", 1.0),
    ("AverageAllocatedMb_pct5", 5.0),
    ("AverageAllocatedMb_pct25", 25.0),
    ("AverageAllocatedMb_pct50", 50.0),
    ("AverageAllocatedMb_pct75", 75.0),
    ("AverageAllocatedMb_pct95", 95.0),
    ("AverageAllocatedMb_pct99", 99.0),
    ("AverageAllocatedMb_pct100", 100.0),
];

/// Functions that one trace can have; the whole data set has 83,000.
const FUNCTIONS_MAX: usize = 1_000_000;
/// Functions times minutes; the whole data set has 83,000 times 1,440.
const COUNTS_MAX: usize = 250_000_000;

/// Reads a trace. The columns may be in any order; those of minutes are the ones whose names end in a number.
pub fn read(
    invocations: &Path,
    run_times: Option<&Path>,
    memory: Option<&Path>,
) -> Result<Trace, TraceError> {
    let run_times =
        run_times.map(|path| percentiles(path, Some("HashFunction"), &RUN)).transpose()?.unwrap_or_default();
    let memory = memory.map(|path| percentiles(path, None, &MEMORY)).transpose()?.unwrap_or_default();
    let mut table = Table::open(invocations)?;
    let (function, app) = (table.column("HashFunction")?, table.column("HashApp")?);
    let minutes = minutes(&table)?;
    let (mut functions, mut counts) = (Vec::new(), Vec::new());
    let mut seen = HashMap::new();
    while table.next()? {
        if functions.len() == FUNCTIONS_MAX || functions.len() * minutes.len() > COUNTS_MAX {
            let why = format!("it has more than {FUNCTIONS_MAX} functions or {COUNTS_MAX} counts");
            return Err(table.whole(&why));
        }
        let (id, app) = (table.text(function)?.to_owned(), table.text(app)?.to_owned());
        let key: Key = (app.clone(), id.clone());
        once(&mut seen, &table, function, key.clone(), "function")?;
        counts.push(minutes.iter().map(|&column| table.count(column)).collect::<Result<_, _>>()?);
        let (run_ms, memory_mb) =
            (run_times.get(&key).cloned(), memory.get(&(app.clone(), String::new())).cloned());
        functions.push(Function { id, app, run_ms, memory_mb });
    }
    if functions.is_empty() {
        return Err(table.whole("it has no functions"));
    }
    Ok(Trace { functions, calls: Calls::PerMinute(counts) })
}

/// The columns of minutes 1, 2, 3 ..., in this order.
fn minutes(table: &Table) -> Result<Vec<usize>, TraceError> {
    let number = |name: &str| name.strip_prefix("minute_").unwrap_or(name).parse::<usize>().ok();
    let mut columns: Vec<(usize, usize)> =
        table.header().iter().enumerate().filter_map(|(at, name)| Some((number(name)?, at))).collect();
    columns.sort_unstable();
    let gapless = columns.iter().zip(1..).all(|((minute, _), wanted)| *minute == wanted);
    if columns.is_empty() || !gapless {
        return Err(
            table.wrong(0, "the header has no columns 1, 2, 3 ... for the minutes, or not all of them")
        );
    }
    Ok(columns.into_iter().map(|(_, at)| at).collect())
}

/// Application and function; the function is empty where a table is of applications.
type Key = (String, String);

/// Notes where a function or application is, and refuses a second one.
fn once(
    seen: &mut HashMap<Key, u64>,
    table: &Table,
    column: usize,
    key: Key,
    what: &str,
) -> Result<(), TraceError> {
    match seen.insert(key, table.line()) {
        Some(before) => Err(table.wrong(column, &format!("this {what} was already on line {before}"))),
        None => Ok(()),
    }
}

/// Distributions of applications, or of functions if there is a column with their names.
fn percentiles(
    path: &Path,
    function: Option<&str>,
    points: &[(&str, f64)],
) -> Result<HashMap<Key, Percentiles>, TraceError> {
    let mut table = Table::open(path)?;
    let app = table.column("HashApp")?;
    let function = function.map(|name| table.column(name)).transpose()?;
    let columns = points.iter().map(|(name, _)| table.column(name)).collect::<Result<Vec<_>, _>>()?;
    let (mut found, mut seen) = (HashMap::new(), HashMap::new());
    while table.next()? {
        if found.len() == FUNCTIONS_MAX {
            return Err(table.whole(&format!("it has more than {FUNCTIONS_MAX} lines")));
        }
        let values = columns.iter().map(|&column| table.number(column)).collect::<Result<Vec<_>, _>>()?;
        let known = points.iter().map(|(_, percent)| *percent).zip(values).collect();
        let known =
            Percentiles::new(known).ok_or_else(|| table.wrong(columns[0], "these are no percentiles"))?;
        let id = function.map_or(Ok(""), |column| table.text(column))?;
        let key = (table.text(app)?.to_owned(), id.to_owned());
        let (column, what) = function.map_or((app, "application"), |column| (column, "function"));
        once(&mut seen, &table, column, key.clone(), what)?;
        found.insert(key, known);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
