//! `burst`: from nothing to N requests at the same moment, and the time to the k-th answer.

use super::knee::Function;
use super::session::{REST, Session};
use crate::failure::Failure;
use clap::Args;
use loadtest::arrivals::Arrivals;
use loadtest::call::Mix;
use loadtest::engine::{Load, Plan};
use loadtest::experiment::functions::{held, hello};
use loadtest::experiment::measures::{Measures, failures, millis, response};
use loadtest::report::{Better, Plot, PlotKind, RunReport, Scale, Series, plots};
use std::time::Duration;

/// Options of `spore load experiment burst`.
#[derive(Debug, Args)]
pub(super) struct BurstArgs {
    /// Requests at once [default: 1,3,10,30,100,300,1000]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    sizes: Vec<u32>,
    /// The function
    #[arg(long, value_enum, default_value = "python")]
    function: Function,
    /// How long each request keeps its VM, in seconds, so that each needs one of its own; 0 for none. Rust's example keeps
    /// none
    #[arg(long, default_value_t = 0.2, value_name = "SECONDS")]
    hold: f64,
}

const SIZES: [u32; 7] = [1, 3, 10, 30, 100, 300, 1000];
/// Bursts that are smaller do not need another limit than the usual one.
const USUAL_CONCURRENCY: u32 = 128;

pub(super) fn run(args: &BurstArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin(
        "burst",
        "How soon are N requests answered that come at once, when the function has served one before?",
    );
    let sizes = match (&args.sizes[..], session.common.quick) {
        ([], true) => SIZES[..3].to_vec(),
        ([], false) => SIZES.to_vec(),
        (sizes, _) => sizes.to_vec(),
    };
    let repetitions = session.common.repetitions(super::REPETITIONS);
    session.set("repetitions", repetitions);
    session.set("sizes", format!("{sizes:?}"));
    session.set("hold, s", args.hold);
    let done = burst_all(args, session, &sizes, repetitions);
    session.plots.push(kth("Time to the k-th answer", &session.runs));
    done
}

fn burst_all(
    args: &BurstArgs,
    session: &mut Session,
    sizes: &[u32],
    repetitions: u32,
) -> Result<(), Failure> {
    let platform = session.platform(&[])?;
    let kind = args.function.kind();
    for repetition in 0..repetitions {
        let (order, seed) = session.order(sizes.len(), repetition);
        for index in order {
            if session.stopped() {
                return Ok(());
            }
            let size = sizes[index];
            // A function of its own for each burst: others have left VMs behind.
            let name = format!("experiment-burst-{size}-{repetition}");
            let path = platform.deploy(kind, &name, Some(size.max(USUAL_CONCURRENCY) as usize))?;
            warm(session, &platform.target, &path, seed)?;
            let call =
                if args.hold > 0.0 { held(&path, kind.name(), args.hold) } else { hello(&path, kind.name()) };
            let plan = Plan {
                load: Load::Open(Arrivals::Burst { size, every_s: 1e6 }),
                connections: size as usize,
                duration: Duration::from_millis(1),
                warm_up: Duration::ZERO,
                ..session.closed(&platform.target, Mix::of(call), 1, seed)
            };
            let run = session.measure(&format!("{} burst of {size}", kind.name()), repetition, plan)?;
            session.keep(run, |measures, run| note(measures, run, size));
            platform.remove(&name)?;
            std::thread::sleep(REST);
        }
    }
    Ok(())
}

/// One call, from which the platform learns what a request touches.
fn warm(session: &Session, target: &loadtest::target::Target, path: &str, seed: u64) -> Result<(), Failure> {
    let plan = Plan {
        load: Load::Open(Arrivals::Burst { size: 1, every_s: 1e6 }),
        duration: Duration::from_millis(1),
        warm_up: Duration::ZERO,
        ..session.closed(target, Mix::of(hello(path, "first")), 1, seed)
    };
    let run = session.measure("first call", 0, plan)?;
    if run.answered == 1 || session.stopped() {
        Ok(())
    } else {
        Err(Failure::new("the first call of a new function failed"))
    }
}

/// Time to the first answer, to half of them, to 99 % and to the last.
fn note(measures: &mut Measures, run: &RunReport, size: u32) {
    let times = response(run, None);
    for (what, quantile) in [("first", 0.0), ("half", 0.5), ("99 %", 0.99), ("last", 1.0)] {
        if !times.is_empty() {
            let value = millis(times.value_at_quantile(quantile));
            measures.add(&format!("burst of {size:04} {what}"), "ms", Better::Lower, value);
        }
    }
    let share = failures(run) as f64 / f64::from(size.max(1)) * 100.0;
    measures.add(&format!("burst of {size:04} failed"), "%", Better::Lower, share);
}

/// How many answers there are after a time, for each size.
fn kth(title: &str, runs: &[RunReport]) -> Plot {
    let first = runs.iter().filter(|run| run.repetition == 0);
    let series = first.map(|run| {
        let mut count = 0;
        let points = response(run, None)
            .iter_recorded()
            .map(|value| {
                count += value.count_at_value();
                (count as f64, millis(value.value_iterated_to()))
            })
            .collect();
        Series { name: run.system.clone(), points, intervals: Vec::new() }
    });
    Plot {
        title: title.to_owned(),
        kind: PlotKind::Lines,
        x: plots::axis("k-th answer", Scale::Log),
        y: plots::axis("time since the burst (ms)", Scale::Log),
        series: series.collect(),
    }
}
