//! Documents for tests.

use super::plots::{self, Breakdown};
use super::tables;
use super::{
    Better, Document, FailureCount, Generator, LatencyReport, Machine, Measure, Packed, Plot, PlotKind,
    RunReport, SCHEMA, Scale, Second, Series, Tool,
};
use crate::failure::Failure;
use crate::tally::{Start, histogram};
use hdrhistogram::Histogram;

/// A run with so many answers of each start. Cold starts take longer.
pub(crate) fn run(system: &str, repetition: u32, starts: &[(Start, u64)]) -> RunReport {
    let latencies: Vec<LatencyReport> = starts
        .iter()
        .map(|&(start, count)| LatencyReport {
            call: "hello".to_owned(),
            start,
            response: Packed(spread(count, base_ns(start) + u64::from(repetition) * 1000)),
            service: Packed(spread(count, base_ns(start) / 2)),
        })
        .collect();
    RunReport {
        system: system.to_owned(),
        repetition,
        seed: u64::from(repetition) + 1,
        complete: true,
        seconds: 10.0,
        offered_rate: None,
        answered: starts.iter().map(|(_, count)| count).sum(),
        answered_in_time: starts.iter().map(|(_, count)| count).sum(),
        failed: vec![FailureCount { call: "hello".to_owned(), failure: Failure::Timeout, count: 3 }],
        late: 2,
        dropped: 1,
        unfinished: 4,
        warm_up: 20,
        body_bytes: 12_345,
        latencies,
        timeline: timeline(12),
        generator: Generator { threads: 2, cpu_seconds: 0.25, limited: None },
    }
}

fn base_ns(start: Start) -> u64 {
    match start {
        Start::None | Start::Recycled => 150_000,
        Start::Spare => 400_000,
        Start::Remapped | Start::Other => 700_000,
        Start::New => 2_000_000,
        Start::Cold => 40_000_000,
    }
}

/// Values with a long tail, the same every time.
fn spread(count: u64, base_ns: u64) -> Histogram<u64> {
    let mut sum = histogram();
    for at in 0..count {
        let tail = count / (count - at);
        sum.record(base_ns + base_ns * at / count + base_ns * tail / 10).unwrap();
    }
    sum
}

/// Seconds of a run.
pub(crate) fn timeline(seconds: u64) -> Vec<Second> {
    let one = |second| Second {
        second,
        answered: 900 + (second * 37) % 90,
        failed: u64::from(second % 5 == 3),
        dropped: 0,
        p50_us: 160.0 + ((second * 7) % 13) as f64,
        p99_us: 900.0 + ((second * 31) % 400) as f64,
        max_us: 9_000.0 + ((second * 911) % 30_000) as f64,
    };
    (0..seconds).map(one).collect()
}

/// A document with something in every part.
pub(crate) fn document() -> Document {
    let starts = [(Start::Recycled, 9000), (Start::Spare, 700), (Start::New, 90), (Start::Cold, 12)];
    let runs: Vec<RunReport> = (0..5).map(|repetition| run("python-hello", repetition, &starts)).collect();
    let measure = |name: &str, unit: &str, better, values: [f64; 5]| Measure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        better,
        values: values.to_vec(),
    };
    Document {
        schema: SCHEMA,
        experiment: "latency".to_owned(),
        question: "How long does a call take, by how its VM came to be?".to_owned(),
        command: "spore load experiment latency --seed 1".to_owned(),
        date: "2026-01-02T03:04:05Z".to_owned(),
        tool: Tool { version: "0.1.0".to_owned(), commit: Some("0123abc".to_owned()), optimised: true },
        machine: Machine {
            cpu: "A processor".to_owned(),
            cores: 2,
            memory_bytes: 24 << 30,
            kernel: "6.1.0".to_owned(),
            kvm: "kvm_amd".to_owned(),
            mitigations: [("meltdown".to_owned(), "Not affected".to_owned())].into(),
            load: 0.25,
            ..Machine::default()
        },
        settings: [("rate".to_owned(), "1000/s".to_owned()), ("duration".to_owned(), "10s".to_owned())]
            .into(),
        measures: vec![
            measure("python-hello p50", "ms", Better::Lower, [0.21, 0.22, 0.2, 0.21, 0.23]),
            measure("python-hello p99", "ms", Better::Lower, [1.4, 1.5, 1.45, 1.6, 1.38]),
            measure("python-hello rate", "1/s", Better::Higher, [990.0, 991.0, 985.0, 1003.0, 999.0]),
        ],
        tables: tables::of_runs(&runs),
        plots: plots::of_runs(&runs),
        notes: vec!["3 requests of each run timed out".to_owned()],
        runs,
    }
}

/// A document with plots of every kind, and with numbers and shapes that nobody would expect.
pub(crate) fn hostile() -> Document {
    let mut document = document();
    document.plots.extend(plots::hockey_stick("Knee", &knee()));
    let bar = |name: &str, parts: [f64; 4]| Breakdown {
        name: name.to_owned(),
        parts: ["queue", "map memory", "run", "answer"].map(str::to_owned).into_iter().zip(parts).collect(),
    };
    let bars = [bar("recycled", [0.01, 0.011, 0.1, 0.02]), bar("cold", [0.02, 9.3, 0.5, 0.02])];
    document.plots.push(plots::breakdown("Where a start goes", "milliseconds", &bars));
    document.plots.push(plots::breakdown("No bars", "milliseconds", &[]));
    let live = |instances: u64| plots::DensityPoint {
        instances,
        p99_ms: 0.5 + (instances * instances) as f64 / 1e6,
        private_kib: 400.0,
        shared_kib: 90_000.0,
        pss_kib: 400.0 + 90_000.0 / instances as f64,
    };
    document.plots.extend(plots::density("Density", &[1, 10, 100, 300, 1000].map(live)));
    let odd = [(0.0, -1e300), (-5.0, 1e300), (1e-9, 3.0), (1e15, 3.000_001), (1e15 + 1.0, 0.0)];
    for (kind, scale) in
        [(PlotKind::Points, Scale::Log), (PlotKind::Lines, Scale::Linear), (PlotKind::Steps, Scale::Log)]
    {
        let intervals = odd.map(|(_, y)| (y - 1.0, y + 1.0)).to_vec();
        let one = Series { name: "one".to_owned(), points: odd.to_vec(), intervals };
        let many = (0..50).map(|at| Series {
            name: format!("n{at}"),
            points: vec![(f64::from(at), f64::from(at * at))],
            intervals: Vec::new(),
        });
        let series = std::iter::once(one).chain(many).collect();
        document.plots.push(Plot {
            title: "Odd".to_owned(),
            kind,
            x: plots::axis("x", scale),
            y: plots::axis("y", scale),
            series,
        });
    }
    document
}

/// Runs at rising loads, three of each.
fn knee() -> Vec<RunReport> {
    let rates = [(100, 1000), (200, 2000), (400, 4000), (800, 8000), (1200, 10_900), (1500, 10_100)];
    let at = |(rate, answered): (u32, u64), repetition: u32| {
        let mut run = run("python-hello", repetition, &[(Start::Recycled, 2000)]);
        run.offered_rate = Some(f64::from(rate));
        run.answered = answered - u64::from(repetition * rate) / 4;
        run.answered_in_time = run.answered;
        run
    };
    rates.into_iter().flat_map(|rate| (0..3).map(move |repetition| at(rate, repetition))).collect()
}

/// Gives everything in a document the same text.
pub(crate) fn rename(document: &mut Document, text: &str) {
    let Document { experiment, question, command, date, tool, machine, .. } = document;
    for field in [experiment, question, command, date, &mut tool.version, &mut machine.cpu, &mut machine.kvm]
    {
        *field = text.to_owned();
    }
    document.settings = [(text.to_owned(), text.to_owned())].into();
    document.notes.fill(text.to_owned());
    for (at, measure) in document.measures.iter_mut().enumerate() {
        measure.name = format!("{text}{at}");
        measure.unit = text.to_owned();
    }
    for table in &mut document.tables {
        table.title = text.to_owned();
        table
            .columns
            .iter_mut()
            .chain(table.rows.iter_mut().flatten())
            .for_each(|cell| *cell = text.to_owned());
    }
    for plot in &mut document.plots {
        let Plot { title, x, y, series, .. } = plot;
        for field in [title, &mut x.label, &mut y.label].into_iter().chain(&mut x.categories) {
            *field = text.to_owned();
        }
        series.iter_mut().for_each(|one| one.name = text.to_owned());
    }
    for run in &mut document.runs {
        run.system = text.to_owned();
        run.latencies.iter_mut().for_each(|one| one.call = text.to_owned());
    }
}

/// Whether two documents are the same: up to the last digit of a number, which reading JSON may change.
pub(crate) fn same(one: &Document, other: &Document) -> bool {
    format!("{one:.9?}") == format!("{other:.9?}")
}
