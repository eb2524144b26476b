//! `spore load trace`: a tenant out of a trace, replayed on a platform or only computed.

mod answers;
mod cost;
mod counted;
mod metrics;
mod options;
mod parents;
mod platform;
mod replayed;
mod report;

pub(super) use options::{Format, TraceArgs};

use super::drive::Driver;
use super::result::finish;
use super::save::Sink;
use crate::args::Global;
use crate::client::{self, Client};
use crate::failure::{Exit, Failure};
use bytes::Bytes;
use counted::Counted;
use http::Method;
use loadtest::call::{Call, Mix};
use loadtest::engine::{Load, Plan, Protocol};
use loadtest::expect::Expect;
use loadtest::report::{Document, Machine};
use loadtest::target::{Address, Target};
use loadtest::trace::analysis::Analysis;
use loadtest::trace::plan::{Caps, Kind, Planned};
use loadtest::trace::{Gaps, Replay, ReplayOptions, Trace};
use options::{Measured, Work};
use platform::{Deployed, Limits, Reading};
use replayed::Replayed;
use report::Subject;
use std::fmt::Display;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Functions that are deployed unless told otherwise.
const DEPLOYED_DEFAULT: usize = 200;
/// Requests that may wait for a connection.
const QUEUE: usize = 1_000_000;
/// How long the platform may take to say something of itself.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(args: &TraceArgs, global: &Global) -> Result<(), Failure> {
    let sink = Sink::open(args.json.as_deref(), args.out.as_deref(), global.output)?;
    let mut trace = args.read()?;
    let gaps = trace.fill_gaps();
    let real = args.replay(&trace)?;
    args.machine.assumptions(Measured::default())?;
    let sized = Replay::new(&trace, real.clone()).map_err(usage)?;
    if args.dry_run {
        let sizing = loadtest::trace::sizing::size(sized, args.machine.assumptions(Measured::default())?);
        let document =
            report::document(&Subject { args, trace: &trace, gaps, options: &real }, &sizing, None)?;
        return finish(&document, sink, false);
    }
    replay(args, global, &trace, gaps, real, sink)
}

/// Replays on the platform and reports. What was deployed is removed however it ends; if it cannot be, that is told in any case.
fn replay(
    args: &TraceArgs,
    global: &Global,
    trace: &Trace,
    gaps: Gaps,
    real: ReplayOptions,
    sink: Sink,
) -> Result<(), Failure> {
    let faster = ReplayOptions { speed: args.speed(), ..real.clone() };
    let replay = Replay::new(trace, faster).map_err(usage)?;
    let length = Duration::from_nanos(replay.length_ns());
    let caps = Caps {
        run_scale: args.run_scale,
        run_ms: args.duration_cap.as_secs_f64() * 1e3,
        memory_mib: f64::from(args.memory_cap),
    };
    let planned = Planned::new(replay, caps).map_err(usage)?;
    let target = Target::parse(&global.url).map_err(usage)?;
    let is_local = matches!(&target.address, Address::Tcp(address) if address.ip().is_loopback());
    let runtime = crate::runtime(Builder::new_current_thread())?;
    crate::commands::up::raise_file_limit();
    // As it is before the load.
    let machine = Machine::here();
    let driver = Driver::new()?;
    let mut deployed = Deployed::new();
    let session = Session { args, url: &global.url, runtime: &runtime, driver: &driver, is_local };
    let replayed = session.run(&mut deployed, planned, target, length);
    let reported = replayed.and_then(|replayed| {
        let replayed = replayed.ok_or_else(|| Failure::silent(Exit::Interrupted))?;
        let assumed = args.machine.assumptions(replayed.measured())?;
        let sizing = loadtest::trace::sizing::size(Replay::new(trace, real.clone()).map_err(usage)?, assumed);
        let subject = Subject { args, trace, gaps, options: &real };
        let document = report::document(&subject, &sizing, Some(&replayed))?;
        let unknown = replayed.counted.err().map_or(Ok(()), |why| Err(unasked(&why)));
        Failure::first_of([finish(&Document { machine, ..document }, sink, driver.stopped()), unknown])
    });
    // After the report, which a platform that is gone must not cost.
    let removed = session.client().and_then(|client| runtime.block_on(deployed.remove(&client)));
    Failure::first_of([reported, removed])
}

/// The replay counts, but its report lacks what the platform knows.
fn unasked(why: &str) -> Failure {
    Failure::new(format!("the platform could not be asked after the replay: {why}"))
        .hint("the report has what was seen from outside")
}

/// What a replay works with.
struct Session<'a> {
    args: &'a TraceArgs,
    url: &'a str,
    runtime: &'a Runtime,
    driver: &'a Driver,
    is_local: bool,
}

impl Session<'_> {
    /// A client of its own for each step: connections that were kept during the replay may be closed by now.
    fn client(&self) -> Result<Client, Failure> {
        Client::new(self.url)
    }

    /// Deploys, sends, and reads what the platform says before and after. `None` if it was stopped before it began to send.
    fn run(
        &self,
        deployed: &mut Deployed,
        planned: Planned,
        target: Target,
        length: Duration,
    ) -> Result<Option<Replayed>, Failure> {
        let wanted = self.args.deployed.map_or(DEPLOYED_DEFAULT, |count| count as usize);
        let touched = shared(&planned.memory_mib, wanted);
        let stopped = || self.driver.stopped();
        let (client, args) = (self.client()?, self.args);
        let limits = Limits { longest: args.duration_cap, concurrency: args.max_concurrency };
        self.runtime.block_on(deployed.deploy(&client, &touched, limits, stopped))?;
        if stopped() {
            return Ok(None);
        }
        let calls = planned.kinds.iter().map(|&kind| self.call(kind, &planned, deployed)).collect();
        let plan = Plan {
            target,
            mix: Mix::listed(calls).map_err(usage)?,
            load: Load::Given(planned.arrivals.clone().into()),
            connections: self.args.connections,
            queue: QUEUE,
            duration: length,
            warm_up: Duration::ZERO,
            timeout: self.args.timeout,
            threads: 1,
            seed: 0,
            protocol: Protocol::default(),
        };
        let before = self.read(deployed)?;
        let outcome = self.driver.run("trace", plan)?;
        // What was sent and answered counts, also if the platform is gone by now.
        let after = self.read(deployed).map_err(|failure| failure.message);
        let spins = self.args.work == Work::Spin;
        let vms_max = before.metrics.get("spore_vms_max");
        let counted = |analysis: &Analysis| {
            after.and_then(|after| Counted::new(deployed, [&before, &after], analysis, spins))
        };
        Ok(Some(Replayed::new(planned, outcome, &deployed.memory_mib, vms_max, counted)))
    }

    fn read(&self, deployed: &Deployed) -> Result<Reading, Failure> {
        let client = self.client()?;
        let read = async { timeout(PATIENCE, deployed.read(&client, self.is_local)).await };
        self.runtime.block_on(read).unwrap_or_else(|_| {
            Err(Failure::new(format!("it did not answer within {} s", PATIENCE.as_secs())))
        })
    }

    /// The request for a kind of call, and what must come back.
    fn call(&self, kind: Kind, planned: &Planned, deployed: &Deployed) -> Call {
        let memory_mib = planned.memory_mib[kind.function];
        let work = match self.args.work {
            Work::Spin => "spin",
            Work::Sleep => "sleep",
        };
        let busy_ms = kind.busy_ms;
        let body = format!(r#"{{"busy_ms":{busy_ms},"memory_mib":{memory_mib},"work":"{work}"}}"#);
        let pages = u64::from(memory_mib) * 256;
        let answer = format!("busy_ms={busy_ms} memory_mib={memory_mib} pages={pages} calls=1");
        let name = &deployed.names[kind.function % deployed.names.len()];
        Call {
            method: Method::POST,
            body: Bytes::from(body),
            expect: Expect { status: Some(200), body: Some(answer), ..Expect::default() },
            ..Call::get(&client::invocation_path(name, "/"))
        }
    }
}

/// What each deployed function touches: the most of the functions of the trace that share it.
fn shared(memory_mib: &[u32], wanted: usize) -> Vec<u32> {
    let mut touched = vec![0; wanted.min(memory_mib.len()).max(1)];
    let count = touched.len();
    for (function, &memory) in memory_mib.iter().enumerate() {
        touched[function % count] = memory.max(touched[function % count]);
    }
    touched
}

/// What is wrong with the options.
fn usage(error: impl Display) -> Failure {
    Failure::new(error.to_string()).exit(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_trace_share_what_is_deployed_in_turn() {
        assert_eq!(shared(&[1, 2, 3, 9, 5], 2), [5, 9]);
        assert_eq!(shared(&[1, 2], 200), [1, 2]);
    }
}
