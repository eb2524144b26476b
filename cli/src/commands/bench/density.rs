//! `spore bench density`.

use super::document::Sink;
use super::subjects::prepare;
use super::{Which, failed, micros};
use crate::failure::Failure;
use crate::output::{left, right, table};
use crate::print;
use crate::units::bytes;
use clap::{Args, value_parser};
use serde::Serialize;
use std::path::Path;
use worker::bench::{DensityOptions, DensityReport};

/// Options of `spore bench density`.
#[derive(Debug, Args)]
pub(crate) struct DensityArgs {
    /// What to fork
    #[arg(long, value_enum, default_value_t = Which::Python)]
    function: Which,
    /// Live children
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    count: u32,
    /// Most children of one process [default: as many as its descriptors allow, up to 128]
    #[arg(long, value_parser = value_parser!(u32).range(1..=100_000), value_name = "N")]
    per_process: Option<u32>,
}

#[derive(Serialize)]
struct Report {
    functions: Vec<DensityReport>,
}

/// How many children are made between two lines of progress.
const PROGRESS: usize = 1000;

pub(super) fn run(args: &DensityArgs, kvm: &Path, sink: Sink) -> Result<(), Failure> {
    let options = DensityOptions {
        count: args.count as usize,
        per_process: args.per_process.map(|count| count as usize),
        // The program that runs now, even if its file is replaced meanwhile.
        helper: vec!["/proc/self/exe".into(), "bench-children".into()],
        kvm: kvm.to_owned(),
    };
    let progress = |children: usize| {
        if children.is_multiple_of(PROGRESS) {
            print::note(&format!("{children} children"));
        }
    };
    let mut functions = Vec::new();
    for function in prepare(args.function, kvm)? {
        let report = worker::bench::density(&function, &options, &progress).map_err(failed)?;
        if let Some(why) = &report.stopped {
            print::note(&format!("stopped at {} children: {why}", report.children));
        }
        functions.push(report);
    }
    let report = Report { functions };
    sink.put("density", &report, || report.functions.iter().map(render).collect::<Vec<_>>().join("\n\n"))
}

fn render(report: &DensityReport) -> String {
    let signed = |count: i64| {
        let size = bytes(count.unsigned_abs());
        if count < 0 { format!("-{size}") } else { size }
    };
    let mut rows = vec![
        ("live children".to_owned(), format!("{} of {}", report.children, report.asked)),
        ("processes, threads, descriptors".to_owned(), {
            format!("{}, {}, {}", report.processes, report.threads, report.open_files)
        }),
        ("parent, once".to_owned(), bytes(report.parent_bytes)),
        ("private memory of a child".to_owned(), bytes(report.child.private_bytes)),
        ("its part of shared memory (PSS)".to_owned(), bytes(report.child.shared_pss_bytes)),
        ("shared memory it has mapped".to_owned(), bytes(report.child.shared_mapped_bytes)),
        ("kernel memory by child".to_owned(), signed(report.host.kernel_by_child_bytes)),
        ("everything, by child (MemAvailable)".to_owned(), signed(report.host.available_by_child_bytes)),
        ("VM and answer, p50 / p99 / max us".to_owned(), {
            let time = &report.time;
            [time.p50_ns, time.p99_ns, time.max_ns].map(micros).join(" / ")
        }),
    ];
    for (tenth, p50) in report.deciles_p50_ns.iter().enumerate() {
        rows.push((format!("p50 us, tenth {}", tenth + 1), micros(*p50)));
    }
    rows.push(("last 100 against first 100".to_owned(), format!("{:.2}", report.last_against_first)));
    let columns = [left("WHAT"), right("")];
    let rows = rows.into_iter().map(|(what, value)| vec![what, value]);
    let stopped = report.stopped.as_ref().map(|why| format!("\nstopped: {why}")).unwrap_or_default();
    format!("{}\n{}{stopped}", report.function, table(&columns, rows))
}
