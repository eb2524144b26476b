//! One value out of the result of an experiment: of `spore bench` (docs/BENCH.md) or of `spore load`.

use serde_json::Value;

/// What a placeholder asks for:
///
/// | words | what |
/// |---|---|
/// | `source` | the command, when it ran, on which build, how busy the machine was |
/// | `machine` | the machine in a line |
/// | `measure NAME` | mean, least and greatest repetition of a measure, with its unit |
/// | `measures TEXT` | a table of all measures whose names contain the text |
/// | `matrix END, END` | a table with a row for each system and a column for each end of a measure's name: `p50, p99` |
/// | `table TEXT` | the first of the result's own tables whose title begins with the text |
/// | `POINTER UNIT` | a number of the result at a JSON pointer, in `us`, `ms`, `KiB`, `MiB`, `count` or `ratio` |
pub(super) fn value(result: &Value, what: &str) -> Result<String, String> {
    let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
    match word {
        "source" => Ok(source(result)),
        "machine" => Ok(machine(result)),
        "measure" => measure(result, rest),
        "measures" => measures(result, rest),
        "matrix" => matrix(result, rest),
        "table" => table(result, rest),
        pointer if pointer.starts_with('/') => number(result, pointer, rest),
        _ => Err("not a thing that a result has".to_owned()),
    }
}

fn text<'a>(result: &'a Value, pointer: &str) -> &'a str {
    result.pointer(pointer).and_then(Value::as_str).unwrap_or("unknown")
}

fn source(result: &Value) -> String {
    // `spore bench` has another document (docs/BENCH.md) than `spore load` and cargo's benches.
    let load = result.get("tool").is_some();
    let tool = if load { "/tool" } else { "/spore" };
    let at = |field: &str| format!("{tool}/{field}");
    // Where the result went is of no interest, and of one machine only.
    let command = text(result, "/command").split(" --json").next().unwrap_or_default();
    let command = if load { command.to_owned() } else { format!("spore bench {command}") };
    let commit = result.pointer(&at("commit")).and_then(Value::as_str).unwrap_or("no commit");
    let optimised = result.pointer(&at("optimised")).and_then(Value::as_bool).unwrap_or(false);
    let build = if optimised { "" } else { "; **not optimised: worthless**" };
    let busy = result.pointer("/machine/load").and_then(Value::as_f64).unwrap_or(f64::NAN);
    let (version, date) = (text(result, &at("version")).to_owned(), text(result, "/date"));
    format!("(`{command}`, {date}, spore {version} {commit}, load {busy:.2}{build})")
}

fn machine(result: &Value) -> String {
    let cores = result.pointer("/machine/cores").and_then(Value::as_u64).unwrap_or(0);
    let of = |field: &str| text(result, &format!("/machine/{field}")).to_owned();
    format!("{cores} x {}, Linux {}, {}", of("cpu"), of("kernel"), of("kvm"))
}

fn all(result: &Value) -> impl Iterator<Item = &Value> {
    result["measures"].as_array().into_iter().flatten()
}

fn measure(result: &Value, name: &str) -> Result<String, String> {
    let found = all(result).find(|measure| measure["name"] == name).ok_or("no measure has this name")?;
    let (mean, low, high) = figures(found).ok_or("it has no values")?;
    let several = if low == high { String::new() } else { format!(" ({low} to {high})") };
    Ok(format!("{mean} {}{several}", text(found, "/unit")))
}

/// The mean, the least and the greatest of the repetitions.
fn figures(measure: &Value) -> Option<(String, String, String)> {
    let values: Vec<f64> = measure["values"].as_array()?.iter().filter_map(Value::as_f64).collect();
    let least = values.iter().copied().reduce(f64::min)?;
    let greatest = values.iter().copied().reduce(f64::max)?;
    Some((short(values.iter().sum::<f64>() / values.len() as f64), short(least), short(greatest)))
}

fn measures(result: &Value, part: &str) -> Result<String, String> {
    let found: Vec<&Value> = all(result).filter(|measure| text(measure, "/name").contains(part)).collect();
    if found.is_empty() {
        return Err("no measure has this in its name".to_owned());
    }
    let mut table =
        "| measure | mean | least to greatest of the repetitions | unit |\n|---|---|---|---|\n".to_owned();
    for measure in found {
        let (mean, low, high) = figures(measure).ok_or("a measure has no values")?;
        let (name, unit) = (text(measure, "/name"), text(measure, "/unit"));
        table.push_str(&format!("| {name} | {mean} | {low} to {high} | {unit} |\n"));
    }
    Ok(table)
}

/// Mean, and least to greatest of the repetitions if there are several.
fn cell(measure: &Value) -> Option<String> {
    let (mean, low, high) = figures(measure)?;
    let several = measure["values"].as_array().is_some_and(|values| values.len() > 1) && low != high;
    Some(if several { format!("{mean} ({low} to {high})") } else { mean })
}

fn matrix(result: &Value, ends: &str) -> Result<String, String> {
    let ends: Vec<&str> = ends.split(", ").collect();
    let (mut units, mut rows) = (vec![""; ends.len()], Vec::<(&str, Vec<String>)>::new());
    for measure in all(result) {
        let name = text(measure, "/name");
        let column =
            ends.iter().position(|end| name.strip_suffix(end).is_some_and(|rest| rest.ends_with(' ')));
        let (Some(column), Some(cell)) = (column, cell(measure)) else { continue };
        units[column] = text(measure, "/unit");
        let system = name[..name.len() - ends[column].len()].trim_end();
        let row = match rows.iter().position(|(other, _)| *other == system) {
            Some(row) => row,
            None => {
                rows.push((system, vec![String::new(); ends.len()]));
                rows.len() - 1
            }
        };
        rows[row].1[column] = cell;
    }
    if let Some(missing) = units.iter().position(|unit| unit.is_empty()) {
        return Err(format!("no measure's name ends with `{}`", ends[missing]));
    }
    let heads = ends.iter().zip(&units).map(|(end, unit)| format!(" {end}, {unit} |")).collect::<String>();
    let mut lines = vec![format!("| |{heads}"), format!("|---|{}", "---|".repeat(ends.len()))];
    lines.extend(rows.iter().map(|(system, cells)| format!("| {system} | {} |", cells.join(" | "))));
    Ok(lines.join("\n") + "\n")
}

fn table(result: &Value, title: &str) -> Result<String, String> {
    let mut tables = result["tables"].as_array().into_iter().flatten();
    let found =
        tables.find(|table| text(table, "/title").starts_with(title)).ok_or("no table has this title")?;
    let cells = |row: &Value| {
        let cells = row.as_array().into_iter().flatten().map(|cell| cell.as_str().unwrap_or_default());
        cells.map(|cell| format!(" {} |", cell.replace('|', "\\|"))).collect::<String>()
    };
    let columns = found["columns"].as_array().map_or(0, Vec::len);
    let mut lines = vec![format!("|{}", cells(&found["columns"])), format!("|{}", "---|".repeat(columns))];
    lines.extend(found["rows"].as_array().into_iter().flatten().map(|row| format!("|{}", cells(row))));
    Ok(lines.join("\n") + "\n")
}

fn number(result: &Value, pointer: &str, unit: &str) -> Result<String, String> {
    let found = result.pointer(&format!("/result{pointer}")).and_then(Value::as_f64);
    let found = found.ok_or("there is no number at this place")?;
    Ok(match unit {
        "us" => format!("{} us", short(found / 1e3)),
        "ms" => format!("{} ms", short(found / 1e6)),
        "KiB" => format!("{} KiB", short(found / 1024.0)),
        "MiB" => format!("{} MiB", short(found / f64::from(1 << 20))),
        "count" => format!("{found:.0}"),
        "ratio" => short(found),
        _ => return Err(format!("`{unit}` is not a unit")),
    })
}

/// Three digits or so.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_of_a_bench_have_units() {
        let result = json!({
            "command": "fork", "date": "today", "spore": { "version": "1", "commit": "abc", "optimised": false },
            "machine": { "load": 1.0, "cores": 2, "cpu": "a", "kernel": "b", "kvm": "c" },
            "result": { "list": [{ "p50_ns": 123_456, "bytes": 2_097_152 }] },
        });
        assert_eq!(value(&result, "/list/0/p50_ns us").unwrap(), "123 us");
        assert_eq!(value(&result, "/list/0/bytes MiB").unwrap(), "2.00 MiB");
        assert_eq!(value(&result, "machine").unwrap(), "2 x a, Linux b, c");
        let source = value(&result, "source").unwrap();
        assert!(source.contains("`spore bench fork`") && source.contains("worthless"), "{source}");
        for wrong in ["/list/1/p50_ns us", "/list/0/p50_ns parsec", "median", "measure x", "measures x"] {
            assert!(value(&result, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tables_of_the_result_are_taken_as_they_are() {
        let result =
            json!({ "tables": [{ "title": "Steps (x)", "columns": ["a", "b"], "rows": [["1", "p|q"]] }] });
        assert_eq!(value(&result, "table Steps").unwrap(), "| a | b |\n|---|---|\n| 1 | p\\|q |\n");
        assert!(value(&result, "table Stops").is_err());
    }

    #[test]
    fn measures_of_systems_become_a_matrix() {
        let measure = |name: &str, values: &[f64]| json!({ "name": name, "unit": "ms", "values": values });
        let result = json!({ "measures": [
            measure("a p50", &[1.0, 3.0]), measure("b p50", &[1.0]), measure("a mean run", &[5.0]), measure("a xp50", &[1.0]),
        ] });
        assert_eq!(
            value(&result, "matrix p50, mean run").unwrap(),
            "| | p50, ms | mean run, ms |\n|---|---|---|\n| a | 2.00 (1.00 to 3.00) | 5.00 |\n| b | 1.00 |  |\n"
        );
        assert!(value(&result, "matrix p50, p99").unwrap_err().contains("`p99`"));
    }

    #[test]
    fn measures_become_a_table() {
        let result = json!({ "measures": [{ "name": "a p50", "unit": "ms", "values": [1.0, 2.0] }, { "name": "b", "unit": "ms", "values": [1.0] }] });
        let table = value(&result, "measures p50").unwrap();
        assert_eq!(table.lines().count(), 3);
        assert!(table.ends_with("| a p50 | 1.50 | 1.00 to 2.00 | ms |\n"));
    }
}
