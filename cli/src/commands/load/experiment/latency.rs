//! `latency`: response times in an open loop, and of each kind of start what it is made up of.

use super::platform::{Kind, Platform};
use super::session::{REST, Session};
use crate::failure::Failure;
use crate::print;
use clap::Args;
use loadtest::call::Mix;
use loadtest::experiment::functions::hello;
use loadtest::experiment::measures::response;
use loadtest::experiment::staged::{PARTS, Staged};
use loadtest::experiment::staging::Stage;
use loadtest::report::{Better, plots};
use loadtest::tally::Start;

/// Options of `spore load experiment latency`.
#[derive(Debug, Args)]
pub(super) struct LatencyArgs {
    /// Requests a second of the open loop [default: 50]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Calls of each kind of start in a repetition; a quarter as many of cold ones, which are long waited for [default: 20]
    #[arg(long, value_name = "N")]
    calls: Option<usize>,
}

/// Kinds of start that are arranged on a platform that keeps its functions in memory.
const WARM: [Start; 4] = [Start::Recycled, Start::Remapped, Start::New, Start::Spare];

pub(super) fn run(args: &LatencyArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin(
        "latency",
        "How long does an answer take, by how its VM came to be, and what is it made up of?",
    );
    let rate = args.rate.unwrap_or_else(|| session.common.pick(20.0, 50.0));
    let calls = args.calls.unwrap_or_else(|| session.common.pick(3, 20));
    let repetitions = session.common.repetitions(super::REPETITIONS);
    session.set("rate", rate);
    session.set("calls of each start", calls);
    session.set("cold calls", if session.is_remote() { 0 } else { cold_calls(calls) });
    session.set("repetitions", repetitions);
    session.set("duration", format!("{:?}", session.common.duration()));
    session.set("warm-up", format!("{:?}", session.common.warm_up()));
    let mut staged = Staged::default();
    let done = all_starts(session, rate, (calls, repetitions), &mut staged);
    finish(session, staged);
    done
}

fn all_starts(
    session: &mut Session,
    rate: f64,
    (calls, repetitions): (usize, u32),
    staged: &mut Staged,
) -> Result<(), Failure> {
    open_loop(session, rate, (calls, repetitions), staged)?;
    if session.is_remote() {
        session.notes.push("cold starts are left out: a platform at a URL evicts when it likes".to_owned());
        Ok(())
    } else {
        cold(session, (calls, repetitions), staged)
    }
}

fn open_loop(
    session: &mut Session,
    rate: f64,
    (calls, repetitions): (usize, u32),
    staged: &mut Staged,
) -> Result<(), Failure> {
    let platform = session.platform(&[])?;
    let paths = deploy_all(&platform)?;
    for repetition in 0..repetitions {
        let (order, seed) = session.order(paths.len(), repetition);
        for index in order {
            if session.stopped() {
                return Ok(());
            }
            let (kind, path) = &paths[index];
            let plan = session.open(&platform.target, Mix::of(hello(path, kind.name())), rate, seed);
            let run = session.measure(kind.name(), repetition, plan)?;
            session.keep(&platform, run, |measures, run| {
                measures.latencies(&format!("{} open loop", kind.name()), &response(run, None));
            })?;
            std::thread::sleep(REST);
            if !arrange(session, &platform, *kind, &WARM, (calls, repetition), staged)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How many cold calls there are in a repetition for so many of the other kinds.
fn cold_calls(calls: usize) -> usize {
    calls.div_ceil(4)
}

fn cold(session: &Session, (calls, repetitions): (usize, u32), staged: &mut Staged) -> Result<(), Failure> {
    let platform = session.own_platform(&["--evict-after", "1"])?;
    let paths = deploy_all(&platform)?;
    for repetition in 0..repetitions {
        for _ in 0..cold_calls(calls) {
            // All functions leave memory at the same time, and are waited for once.
            let (order, _) = session.order(paths.len(), repetition);
            for index in order {
                let whole =
                    arrange(session, &platform, paths[index].0, &[Start::Cold], (1, repetition), staged);
                if !matches!(whole, Ok(true)) {
                    // The others were to have more calls in this repetition, too.
                    staged.interrupt(repetition, |_, start| start == Start::Cold);
                    return whole.map(drop);
                }
            }
        }
    }
    Ok(())
}

fn deploy_all(platform: &Platform) -> Result<Vec<(Kind, String)>, Failure> {
    let deploy = |kind: Kind| Ok((kind, platform.deploy(kind, &name(kind), None)?));
    Kind::ALL.into_iter().map(deploy).collect()
}

fn name(kind: Kind) -> String {
    format!("experiment-{}", kind.name())
}

/// Calls of some kinds of start, one after the other. The Rust example can do nothing but greet, so only what needs no help
/// of the function is arranged for it. False if somebody stopped it.
fn arrange(
    session: &Session,
    platform: &Platform,
    kind: Kind,
    starts: &[Start],
    (calls, repetition): (usize, u32),
    staged: &mut Staged,
) -> Result<bool, Failure> {
    let function = name(kind);
    let stage = Stage::new(&platform.target, &function, session.stop());
    for &start in
        starts.iter().filter(|start| kind != Kind::Rust || matches!(start, Start::Recycled | Start::Cold))
    {
        if session.stopped() {
            return Ok(false);
        }
        let called = stage.calls(start, calls);
        let missing = called.answers.len() < calls;
        // A platform that does not speak of the function any more is gone, and so is the rest of the repetition.
        let there = if missing { platform.detail(&function).map(drop) } else { Ok(()) };
        let interrupted = missing && (there.is_err() || session.stopped());
        // What was not even tried is not missing.
        let wanted = if interrupted { called.answers.len() } else { calls };
        staged.add(kind.name(), start, repetition, &called, wanted);
        print::note(&format!("{} {} {}", kind.name(), start.name(), repetition + 1));
        if interrupted {
            staged.interrupt(repetition, |system, found| system == kind.name() && found == start);
            return there.map(|()| false);
        }
    }
    Ok(true)
}

fn finish(session: &mut Session, staged: Staged) {
    session.plots.extend(plots::of_runs(&session.runs));
    let arranged = staged.runs(session.common.seed);
    for run in arranged.iter().filter(|run| run.complete) {
        let start = run.latencies.first().map_or(Start::None, |one| one.start);
        session.measures.latencies(&run.system, &response(run, Some(start)));
    }
    for (name, parts) in staged.parts() {
        for (part, value) in PARTS.iter().zip(parts) {
            session.measures.add(&format!("{name} mean {part}"), "ms", Better::Lower, value);
        }
    }
    session.plots.push(plots::cdf("Response time by start", &arranged));
    session.plots.push(plots::breakdown("What an answer is made up of", "mean (ms)", &staged.bars()));
    session.notes.extend(staged.notes());
    session.notes.push(
        "starts were arranged one call at a time, so nothing else ran; Rust's example cannot hold or end its VM, so only \
         recycled and cold ones are of it; `outside` is what the client saw beyond the platform's `total`"
            .to_owned(),
    );
    session.runs.extend(arranged);
}
