//! `burst`: from nothing to N requests at the same moment, and the time to the k-th answer.

use super::knee::Function;
use super::platform::Platform;
use super::session::{REST, Session};
use crate::failure::Failure;
use clap::Args;
use loadtest::arrivals::Arrivals;
use loadtest::call::Mix;
use loadtest::engine::{Load, Plan};
use loadtest::experiment::functions::{held, hello};
use loadtest::experiment::measures::{Measures, failures, millis, response};
use loadtest::report::{Better, RunReport, plots};
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
    session.plots.push(plots::kth_answers("Time to the k-th answer", &session.runs));
    session.plots.push(plots::cdf("Response time", &session.runs));
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
            warm(session, &platform, &path)?;
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
            session.keep(&platform, run, |measures, run| note(measures, run, size))?;
            platform.remove(&name)?;
            std::thread::sleep(REST);
        }
    }
    Ok(())
}

/// One call, from which the platform learns what a request touches.
fn warm(session: &Session, platform: &Platform, path: &str) -> Result<(), Failure> {
    let called = session.try_call(&platform.target, hello(path, "first")).map_err(|failure| {
        let text = format!("the first call of a new function failed: {}", failure.message);
        Failure { message: text, ..failure }
    });
    platform.blamed(called)
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
