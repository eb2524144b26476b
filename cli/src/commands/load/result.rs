//! A document out of runs; where it is shown and kept.

use super::save::Sink;
use crate::commands::version::{COMMIT, VERSION};
use crate::failure::{Exit, Failure};
use crate::output::{Column, left, right, table};
use crate::print;
use loadtest::report::{Better, Document, Machine, Measure, RunReport, SCHEMA, Table, Tool, plots, tables};
use loadtest::tally::histogram;
use std::collections::BTreeMap;

/// What a document says before anything is measured.
pub(super) struct Heading {
    /// Name of the experiment.
    pub(super) experiment: &'static str,
    /// What it asks.
    pub(super) question: String,
    /// Options as they were used.
    pub(super) settings: BTreeMap<String, String>,
}

/// A document with the runs, their usual tables and measures, and notes.
pub(super) fn document(heading: Heading, runs: Vec<RunReport>) -> Document {
    Document {
        schema: SCHEMA,
        experiment: heading.experiment.to_owned(),
        question: heading.question,
        command: command(),
        date: loadtest::report::now(),
        tool: Tool {
            version: VERSION.to_owned(),
            commit: COMMIT.map(str::to_owned),
            optimised: !cfg!(debug_assertions),
        },
        machine: Machine::here(),
        settings: heading.settings,
        measures: measures(&runs),
        tables: vec![tables::latencies("Response time", &runs), outcomes(&runs)],
        plots: plots::of_runs(&runs),
        notes: notes(&runs),
        runs,
    }
}

/// The command line, so that a shell understands it.
fn command() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let words = std::env::args_os().skip(1).map(|word| {
        let word = word.to_string_lossy().into_owned();
        let quoted = format!("'{}'", word.replace('\'', "'\\''"));
        if !word.is_empty() && word.chars().all(plain) { word } else { quoted }
    });
    std::iter::once("spore".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Systems in the order they first ran.
fn systems(runs: &[RunReport]) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for run in runs {
        if !found.contains(&run.system.as_str()) {
            found.push(&run.system);
        }
    }
    found
}

/// Median and tail of each system, and what it answered, once for each repetition. One without answers has no response times: 0
/// would be the best there can be.
pub(super) fn measures(runs: &[RunReport]) -> Vec<Measure> {
    let mut found = Vec::new();
    for system in systems(runs) {
        let mine: Vec<&RunReport> = runs.iter().filter(|run| run.system == system && run.complete).collect();
        let mut add = |name: &str, unit: &str, better, value: &dyn Fn(&RunReport) -> Option<f64>| {
            found.push(Measure {
                name: format!("{system} {name}"),
                unit: unit.to_owned(),
                better,
                values: mine.iter().filter_map(|run| value(run)).collect(),
            });
        };
        let quantile = |at: f64| {
            move |run: &RunReport| {
                let mut all = histogram();
                run.latencies.iter().for_each(|of| all += &of.response.0);
                (!all.is_empty()).then(|| all.value_at_quantile(at) as f64 / 1e6)
            }
        };
        add("p50", "ms", Better::Lower, &quantile(0.5));
        add("p99", "ms", Better::Lower, &quantile(0.99));
        if !mine.iter().all(|run| run.has_rates()) {
            continue;
        }
        add("answers", "1/s", Better::Higher, &|run| Some(run.goodput()));
        add("failures", "1/s", Better::Lower, &|run| {
            let failed: u64 = run.failed.iter().map(|of| of.count).sum();
            Some((failed + run.dropped) as f64 / run.seconds.max(1e-9))
        });
    }
    found
}

/// One row for each run: what it offered, what came of it.
pub(super) fn outcomes(runs: &[RunReport]) -> Table {
    let rows = runs.iter().map(|run| {
        let rate = |value: f64| if run.has_rates() { format!("{value:.1}") } else { "-".to_owned() };
        let cpu_seconds = run.seconds * run.generator.threads.max(1) as f64;
        let cpu = || format!("{:.0}", 100.0 * run.generator.cpu_seconds / cpu_seconds);
        let failed: u64 = run.failed.iter().map(|of| of.count).sum();
        vec![
            run.system.clone(),
            (run.repetition + 1).to_string(),
            format!("{:.2}", run.seconds),
            run.offered_rate.map_or_else(|| "-".to_owned(), rate),
            rate(run.goodput()),
            failed.to_string(),
            run.dropped.to_string(),
            run.late.to_string(),
            if run.has_rates() { cpu() } else { "-".to_owned() },
        ]
    });
    let columns = [
        "target",
        "run",
        "seconds",
        "offered/s",
        "answers/s",
        "failed",
        "dropped",
        "late",
        "generator CPU %",
    ];
    Table { title: "Runs".to_owned(), columns: columns.map(str::to_owned).to_vec(), rows: rows.collect() }
}

/// What a reader must know.
pub(super) fn notes(runs: &[RunReport]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: String| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    if cfg!(debug_assertions) {
        note("this is a debug build; its times mean nothing".to_owned());
    }
    for run in runs {
        let name = format!("{}, run {}", run.system, run.repetition + 1);
        if !run.complete {
            note(format!("{name} was stopped before its end, or failed in part"));
        }
        if let Some(reason) = &run.generator.limited {
            note(format!("{name}: the load generator was the limit, not the target: {reason}"));
        }
        if run.unfinished > 0 {
            note(format!("{name}: {} requests were under way or waiting when it ended", run.unfinished));
        }
        for failed in &run.failed {
            note(format!("{name}: {} of {}: {}", failed.count, failed.call, failed.failure));
        }
    }
    notes
}

/// Shows the document, then keeps it; exit code 130 if somebody stopped it, 1 if nothing was answered.
pub(super) fn finish(document: &Document, sink: Sink, stopped: bool) -> Result<(), Failure> {
    // What JSON cannot hold would make a document that nobody can read.
    let document = &document.without_not_numbers();
    let shown = if sink.json_only() { print::json(document) } else { print::raw(text(document).as_bytes()) };
    // A terminal that went away costs no file.
    sink.write(document)?;
    shown?;
    if stopped {
        return Err(Failure::silent(Exit::Interrupted));
    }
    if !document.runs.is_empty() && document.runs.iter().all(|run| run.answered == 0) {
        return Err(Failure::new("no request was answered as expected").hint("see the failures above"));
    }
    Ok(())
}

/// A document as text.
fn text(document: &Document) -> String {
    let Machine { cpu, cores, kernel, kvm, load, .. } = &document.machine;
    let mut text = format!("{cores} x {cpu}, Linux {kernel}, {kvm}, load {load:.2}\n");
    for part in &document.tables {
        let numbers = |index: usize| {
            let number = |row: &Vec<String>| {
                row.get(index).is_none_or(|cell| cell == "-" || cell.parse::<f64>().is_ok())
            };
            part.rows.iter().all(number)
        };
        let column = |(index, title)| if numbers(index) { right(title) } else { left(title) };
        let titles: Vec<String> = part.columns.iter().map(|title| title.to_uppercase()).collect();
        let columns: Vec<Column<'_>> = titles.iter().map(String::as_str).enumerate().map(column).collect();
        text.push_str(&format!("\n{}\n", table(&columns, part.rows.iter().cloned())));
    }
    for note in &document.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    if !document.notes.is_empty() {
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::args::Output;
    use loadtest::report::{Generator, LatencyReport, Packed};
    use loadtest::tally::Start;

    /// A run of a second with so many answers, of a millisecond each.
    pub(in crate::commands::load) fn sample_run(repetition: u32, answered: u64) -> RunReport {
        let mut times = histogram();
        times.record_n(1_000_000, answered).unwrap();
        let call = LatencyReport {
            call: "a".to_owned(),
            start: Start::None,
            response: Packed(times.clone()),
            service: Packed(times),
        };
        RunReport {
            system: "s".to_owned(),
            repetition,
            seed: 0,
            complete: true,
            seconds: 1.0,
            offered_rate: None,
            answered,
            answered_in_time: answered,
            failed: Vec::new(),
            late: 0,
            dropped: 0,
            unfinished: 0,
            warm_up: 0,
            body_bytes: 0,
            latencies: if answered > 0 { vec![call] } else { Vec::new() },
            timeline: Vec::new(),
            generator: Generator::default(),
        }
    }

    fn heading() -> Heading {
        Heading { experiment: "run", question: "?".to_owned(), settings: BTreeMap::new() }
    }

    #[test]
    fn a_run_without_answers_has_no_response_times() {
        let values = |runs: &[RunReport]| -> Vec<(String, usize)> {
            measures(runs).into_iter().map(|one| (one.name, one.values.len())).collect()
        };
        let expected = |p50, others| {
            [("s p50", p50), ("s p99", p50), ("s answers", others), ("s failures", others)]
                .map(|(name, count)| (name.to_owned(), count))
        };
        assert_eq!(values(&[sample_run(0, 5), sample_run(1, 0), sample_run(2, 7)]), expected(2, 3));
        // Their names stay, so that a comparison misses the values.
        assert_eq!(values(&[sample_run(0, 0)]), expected(0, 1));
    }

    #[test]
    fn values_that_are_no_numbers_are_left_out_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.json");
        let mut document = document(heading(), vec![sample_run(0, 5), sample_run(1, 5)]);
        document.measures[0].values[1] = f64::NAN;
        let sink = Sink::open(Some(&path), None, Output::Table).unwrap();
        finish(&document, sink, false).unwrap();
        let read = Document::read(&path).unwrap();
        assert_eq!((read.measures[0].values.len(), read.measures[1].values.len()), (1, 2));
        assert!(read.notes.iter().any(|note| note.contains("s p50: a value that is not a number")));
    }
}
