//! `density`: N functions in memory that are called in turn, against their response time and memory.

use super::knee::Function;
use super::session::{REST, Session};
use crate::commands::load::experiment::platform::{Kind, Platform};
use crate::failure::Failure;
use clap::Args;
use loadtest::call::Mix;
use loadtest::experiment::functions::hello;
use loadtest::experiment::measures::{Measures, failures, millis, response};
use loadtest::experiment::sample::{Sample, available_bytes};
use loadtest::report::plots::{DensityPoint, cdf, density};
use loadtest::report::{Better, RunReport};
use worker::api::VmInfo;

/// Options of `spore load experiment density`.
#[derive(Debug, Args)]
pub(super) struct DensityArgs {
    /// Numbers of functions, in order [default: 1,3,10,30,100,300]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    counts: Vec<u32>,
    /// The function that is deployed again and again, under other names
    #[arg(long, value_enum, default_value = "python")]
    function: Function,
    /// Requests a second, over all functions [default: 50]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
}

const COUNTS: [u32; 6] = [1, 3, 10, 30, 100, 300];
/// Memory that is left to the rest of the machine.
const RESERVE: u64 = 1 << 30;
/// How often the VMs are asked for.
const LOOKS: usize = 10;
const KIB: f64 = 1024.0;

pub(super) fn run(args: &DensityArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin("density", "What do functions in memory cost, and do they slow each other down?");
    let mut counts = match (&args.counts[..], session.common.quick) {
        ([], true) => COUNTS[..2].to_vec(),
        ([], false) => COUNTS.to_vec(),
        (counts, _) => counts.to_vec(),
    };
    counts.sort_unstable();
    counts.dedup();
    let rate = args.rate.unwrap_or_else(|| session.common.pick(20.0, 50.0));
    let repetitions = session.common.repetitions(super::REPETITIONS);
    session.set("repetitions", repetitions);
    session.set("counts", format!("{counts:?}"));
    session.set("rate", rate);
    session.set("duration", format!("{:?}", session.common.duration()));
    session.set("memory left to others, MiB", RESERVE >> 20);
    let mut points = Vec::new();
    let done = grow_all(args.function.kind(), session, (&counts, rate, repetitions), &mut points);
    session.plots.extend(density("Density", &points));
    session.plots.push(cdf("Response time", &session.runs));
    session.notes.push(
        "live VMs without a platform around them, 1000 and more: `spore bench density` (docs/BENCH.md)"
            .to_owned(),
    );
    done
}

fn grow_all(
    kind: Kind,
    session: &mut Session,
    (counts, rate, repetitions): (&[u32], f64, u32),
    points: &mut Vec<DensityPoint>,
) -> Result<(), Failure> {
    for repetition in 0..repetitions {
        // A platform of its own for each: memory that one has used is not the next one's.
        let platform = session.platform(&[])?;
        let mut functions = Functions { kind, repetition, paths: Vec::new(), available: available_bytes() };
        for &count in counts {
            if session.stopped() || !functions.grow(session, &platform, count)? {
                break;
            }
            let (_, seed) = session.order(1, repetition);
            let run = functions.load(session, &platform, rate, seed)?;
            let point =
                session.keep(&platform, run, |measures, run| functions.note(measures, &platform, run))?;
            points.extend(point.transpose()?);
            std::thread::sleep(REST);
        }
    }
    Ok(())
}

/// The functions that are there.
struct Functions {
    kind: Kind,
    repetition: u32,
    paths: Vec<String>,
    /// Memory of the machine before the first of them.
    available: u64,
}

impl Functions {
    /// Deploys until there are `count`; false if the machine has no room for them.
    fn grow(&mut self, session: &mut Session, platform: &Platform, count: u32) -> Result<bool, Failure> {
        while self.paths.len() < count as usize {
            if available_bytes() < RESERVE {
                session.notes.push(format!("memory was short with {} functions", self.paths.len()));
                return Ok(false);
            }
            if session.stopped() {
                return Ok(false);
            }
            let name = format!("experiment-density-{}-{}", self.repetition, self.paths.len());
            self.paths.push(platform.deploy(self.kind, &name, None)?);
        }
        Ok(true)
    }

    /// Calls all of them, at random.
    fn load(
        &self,
        session: &Session,
        platform: &Platform,
        rate: f64,
        seed: u64,
    ) -> Result<RunReport, Failure> {
        let calls = self.paths.iter().map(|path| (1, hello(path, self.kind.name()))).collect();
        let mix = Mix::weighted(calls).map_err(|error| Failure::new(error.to_string()))?;
        let plan = session.open(&platform.target, mix, rate, seed);
        session.measure(&format!("{} functions", self.paths.len()), self.repetition, plan)
    }

    /// The VMs, once each function has one. A list lacks what did not answer in time, and a machine that is short of memory ends
    /// idle VMs: then those that there are.
    fn vms(&self, platform: &Platform) -> Result<Vec<VmInfo>, Failure> {
        let mut vms = platform.vms()?.vms;
        for _ in 1..LOOKS {
            let is_of = |path: &str, vm: &VmInfo| {
                path.trim_end_matches('/').rsplit('/').next() == Some(&*vm.function)
            };
            if self.paths.iter().all(|path| vms.iter().any(|vm| is_of(path, vm))) {
                break;
            }
            std::thread::sleep(REST);
            vms = platform.vms()?.vms;
        }
        Ok(vms)
    }

    /// What they cost now.
    fn note(
        &self,
        measures: &mut Measures,
        platform: &Platform,
        run: &RunReport,
    ) -> Result<DensityPoint, Failure> {
        let count = self.paths.len();
        let name = format!("{count:04} functions");
        let times = response(run, None);
        measures.latencies(&name, &times);
        measures.add(&format!("{name} failed"), "answers", Better::Lower, failures(run) as f64);
        let vms = self.vms(platform)?;
        let by_vm = |field: &dyn Fn(&VmInfo) -> u64| {
            vms.iter().map(field).sum::<u64>() as f64 / vms.len().max(1) as f64 / KIB
        };
        let point = DensityPoint {
            instances: count as u64,
            // Nothing is drawn of no answers; 0 would be the best there can be.
            p99_ms: if times.is_empty() { f64::NAN } else { millis(times.value_at_quantile(0.99)) },
            private_kib: by_vm(&|vm| vm.private_bytes),
            shared_kib: by_vm(&|vm| vm.shared_bytes),
            pss_kib: by_vm(&|vm| vm.pss_bytes),
        };
        measures.add(&format!("{name} private by VM"), "KiB", Better::Lower, point.private_kib);
        measures.add(&format!("{name} shared by VM"), "KiB", Better::Higher, point.shared_kib);
        measures.add(&format!("{name} PSS by VM"), "KiB", Better::Lower, point.pss_kib);
        measures.add(&format!("{name} VMs"), "VMs", Better::Lower, vms.len() as f64);
        let taken = self.available.saturating_sub(available_bytes()) as f64 / count as f64 / KIB;
        measures.add(&format!("{name} everything by function"), "KiB", Better::Lower, taken);
        if let Some(pid) = platform.pid() {
            let sample = Sample::of_tree(pid);
            let pss = sample.pss_bytes as f64 / count as f64 / KIB;
            measures.add(&format!("{name} platform PSS by function"), "KiB", Better::Lower, pss);
        }
        Ok(point)
    }
}
