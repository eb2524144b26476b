//! `cold`: calls of functions that left memory, whose files are in the page cache or on disk only.

use super::platform::{Kind, Platform};
use super::session::Session;
use crate::failure::Failure;
use crate::print;
use clap::Args;
use loadtest::engine::Stop;
use loadtest::experiment::measures::response;
use loadtest::experiment::sample::forget_files;
use loadtest::experiment::staged::{PARTS, Staged};
use loadtest::experiment::staging::{Called, Stage, TRIES};
use loadtest::report::{Better, plots};
use loadtest::tally::Start;

/// Options of `spore load experiment cold`.
#[derive(Debug, Args)]
pub(super) struct ColdArgs {
    /// Calls of each function in a repetition, half of them with its files in the page cache [default: 10]
    #[arg(long, value_name = "N")]
    calls: Option<usize>,
}

pub(super) fn run(args: &ColdArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin("cold", "How long does the first call take of a function that is on disk only?");
    let calls = args.calls.unwrap_or_else(|| session.common.pick(2, 10)).max(2);
    let repetitions = session.common.repetitions(super::REPETITIONS);
    session.set("repetitions", repetitions);
    session.set("calls", calls);
    session.set("eviction", "after 1 s without a call (spore up --evict-after 1)");
    let mut staged = Staged::default();
    let done = call_all(session, calls, repetitions, &mut staged);
    finish(session, staged);
    done
}

fn call_all(session: &Session, calls: usize, repetitions: u32, staged: &mut Staged) -> Result<(), Failure> {
    let platform = session.own_platform(&["--evict-after", "1"])?;
    let deploy = |kind: Kind| platform.deploy(kind, kind.name(), None).map(|_| kind);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().map(deploy).collect::<Result<_, _>>()?;
    for repetition in 0..repetitions {
        let (order, _) = session.order(kinds.len(), repetition);
        for call in 0..calls {
            print::note(&format!("cold {} call {}", repetition + 1, call + 1));
            for &index in &order {
                let whole = one(&platform, session.stop(), kinds[index], call % 2 == 1, repetition, staged);
                if !matches!(whole, Ok(true)) {
                    staged.interrupt(repetition, |_, _| true);
                    return platform.blamed(whole.map(drop));
                }
            }
        }
    }
    Ok(())
}

/// One call, with all that has to come before it each time it is tried. False if somebody stopped it.
fn one(
    platform: &Platform,
    stop: &Stop,
    kind: Kind,
    on_disk: bool,
    repetition: u32,
    staged: &mut Staged,
) -> Result<bool, Failure> {
    let (mut called, mut tries) = (Called::default(), 0);
    while called.answers.is_empty() && tries < TRIES && !stop.is_set() {
        called = try_one(platform, stop, kind, on_disk)?;
        tries += 1;
    }
    if stop.is_set() && called.answers.is_empty() {
        return Ok(false);
    }
    let system = if on_disk { format!("{} on disk", kind.name()) } else { kind.name().to_owned() };
    staged.add(&system, Start::Cold, repetition, &called, 1);
    Ok(true)
}

/// A call when nothing of any function is in memory: what functions share must be gone too.
fn try_one(platform: &Platform, stop: &Stop, kind: Kind, on_disk: bool) -> Result<Called, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", kind.name()));
    for other in Kind::ALL {
        Stage::new(&platform.target, other.name(), stop).wait_until_gone().map_err(failed)?;
    }
    if on_disk && let Some(data) = platform.data() {
        forget_files(data).map_err(failed)?;
    }
    let loads = platform.detail(kind.name())?.stats.parent_loads;
    let mut called = Stage::new(&platform.target, kind.name(), stop).call(Start::Cold);
    let loaded = platform.detail(kind.name())?.stats.parent_loads > loads;
    // An answer of a parent that was not loaded is none of a cold one.
    called.answers.retain(|_| loaded);
    Ok(called)
}

fn finish(session: &mut Session, staged: Staged) {
    let runs = staged.runs(session.common.seed);
    for run in runs.iter().filter(|run| run.complete) {
        session.measures.latencies(&run.system, &response(run, Some(Start::Cold)));
    }
    for (name, parts) in staged.parts() {
        for (part, value) in PARTS.iter().zip(parts) {
            session.measures.add(&format!("{name} mean {part}"), "ms", Better::Lower, value);
        }
    }
    session.plots.push(plots::cdf("Response time of cold starts", &runs));
    session.plots.push(plots::breakdown("What a cold start is made up of", "mean (ms)", &staged.bars()));
    session.notes.extend(staged.notes());
    session.notes.push(
        "`on disk`: the platform's files were dropped from the page cache before the call; images of runtimes, which live \
         elsewhere and are shared by all platforms of the machine, were not"
            .to_owned(),
    );
    session.runs.extend(runs);
}
