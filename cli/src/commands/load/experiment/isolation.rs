//! `isolation`: every answer proves that it came from pristine state.

use super::platform::{Kind, Platform};
use super::session::{REST, Session};
use crate::failure::Failure;
use clap::Args;
use loadtest::call::{Call, Mix};
use loadtest::engine::Plan;
use loadtest::experiment::functions::{DIRTY, SECRET, exits, secret};
use loadtest::experiment::measures::{Measures, failures};
use loadtest::experiment::order::mixed;
use loadtest::experiment::proof::Proof;
use loadtest::report::{Better, RunReport, plots};
use loadtest::tally::Start;
use std::collections::BTreeMap;
use std::time::Duration;

/// Options of `spore load experiment isolation`.
#[derive(Debug, Args)]
pub(super) struct IsolationArgs {
    /// Connections that ask without a pause, in turn [default: 1,4,32]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    connections: Vec<usize>,
}

/// Secrets of a run: each request brings one of them, and leaves it behind.
const SECRETS: u64 = 64;
/// Weight of each secret; of a request that writes much; of one that ends its program.
const WEIGHTS: (u32, u32, u32) = (10, 4, 40);
/// What a request writes so that its VM is mapped anew and not restored.
const DIRTY_MIB: u32 = 16;

pub(super) fn run(args: &IsolationArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin("isolation", "Does any answer show something that another request left behind?");
    let connections = match (&args.connections[..], session.common.quick) {
        ([], true) => vec![1, 4],
        ([], false) => vec![1, 4, 32],
        (connections, _) => connections.to_vec(),
    };
    let repetitions = session.common.repetitions(super::REPETITIONS);
    session.set("repetitions", repetitions);
    session.set("connections", format!("{connections:?}"));
    session.set("secrets", SECRETS);
    session.set(
        "left behind",
        "counter, memory, environment, file, connection (Python), module, working directory",
    );
    let kinds = [Kind::Python, Kind::Node];
    let done = ask(session, &kinds, &connections, repetitions);
    judge(session, &kinds);
    session.plots.extend(plots::of_runs(&session.runs));
    done
}

fn ask(
    session: &mut Session,
    kinds: &[Kind],
    connections: &[usize],
    repetitions: u32,
) -> Result<(), Failure> {
    // Eviction between the runs, so that there are cold starts among the requests.
    let platform = session.platform(&["--evict-after", "1"])?;
    let deploy =
        |&kind: &Kind| Ok((kind, platform.deploy(kind, &format!("experiment-{}", kind.name()), None)?));
    let paths: Vec<(Kind, String)> = kinds.iter().map(deploy).collect::<Result<_, Failure>>()?;
    let systems: Vec<(&(Kind, String), usize)> =
        paths.iter().flat_map(|path| connections.iter().map(move |&count| (path, count))).collect();
    for repetition in 0..repetitions {
        let (order, seed) = session.order(systems.len(), repetition);
        for index in order {
            if session.stopped() {
                return Ok(());
            }
            let ((kind, path), count) = systems[index];
            let plan = Plan {
                warm_up: Duration::ZERO,
                duration: session.common.duration(),
                ..session.closed(&platform.target, mix(path, seed)?, count, seed)
            };
            let run = session.measure(&format!("{} x {count}", kind.name()), repetition, plan)?;
            session.keep(&platform, run, note)?;
            std::thread::sleep(REST);
        }
        count_starts(session, &platform, kinds)?;
    }
    Ok(())
}

fn mix(path: &str, seed: u64) -> Result<Mix, Failure> {
    let (usual, dirty, end) = WEIGHTS;
    let one = |index: u64| {
        let text = format!("{:016x}", mixed(seed, index));
        let mut parts: Vec<(u32, Call)> = vec![(usual, secret(path, SECRET, &text, None))];
        if index.is_multiple_of(8) {
            parts.push((dirty, secret(path, DIRTY, &text, Some(DIRTY_MIB))));
        }
        parts
    };
    let parts = (0..SECRETS).flat_map(one).chain([(end, exits(path))]).collect();
    Mix::weighted(parts).map_err(|error| Failure::new(error.to_string()))
}

/// What the platform counted.
fn count_starts(session: &mut Session, platform: &Platform, kinds: &[Kind]) -> Result<(), Failure> {
    let mut text = Vec::new();
    for kind in kinds {
        let stats = platform.detail(&format!("experiment-{}", kind.name()))?.stats;
        text.push(format!(
            "{}: {} parents loaded from disk, {} spares, {} VMs given up",
            kind.name(),
            stats.parent_loads,
            stats.spares_prepared,
            stats.shells_discarded
        ));
    }
    session.set("counted by the platform", text.join("; "));
    Ok(())
}

fn note(measures: &mut Measures, run: &RunReport) {
    let system = &run.system;
    let counts = [("leaks", Proof::of(run).leaks), ("failed", failures(run))];
    for (what, count) in counts {
        measures.add(&format!("{system} {what}"), "answers", Better::Lower, count as f64);
    }
    measures.add(&format!("{system} answers"), "1/s", Better::Higher, run.goodput());
}

/// An answer that is not the one expected shows state that is not pristine. That fails the experiment, and so does a function
/// with too few answers to say so.
fn judge(session: &mut Session, kinds: &[Kind]) {
    let mut all = Proof::default();
    for kind in kinds {
        let mut proof = Proof::default();
        let name = format!("{} x ", kind.name());
        session
            .runs
            .iter()
            .filter(|run| run.system.starts_with(&name))
            .for_each(|run| proof.add(Proof::of(run)));
        session.flaws.extend(proof.flaw().map(|flaw| format!("{}: {flaw}", kind.name())));
        all.add(proof);
    }
    session.notes.push(format!(
        "{} answers were checked ({}); {} showed something of another request",
        all.pristine + all.leaks,
        by_start(&session.runs),
        all.leaks
    ));
}

/// How many answers that were checked there are of each start, in words.
fn by_start(runs: &[RunReport]) -> String {
    let mut starts: BTreeMap<Start, u64> = BTreeMap::new();
    let checked =
        runs.iter().flat_map(|run| &run.latencies).filter(|one| one.call == SECRET || one.call == DIRTY);
    for one in checked {
        *starts.entry(one.start).or_default() += one.response.0.len();
    }
    let words: Vec<String> =
        starts.iter().map(|(start, count)| format!("{count} {}", start.name())).collect();
    words.join(", ")
}
