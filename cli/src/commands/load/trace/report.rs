//! The document of a trace: tables, plots, measures.

use super::super::result::{self, Heading};
use super::options::{TraceArgs, Work};
use super::replayed::Replayed;
use super::{answers, cost};
use crate::failure::Failure;
use loadtest::report::tables::number;
use loadtest::report::{Better, Document, Measure, PlotKind, RunReport, Scale, Series, Table};
use loadtest::report::{Plot, plots};
use loadtest::trace::analysis::{distribution, quantile};
use loadtest::trace::sizing::Sizing;
use loadtest::trace::{Gaps, ReplayOptions, Trace};
use std::collections::BTreeMap;

/// Points of a distribution.
const POINTS: usize = 400;

/// What the report is about.
pub(super) struct Subject<'a> {
    pub(super) args: &'a TraceArgs,
    pub(super) trace: &'a Trace,
    pub(super) gaps: Gaps,
    pub(super) options: &'a ReplayOptions,
}

/// Makes the document, of a replay or of the computation alone.
pub(super) fn document(
    of: &Subject<'_>,
    sizing: &Sizing,
    replayed: Option<&Replayed>,
) -> Result<Document, Failure> {
    let runs: Vec<RunReport> = replayed.iter().map(|of| RunReport::new("trace", 0, &of.outcome)).collect();
    let heading = Heading {
        experiment: "trace",
        question: "How many machines does this tenant need, and how are its calls answered?".to_owned(),
        settings: settings(of),
    };
    let mut document = result::document(heading, runs);
    // They come last.
    let mut usual = std::mem::take(&mut document.plots);
    if replayed.is_none() {
        document.tables.clear();
        document.measures.clear();
    }
    let measured = replayed.map(Replayed::measured).unwrap_or_default();
    let assumed = of.args.machine.assumptions(measured)?;
    let mut tables = vec![tenant(of, sizing), cost::machines(sizing, assumed, measured)];
    if let Some(replayed) = replayed {
        tables.extend([
            answers::starts(replayed),
            answers::functions(replayed),
            cost::cost(of.args, replayed),
        ]);
        document.measures.extend(measures(replayed));
        document.plots.extend(of_replay(replayed));
        notes(&mut document.notes, of.args, replayed);
    }
    tables.append(&mut document.tables);
    document.tables = tables;
    document.plots.push(load(sizing));
    document.plots.append(&mut usual);
    if replayed.is_none_or(|of| of.outcome.complete) {
        document.measures.push(measure("machines", "machines", Better::Lower, sizing.machines as f64));
    }
    gaps(&mut document.notes, of);
    Ok(document)
}

fn settings(of: &Subject<'_>) -> BTreeMap<String, String> {
    let (args, options) = (of.args, of.options);
    let ms = args.duration_cap.as_secs_f64() * 1e3;
    [
        ("functions", options.functions.to_string()),
        ("minutes", format!("{} to {}", options.minutes.start, options.minutes.end)),
        ("speed", number(args.speed())),
        ("rate scale", number(options.rate)),
        ("run scale", number(args.run_scale)),
        ("arrivals", format!("{:?} within a minute", options.within).to_lowercase()),
        ("seed", options.seed.to_string()),
        ("duration cap ms", number(ms)),
        ("memory cap MiB", args.memory_cap.to_string()),
        ("work", format!("{:?}", args.work).to_lowercase()),
        ("connections", args.connections.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

pub(super) fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    let columns = columns.iter().map(|&column| column.to_owned()).collect();
    Table { title: title.to_owned(), columns, rows }
}

pub(super) fn rows<const N: usize, const C: usize>(rows: [[String; C]; N]) -> Vec<Vec<String>> {
    rows.into_iter().map(Vec::from).collect()
}

/// The tenant, at the speed of the trace.
fn tenant(of: &Subject<'_>, sizing: &Sizing) -> Table {
    let called = of.trace.called(&of.options.minutes);
    let minutes = sizing.busy_s.len().max(1) as f64;
    let most = sizing.concurrency.iter().copied().max().unwrap_or(0);
    table(
        "The tenant, at the speed of the trace",
        &["what", "value"],
        rows([
            [
                "functions".into(),
                format!("{} of {called} that are called in this time", of.options.functions),
            ],
            ["minutes".into(), number(minutes)],
            ["calls".into(), sizing.calls.to_string()],
            ["calls a minute".into(), number(sizing.calls as f64 / minutes)],
            ["mean run time".into(), format!("{} s", number(sizing.run_s / (sizing.calls.max(1)) as f64))],
            ["calls under way, mean".into(), number(sizing.busy_s.iter().sum::<f64>() / 60.0 / minutes)],
            ["calls under way, most".into(), most.to_string()],
            ["memory-time product".into(), format!("{} GiB s", number(sizing.gib_s))],
        ]),
    )
}

fn measure(name: &str, unit: &str, better: Better, value: f64) -> Measure {
    Measure { name: name.to_owned(), unit: unit.to_owned(), better, values: vec![value] }
}

/// What the replay comes down to: nothing of one that was stopped, and nothing of answers if there are none.
fn measures(of: &Replayed) -> Vec<Measure> {
    let (analysis, answered) = (&of.analysis, of.analysis.answered());
    if !of.outcome.complete || answered == 0 {
        return Vec::new();
    }
    let slowdown = |(name, at): (&str, f64)| {
        quantile(&analysis.slowdowns, at).map(|value| measure(name, "times", Better::Lower, value))
    };
    let made: u64 = analysis.functions.iter().map(|function| function.made).sum();
    let part = made as f64 / answered as f64;
    let mut all: Vec<Measure> =
        [("slowdown p50", 0.5), ("slowdown p99", 0.99)].into_iter().filter_map(slowdown).collect();
    all.push(measure("VMs made anew", "% of answers", Better::Lower, part * 100.0));
    all
}

fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), points, intervals: Vec::new() }
}

/// Distributions over answers and over functions, as far as there are any.
fn of_replay(of: &Replayed) -> Vec<Plot> {
    let steps = |title: &str, label: &str, scale, rising: &[f64], who: &str| Plot {
        title: title.to_owned(),
        kind: PlotKind::Steps,
        x: plots::axis(label, scale),
        y: plots::axis(&format!("share of {who}"), Scale::Linear),
        series: vec![series(who, distribution(rising, POINTS))],
    };
    let (slowdowns, parts) = (&of.analysis.slowdowns, of.analysis.parts_made());
    let plots = [
        steps("Slowdown: response time over run time", "slowdown", Scale::Log, slowdowns, "answers"),
        steps(
            "Part of a function's answers whose VM was made for the request",
            "part made anew",
            Scale::Linear,
            &parts,
            "functions",
        ),
    ];
    plots.into_iter().filter(|plot| plot.series.iter().any(|series| !series.points.is_empty())).collect()
}

/// The trace itself, minute by minute.
fn load(sizing: &Sizing) -> Plot {
    let points = |values: Vec<f64>| {
        values.into_iter().enumerate().map(|(minute, value)| (minute as f64, value)).collect()
    };
    Plot {
        title: "Calls under way, at the speed of the trace".to_owned(),
        kind: PlotKind::Lines,
        x: plots::axis("minute", Scale::Linear),
        y: plots::axis("calls", Scale::Linear),
        series: vec![
            series("mean of the minute", points(sizing.busy_s.iter().map(|busy| busy / 60.0).collect())),
            series(
                "most in the minute",
                points(sizing.concurrency.iter().map(|&most| most as f64).collect()),
            ),
        ],
    }
}

fn notes(notes: &mut Vec<String>, args: &TraceArgs, of: &Replayed) {
    let (planned, total) = (&of.planned, &of.outcome.total);
    let functions = planned.memory_mib.len();
    let mut note = |when: bool, text: String| {
        if when {
            notes.push(text);
        }
    };
    let calls = planned.arrivals.len();
    note(
        planned.cut_calls > 0,
        format!("{} of {calls} calls were cut to the longest run time", planned.cut_calls),
    );
    note(
        planned.cut_functions > 0,
        format!("{} of {functions} functions were cut to the most memory", planned.cut_functions),
    );
    note(
        of.deployed < functions,
        format!("{functions} functions of the trace shared {} deployed ones", of.deployed),
    );
    note(total.dropped > 0, format!("{} calls were never sent: all connections were busy", total.dropped));
    note(total.late > 0, format!("{} calls were sent more than 1 ms late", total.late));
    let speeds = args.speed() != 1.0 || args.run_scale != 1.0;
    note(
        speeds,
        "what the tenant needs is computed at the speed of the trace, with its own run times".to_owned(),
    );
    if let Err(why) = &of.counted {
        note(
            true,
            format!("what the platform counted is unknown: it could not be asked after the replay: {why}"),
        );
    }
    note(
        of.parents.estimated > 0,
        format!(
            "{} calls waited for parents that came in more than one way: they are divided by how often which one was",
            of.parents.estimated
        ),
    );
    let unknown = of.measured().overhead_ms.is_none();
    note(
        unknown,
        "the processor time of a call beside its run time could not be measured: it is assumed".to_owned(),
    );
    let spins = args.work == Work::Spin;
    note(
        spins,
        "functions spin by the clock: when processors are short they take less than their run time"
            .to_owned(),
    );
    if let Some(most) = of.vms_max {
        note(
            args.connections as f64 > most,
            format!("the platform allows {most} VMs at once; calls beyond wait"),
        );
    }
}

/// What the trace did not say.
fn gaps(notes: &mut Vec<String>, of: &Subject<'_>) {
    let Gaps { run, run_ms, memory, memory_mb } = of.gaps;
    let all = of.trace.functions.len();
    if run > 0 {
        notes.push(format!(
            "{run} of {all} functions have no run times in the trace: {} ms assumed",
            number(run_ms)
        ));
    }
    if memory > 0 {
        notes.push(format!(
            "{memory} of {all} functions have no memory in the trace: {} MB assumed",
            number(memory_mb)
        ));
    }
}
