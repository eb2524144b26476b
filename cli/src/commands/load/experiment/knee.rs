//! `knee`: response time against offered load, and the greatest load that the platform keeps up with.

use super::platform::{Kind, Platform};
use super::session::{REST, Session};
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use loadtest::call::Mix;
use loadtest::experiment::functions::hello;
use loadtest::experiment::measures::response;
use loadtest::experiment::search::{Search, keeps_up, least_rate};
use loadtest::report::{Better, RunReport, plots};

/// Options of `spore load experiment knee`.
#[derive(Debug, Args)]
pub(super) struct KneeArgs {
    /// Functions, each of which has a knee of its own
    #[arg(long, value_enum, value_delimiter = ',', default_value = "python,rust")]
    functions: Vec<Function>,
    /// Requests a second to begin with
    #[arg(long, default_value_t = 50.0, value_name = "N")]
    from: f64,
    /// The 99th percentile of the response time that is too long, in milliseconds
    #[arg(long, default_value_t = 100.0, value_name = "MS")]
    limit: f64,
    /// How close the knee must be known, as a share of it [default: 0.05]
    #[arg(long, value_name = "SHARE")]
    precision: Option<f64>,
}

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Function {
    /// The Python function
    Python,
    /// The JavaScript function
    Node,
    /// The Rust example
    Rust,
}

impl Function {
    pub(super) fn kind(self) -> Kind {
        match self {
            Function::Python => Kind::Python,
            Function::Node => Kind::Node,
            Function::Rust => Kind::Rust,
        }
    }
}

pub(super) fn run(args: &KneeArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin(
        "knee",
        "How much load does the platform keep up with, and how do response times grow on the way?",
    );
    let repetitions = session.common.repetitions(super::REPETITIONS);
    let precision = args.precision.unwrap_or_else(|| session.common.pick(0.3, 0.05));
    session.set("repetitions", repetitions);
    session.set("limit of p99, ms", args.limit);
    session.set("least goodput", "95 % of the offered load");
    session.set("precision", precision);
    session.set("duration", format!("{:?}", session.common.duration()));
    if !(args.from > 0.0 && args.from.is_finite()) {
        return Err(Failure::new("--from must be more than 0").exit(crate::failure::Exit::Usage));
    }
    let least = least_rate(session.common.duration());
    session.set("first rate", args.from.max(least));
    session.set("least rate", least);
    let mut at_knees = Vec::new();
    let done = find_all(args, session, (repetitions, precision), &mut at_knees);
    session.plots.extend(plots::hockey_stick("Knee", &session.runs));
    session.plots.push(plots::cdf("Response time at the knee", &at_knees));
    session.plots.push(plots::ccdf("Response time at the knee: the tail", &at_knees));
    done
}

fn find_all(
    args: &KneeArgs,
    session: &mut Session,
    (repetitions, precision): (u32, f64),
    at_knees: &mut Vec<RunReport>,
) -> Result<(), Failure> {
    let platform = session.platform(&[])?;
    let least = least_rate(session.common.duration());
    let kinds: Vec<Kind> = args.functions.iter().map(|function| function.kind()).collect();
    let deploy =
        |kind: &Kind| Ok((*kind, platform.deploy(*kind, &format!("experiment-{}", kind.name()), None)?));
    let paths: Vec<(Kind, String)> = kinds.iter().map(deploy).collect::<Result<_, Failure>>()?;
    for repetition in 0..repetitions {
        let (order, seed) = session.order(paths.len(), repetition);
        for index in order {
            let (kind, path) = &paths[index];
            let search = Search::new(args.from, precision, least);
            let found =
                find(session, (kind.name(), path), &platform, search, (args.limit, repetition, seed))?;
            at_knees.extend(found);
        }
    }
    Ok(())
}

/// Looks for the knee of one function; the run at it, if it came so far.
fn find(
    session: &mut Session,
    (name, path): (&str, &str),
    platform: &Platform,
    mut search: Search,
    (limit, repetition, seed): (f64, u32, u64),
) -> Result<Option<RunReport>, Failure> {
    let mut at_knee: Option<RunReport> = None;
    while let Some(rate) = search.next() {
        if session.stopped() {
            return Ok(None);
        }
        let plan = session.open(&platform.target, Mix::of(hello(path, name)), rate, seed);
        let run = session.measure(&format!("{name} {rate:.0}/s"), repetition, plan)?;
        let kept_up = keeps_up(&run, limit);
        // One system for all its rates, so that they become one line.
        let run = RunReport { system: name.to_owned(), offered_rate: Some(rate), ..run };
        session.runs.push(run.clone());
        platform.alive()?;
        // What was stopped says nothing of the rate, neither way.
        if !run.complete {
            return Ok(None);
        }
        if let Some(why) = run.generator.limited.as_ref().filter(|_| !kept_up) {
            session.notes.push(format!("{name}: at {rate:.0}/s the generator was the limit: {why}"));
        }
        search.tell(kept_up);
        if kept_up {
            at_knee = Some(run);
        }
        std::thread::sleep(REST);
    }
    match (search.knee(), &at_knee) {
        (Some(knee), Some(run)) => {
            session.measures.add(&format!("{name} knee"), "1/s", Better::Higher, knee);
            session.measures.latencies(&format!("{name} at its knee"), &response(run, None));
        }
        _ => session.notes.push(format!("{name} kept up with no rate that was tried")),
    }
    Ok(at_knee)
}
