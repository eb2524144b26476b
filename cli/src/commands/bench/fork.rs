//! `spore bench fork`.

use super::document::Sink;
use super::subjects::prepare;
use super::{Which, failed, micros};
use crate::failure::Failure;
use crate::output::{left, right, table};
use crate::print;
use clap::{Args, value_parser};
use serde::Serialize;
use std::path::Path;
use worker::bench::{Counts, Figures, FunctionReport, KindReport};

/// Options of `spore bench fork`.
#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// What to fork
    #[arg(long, value_enum, default_value_t = Which::Both)]
    function: Which,
    /// Invocations measured of each kind
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    count: u32,
}

#[derive(Serialize)]
struct Report {
    functions: Vec<FunctionReport>,
}

pub(super) fn run(args: &ForkArgs, kvm: &Path, sink: Sink) -> Result<(), Failure> {
    let mut functions = Vec::new();
    for function in prepare(args.function, kvm)? {
        print::note(&format!("measuring {}", function.name()));
        functions.push(worker::bench::fork(&function, args.count as usize).map_err(failed)?);
    }
    let report = Report { functions };
    sink.put("fork", &report, || render(&report))
}

fn render(report: &Report) -> String {
    let kinds = || report.functions.iter().flat_map(|f| f.kinds.iter().map(move |kind| (f, kind)));
    let columns =
        [left("FUNCTION"), left("START"), left("STEP"), right("P50 us"), right("P99 us"), right("MAX us")];
    let times = table(&columns, kinds().flat_map(|(function, kind)| time_rows(&function.function, kind)));
    let columns = [
        left("FUNCTION"),
        left("START"),
        left("PER INVOCATION"),
        right("P50"),
        right("P99"),
        right("MAX"),
        right("MEAN"),
    ];
    let counts = table(&columns, kinds().flat_map(|(function, kind)| count_rows(&function.function, kind)));
    let warm_up = report.functions.first().map_or_else(String::new, |function| {
        let kinds = function.kinds.iter();
        let each =
            kinds.map(|kind| format!("{} of {} after {} of warm-up", kind.count, kind.kind, kind.warm_up));
        each.collect::<Vec<_>>().join(", ")
    });
    let unfit = report.functions.iter().flat_map(|f| f.unfit.iter().map(move |unfit| (f, unfit)));
    let unfit: String = unfit
        .map(|(f, unfit)| format!("{} cannot be {}: {}.\n", f.function, unfit.kind, unfit.why))
        .collect();
    format!(
        "{times}\n\n{counts}\n\n{unfit}Measured: {warm_up}. `total` is what a request waits for; steps in parentheses come \
         after the answer."
    )
}

fn time_rows(function: &str, kind: &KindReport) -> Vec<Vec<String>> {
    let row = |step: String, time: &Figures| {
        let times = [time.p50_ns, time.p99_ns, time.max_ns].map(micros);
        [function.to_owned(), kind.kind.to_owned(), step].into_iter().chain(times).collect()
    };
    let steps = kind.steps.iter().map(|step| {
        let name = if step.on_path { step.step.to_owned() } else { format!("({})", step.step) };
        row(name, &step.time)
    });
    std::iter::once(row("total".to_owned(), &kind.total)).chain(steps).collect()
}

fn count_rows(function: &str, kind: &KindReport) -> Vec<Vec<String>> {
    let row = |what: &str, counts: Option<Counts>| {
        let cells = match counts {
            Some(counts) => [
                counts.p50.to_string(),
                counts.p99.to_string(),
                counts.max.to_string(),
                format!("{:.2}", counts.mean),
            ],
            None => ["unknown", "-", "-", "-"].map(str::to_owned),
        };
        [function, kind.kind, what].map(str::to_owned).into_iter().chain(cells).collect::<Vec<_>>()
    };
    let mut rows = vec![
        row("exits", kind.exits),
        row("page faults taken by KVM", kind.kvm_page_faults),
        row("page faults of the thread", Some(kind.host_page_faults)),
    ];
    if kind.pages_restored.is_some() {
        rows.push(row("pages restored", kind.pages_restored));
    }
    rows
}
