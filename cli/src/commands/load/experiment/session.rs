//! What one experiment works with and leaves behind.

use super::{Common, platform::Platform};
use crate::args::Global;
use crate::commands::load::drive::Driver;
use crate::commands::load::result::{Heading, document, finish};
use crate::commands::load::save::Sink;
use crate::failure::{Exit, Failure};
use crate::print;
use loadtest::arrivals::Arrivals;
use loadtest::call::{Call, Mix};
use loadtest::engine::{Load, Plan, Protocol, Stop};
use loadtest::experiment::measures::Measures;
use loadtest::experiment::order::{mixed, shuffled};
use loadtest::report::{Machine, Plot, RunReport, Table, tables};
use loadtest::target::Target;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::BTreeMap;
use std::time::Duration;

/// Connections of an open loop, at most.
const CONNECTIONS: usize = 2000;
/// Requests that wait for one of them, at most.
const QUEUE: usize = 100_000;
/// Processors from which on the client has some of its own.
const CORES_TO_SHARE: usize = 4;

/// An experiment under way.
pub(super) struct Session {
    pub(super) common: Common,
    pub(super) driver: Driver,
    /// The platform that was given by `--url`, if one was.
    url: Option<String>,
    sink: Option<Sink>,
    pub(super) name: &'static str,
    pub(super) question: &'static str,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) measures: Measures,
    pub(super) tables: Vec<Table>,
    pub(super) plots: Vec<Plot>,
    pub(super) notes: Vec<String>,
    pub(super) runs: Vec<RunReport>,
    /// What it found the platform to do wrong. It fails then, although it came to its end.
    pub(super) flaws: Vec<String>,
    processors: Processors,
    /// As it was before anything ran.
    machine: Machine,
}

/// Which processors the client's threads and the platform's have.
struct Processors {
    client: CpuSet,
    platform: CpuSet,
}

impl Session {
    pub(super) fn new(common: Common, global: &Global) -> Result<Session, Failure> {
        // Before anything is measured: a file that cannot be written must not cost a result.
        let sink = Sink::open(common.json.as_deref(), common.out.as_deref(), global.output)?;
        crate::commands::up::raise_file_limit();
        let url = given_url(global);
        let (processors, shared) = Processors::divided(url.is_some());
        let mut session = Session {
            driver: Driver::new()?,
            url,
            sink: Some(sink),
            name: "",
            question: "",
            settings: BTreeMap::new(),
            measures: Measures::default(),
            tables: Vec::new(),
            plots: Vec::new(),
            notes: Vec::new(),
            runs: Vec::new(),
            flaws: Vec::new(),
            processors,
            machine: Machine::here(),
            common,
        };
        session.set("processors", shared);
        session.set("seed", session.common.seed);
        session.set("quick", session.common.quick);
        session.set("timeout", format!("{:?}", session.common.timeout));
        session.set("platform", session.url.clone().unwrap_or_else(|| "started for the experiment".into()));
        Ok(session)
    }

    /// Runs the experiment and reports what it found, also if it was stopped or failed on the way.
    pub(super) fn report(
        &mut self,
        run: impl FnOnce(&mut Session) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let done = run(self);
        let stopped = self.driver.stopped();
        let nothing = !any_result(&self.runs, &self.plots, &self.measures);
        if stopped && nothing {
            return Err(Failure::silent(Exit::Interrupted));
        }
        if let Err(failure) = &done
            && !stopped
        {
            // What is refused before the first run has measured nothing, whatever was looked at meanwhile.
            if nothing || (self.runs.is_empty() && failure.exit == Exit::Usage) {
                return done;
            }
            self.notes.push(format!("it broke off: {}", failure.message));
        }
        let done = done.and_then(|()| verdict(&self.flaws));
        self.notes.append(&mut self.flaws);
        let heading = Heading {
            experiment: self.name,
            question: self.question.to_owned(),
            settings: std::mem::take(&mut self.settings),
        };
        let mut document = document(heading, std::mem::take(&mut self.runs));
        document.machine = self.machine.clone();
        document.measures = std::mem::take(&mut self.measures).finish();
        let mut all = vec![tables::measures("Measures", &document.measures)];
        all.append(&mut self.tables);
        all.append(&mut document.tables);
        document.tables = all;
        document.plots = std::mem::take(&mut self.plots);
        document.notes.append(&mut self.notes);
        let Some(sink) = self.sink.take() else { return done };
        let shown = finish(&document, sink, stopped);
        if stopped { shown } else { done.and(shown) }
    }

    /// Says what is asked, and under which name.
    pub(super) fn begin(&mut self, name: &'static str, question: &'static str) {
        (self.name, self.question) = (name, question);
    }

    /// Records an option.
    pub(super) fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    /// A platform: the one that was given, or one started with these arguments.
    pub(super) fn platform(&self, args: &[&str]) -> Result<Platform, Failure> {
        match &self.url {
            Some(url) => self.go_on().and_then(|()| Platform::at(url)),
            None => self.own_platform(args),
        }
    }

    /// A platform of the experiment's own; refused if one was given.
    pub(super) fn own_platform(&self, args: &[&str]) -> Result<Platform, Failure> {
        if self.url.is_some() {
            return Err(Failure::new(format!(
                "`{}` needs a platform of its own, not one at a URL",
                self.name
            ))
            .exit(Exit::Usage));
        }
        self.go_on()?;
        print::note("starting a platform");
        self.start_server(|| Platform::start(args))
    }

    /// Starts what is measured: it has the platform's processors.
    pub(super) fn start_server<T>(&self, start: impl FnOnce() -> T) -> T {
        self.processors.enter(&self.processors.platform);
        let started = start();
        self.processors.enter(&self.processors.client);
        started
    }

    /// Whether a platform was given by its URL.
    pub(super) fn is_remote(&self) -> bool {
        self.url.is_some()
    }

    /// The order of systems in a repetition, and its seed.
    pub(super) fn order(&self, systems: usize, repetition: u32) -> (Vec<usize>, u64) {
        let seed = self.common.seed;
        (shuffled(systems, seed, repetition), mixed(seed, u64::from(repetition)))
    }

    /// An open loop at a rate, of the usual length.
    pub(super) fn open(&self, target: &Target, mix: Mix, rate: f64, seed: u64) -> Plan {
        let load = Load::Open(Arrivals::Poisson { rate });
        Plan { connections: CONNECTIONS, queue: QUEUE, ..self.closed(target, mix, 1, seed) }.with(load)
    }

    /// A closed loop, of the usual length.
    pub(super) fn closed(&self, target: &Target, mix: Mix, connections: usize, seed: u64) -> Plan {
        Plan {
            target: target.clone(),
            mix,
            load: Load::Closed,
            connections,
            queue: 0,
            duration: self.common.warm_up() + self.common.duration(),
            warm_up: self.common.warm_up(),
            timeout: self.common.timeout,
            threads: 1,
            seed,
            protocol: Protocol::Http1,
        }
    }

    /// One call, alone: whether it is answered as expected. Nobody is asked any more once somebody wants it to end.
    pub(super) fn try_call(&self, target: &Target, call: Call) -> Result<(), Failure> {
        let name = call.name.clone();
        let plan = Plan {
            load: Load::Open(Arrivals::Burst { size: 1, every_s: 1e6 }),
            duration: Duration::from_millis(1),
            warm_up: Duration::ZERO,
            ..self.closed(target, Mix::of(call), 1, self.common.seed)
        };
        let run = self.measure(&format!("{name} try"), 0, plan)?;
        if run.answered == 1 || self.stopped() {
            return Ok(());
        }
        let why = run.failed.first().map(|failed| failed.failure.to_string());
        Err(Failure::new(why.unwrap_or_else(|| "it was not answered".to_owned())))
    }

    /// Runs a plan, without keeping its result.
    pub(super) fn measure(&self, system: &str, repetition: u32, plan: Plan) -> Result<RunReport, Failure> {
        self.measure_until(system, repetition, plan, self.stop())
    }

    /// The same; `stop`, a part of [`Session::stop`], ends it too.
    pub(super) fn measure_until(
        &self,
        system: &str,
        repetition: u32,
        plan: Plan,
        stop: &Stop,
    ) -> Result<RunReport, Failure> {
        let outcome = self.driver.run_until(&format!("{system} {}", repetition + 1), plan, stop)?;
        Ok(RunReport::new(system, repetition, &outcome))
    }

    /// Keeps a run. What is measured of it counts only if it came to its end, and the platform is still there; it is an error
    /// if it is not.
    pub(super) fn keep<T>(
        &mut self,
        platform: &Platform,
        run: RunReport,
        measured: impl FnOnce(&mut Measures, &RunReport) -> T,
    ) -> Result<Option<T>, Failure> {
        let alive = platform.alive();
        let counts = run.complete && alive.is_ok();
        let found = counts.then(|| measured(&mut self.measures, &run));
        self.runs.push(run);
        alive.map(|()| found)
    }

    /// An error if somebody wants it to end.
    fn go_on(&self) -> Result<(), Failure> {
        if self.stopped() { Err(Failure::silent(Exit::Interrupted)) } else { Ok(()) }
    }

    /// What is set when somebody wants it to end.
    pub(super) fn stop(&self) -> &Stop {
        self.driver.stop()
    }

    /// Whether somebody wants it to end.
    pub(super) fn stopped(&self) -> bool {
        self.driver.stopped()
    }
}

/// Whether there is anything to report. Plots without a point are nothing.
fn any_result(runs: &[RunReport], plots: &[Plot], measures: &Measures) -> bool {
    let drawn = |plot: &Plot| plot.series.iter().any(|series| !series.points.is_empty());
    !runs.is_empty() || !measures.is_empty() || plots.iter().any(drawn)
}

/// A failure if there are flaws.
fn verdict(flaws: &[String]) -> Result<(), Failure> {
    if flaws.is_empty() { Ok(()) } else { Err(Failure::new(flaws.join("; "))) }
}

/// A plan with another load.
trait With {
    fn with(self, load: Load) -> Self;
}

impl With for Plan {
    fn with(self, load: Load) -> Plan {
        Plan { load, ..self }
    }
}

/// The URL on the command line or in the environment. The option's default is not one: without a URL, an experiment starts a
/// platform of its own.
fn given_url(global: &Global) -> Option<String> {
    let named = std::env::args_os().any(|word| {
        let word = word.to_string_lossy();
        word == "--url" || word.starts_with("--url=")
    });
    (named || std::env::var_os("SPORE_URL").is_some()).then(|| global.url.clone())
}

impl Processors {
    /// A quarter of them for the client, if there are enough and the platform is started here; and what to say of it.
    fn divided(remote: bool) -> (Processors, String) {
        let all = sched_getaffinity(None).unwrap_or_default();
        let mine: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
        if remote || mine.len() < CORES_TO_SHARE {
            let who = if remote { "client and baselines" } else { "client and platform" };
            let text = format!("{} in all: {who} share them, unpinned", mine.len());
            return (Processors { client: all, platform: all }, text);
        }
        let (platform, client) = mine.split_at(mine.len() - mine.len() / CORES_TO_SHARE);
        let set = |cpus: &[usize]| {
            let mut set = CpuSet::new();
            cpus.iter().for_each(|&cpu| set.set(cpu));
            set
        };
        let text = format!("client pinned to {client:?}, platform to {platform:?}");
        (Processors { client: set(client), platform: set(platform) }, text)
    }

    /// Threads and processes started from now on by this thread run there.
    fn enter(&self, set: &CpuSet) {
        // Without it, both run anywhere, which costs precision only.
        let _ = sched_setaffinity(None, set);
    }
}

/// Length of a pause for the platform to come to rest between two systems.
pub(super) const REST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use loadtest::report::{Better, Scale, Series, plots};

    #[test]
    fn plots_or_measures_alone_are_worth_a_report_and_empty_plots_are_not() {
        let plot = |points: Vec<(f64, f64)>| Plot {
            series: vec![Series { name: "a".to_owned(), points, intervals: Vec::new() }],
            y: plots::axis("MiB", Scale::Linear),
            ..plots::cdf("Response time", &[])
        };
        let mut measures = Measures::default();
        assert!(!any_result(&[], &[plots::cdf("Response time", &[]), plot(Vec::new())], &measures));
        assert!(any_result(&[], &[plot(vec![(0.0, 1.0)])], &measures));
        measures.add("a", "ms", Better::Lower, 1.0);
        assert!(any_result(&[], &[], &measures));
    }

    #[test]
    fn flaws_are_a_failure_that_names_all_of_them() {
        assert!(verdict(&[]).is_ok());
        let flaws = ["it grows".to_owned(), "it forgets".to_owned()];
        assert_eq!(verdict(&flaws).unwrap_err().message, "it grows; it forgets");
    }
}
