//! `spore bench baseline`.

use super::document::Sink;
use super::{failed, micros, subjects};
use crate::failure::Failure;
use crate::output::{left, right, table};
use crate::print;
use clap::{Args, value_parser};
use std::path::Path;
use worker::bench::{BaselineReport, Contender};

/// Options of `spore bench baseline`.
#[derive(Debug, Args)]
pub(crate) struct BaselineArgs {
    /// Rounds; each runs everything
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    count: u32,
}

pub(super) fn run(args: &BaselineArgs, kvm: &Path, sink: Sink) -> Result<(), Failure> {
    let (native, python) = (subjects::native(kvm)?, subjects::python(kvm)?);
    print::note("measuring");
    let source = subjects::python_source();
    let report = worker::bench::baseline(&native, &python, &source, args.count as usize).map_err(failed)?;
    sink.put("baseline", &report, || render(&report))
}

fn render(report: &BaselineReport) -> String {
    let columns =
        [left("WHAT"), right("N"), right("P50 us"), right("P99 us"), right("MAX us"), right("RATIO")];
    let row = |contender: &Contender| {
        let time = &contender.time;
        let times = [time.p50_ns, time.p99_ns, time.max_ns].map(micros);
        let ratio = format!("{:.2}", contender.ratio);
        [contender.what.clone(), time.n.to_string()].into_iter().chain(times).chain([ratio]).collect()
    };
    let mut text = table(&columns, report.contenders.iter().map(row));
    text.push_str(&format!(
        "\n\n{} rounds, everything in turn, after {} of warm-up. RATIO: median against `{}`.",
        report.rounds, report.warm_up, report.reference
    ));
    for line in &report.left_out {
        text.push_str(&format!("\nleft out: {line}"));
    }
    text
}
