//! Azure Functions 2021: one line for each invocation, `app,func,end_timestamp,duration`, in seconds.

use super::csv::{Table, TraceError};
use super::{Calls, Function, Invocation, Percentiles, Trace};
use std::collections::HashMap;
use std::path::Path;

/// Invocations that are read; the whole data set has two million.
const INVOCATIONS_MAX: usize = 50_000_000;
/// Seconds that a trace can last: a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// Reads a trace. An invocation starts at its end minus its duration; what started before the beginning starts there.
pub fn read(path: &Path) -> Result<Trace, TraceError> {
    let mut table = Table::open(path)?;
    let names = ["app", "func", "end_timestamp", "duration"];
    let [app, func, end, duration] = names.map(|name| table.column(name));
    let (app, func, end, duration) = (app?, func?, end?, duration?);
    let mut indices: HashMap<(String, String), usize> = HashMap::new();
    let mut functions = Vec::new();
    let mut each = Vec::new();
    while table.next()? {
        if each.len() == INVOCATIONS_MAX {
            return Err(table.whole(&format!("it has more than {INVOCATIONS_MAX} invocations")));
        }
        let key = (table.text(app)?.to_owned(), table.text(func)?.to_owned());
        let function = *indices.entry(key).or_insert_with_key(|(app, id)| {
            functions.push(Function { id: id.clone(), app: app.clone(), run_ms: None, memory_mb: None });
            functions.len() - 1
        });
        let (ended, lasted) = (table.number(end)?, table.number(duration)?);
        if ended > SECONDS_MAX {
            return Err(table.wrong(end, "it is more than a year after the beginning"));
        }
        let at_ns = nanoseconds((ended - lasted).max(0.0));
        each.push(Invocation { at_ns, function, run_ms: lasted * 1000.0 });
    }
    if each.is_empty() {
        return Err(table.whole("it has no invocations"));
    }
    each.sort_by_key(|invocation| invocation.at_ns);
    summarize(&mut functions, &each);
    Ok(Trace { functions, calls: Calls::Each(each) })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// Gives each function the distribution of its run times.
fn summarize(functions: &mut [Function], each: &[Invocation]) {
    let mut times = vec![Vec::new(); functions.len()];
    for invocation in each {
        times[invocation.function].push(invocation.run_ms);
    }
    for (function, mut times) in functions.iter_mut().zip(times) {
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1);
        let at = |percent: usize| times.get(last * percent / 100).map(|&value| (percent as f64, value));
        function.run_ms =
            [0, 25, 50, 75, 99, 100].into_iter().map(at).collect::<Option<_>>().and_then(Percentiles::new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn invocations_start_at_their_end_less_their_duration() {
        let file = file("app,func,end_timestamp,duration\na,f,2.5,0.5\na,g,1.0,3\nb,f,90,0.25\na,f,3,0.1\n");
        let trace = read(file.path()).unwrap();
        assert_eq!((trace.functions.len(), trace.invocations(), trace.minutes()), (3, 4, 2));
        let Calls::Each(each) = &trace.calls else { panic!("{trace:?}") };
        assert_eq!(each[0], Invocation { at_ns: 0, function: 1, run_ms: 3000.0 });
        assert_eq!(
            each.iter().map(|call| call.at_ns).collect::<Vec<_>>(),
            [0, 2_000_000_000, 2_900_000_000, 89_750_000_000]
        );
        assert_eq!(trace.functions[0].run_ms.as_ref().unwrap().at(100.0), 500.0);
    }

    #[test]
    fn errors_say_line_and_column() {
        for (text, wanted) in [
            ("app,func,end_timestamp,duration\na,f,x,1\n", "line 2, column 3: `x` is not a number"),
            ("app,func,end_timestamp,duration\na,f,1,1e300\n", "line 2, column 4: `1e300` is too large"),
            ("app,func,end_timestamp,duration\na,f,NaN,1\n", "line 2, column 3: `NaN` is not a number"),
            ("app,func,end_timestamp,duration\na,f,1\n", "line 2, column 4: the line has 3 fields"),
            ("app,func,end_timestamp,duration\na,f,1,-1\n", "line 2, column 4: `-1` is not a number"),
            ("app,func,end_timestamp,duration\na,f,1e9,1\n", "line 2, column 3: it is more than a year"),
            ("app,func,end_timestamp\n", "line 1, column 3: the header has no column `duration`"),
            ("app,func,end_timestamp,duration\n", "line 1, column 1: it has no invocations"),
        ] {
            let error = read(file(text).path()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
