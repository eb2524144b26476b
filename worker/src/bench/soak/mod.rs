//! Very many recycled forks: every answer checked byte for byte, and nothing may grow.

mod sample;

pub use sample::{KvmSample, ProcessSample};

use super::BenchError;
use super::clock::Clock;
use super::function::Function;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use vmm::Machine;

/// Forks of each VM before the first sample.
const WARM_UP: u64 = 200;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);

/// How much is forked.
#[derive(Clone, Copy, Debug)]
pub struct SoakOptions {
    /// Forks of all functions together.
    pub forks: u64,
    /// VMs of each function, each on a thread of its own.
    pub vms: usize,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
pub struct SoakReport {
    /// Forks asked for.
    pub asked: u64,
    /// Forks of each VM before the first sample, not counted below.
    pub warm_up: u64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Forks done, each answered as expected.
    pub forks: u64,
    /// The same for each function.
    pub functions: Vec<(String, u64)>,
    /// VMs that lived all the time.
    pub vms: usize,
    /// VMs that could not be restored and were replaced.
    pub discarded: u64,
    /// The first failure; a wrong byte is one.
    pub failure: Option<String>,
    /// Time from the first sample to the second.
    pub seconds: f64,
    /// Forks of all VMs in a second.
    pub forks_per_second: f64,
    /// After the warm-up.
    pub start: ProcessSample,
    /// After the last fork, with the same VMs alive.
    pub end: ProcessSample,
    /// What has grown, in words; empty if nothing has.
    pub leaks: Vec<String>,
}

/// Forks until all is done, `stop` is set or something is wrong. `progress` gets the forks done so far.
pub fn soak(
    functions: &[Function],
    options: SoakOptions,
    stop: &AtomicBool,
    progress: &dyn Fn(u64),
) -> Result<SoakReport, BenchError> {
    let shares = shares(functions, options.forks);
    let vms = options.vms.max(1);
    thread::scope(|scope| {
        let (ready, all_ready) = channel();
        let (told, all_done) = channel();
        let mut threads = Vec::new();
        for share in shares.iter().flat_map(|share| std::iter::repeat_n(share, vms)) {
            let (go, gate) = channel();
            let thread = Thread { share, stop, ready: ready.clone(), done: told.clone(), gate };
            let builder = thread::Builder::new().name("soak".to_owned());
            let spawned = builder.spawn_scoped(scope, move || thread.run());
            spawned.map_err(BenchError::host("starting a thread"))?;
            threads.push(go);
        }
        drop((ready, told));
        let warm: Vec<Result<KvmSample, BenchError>> = all_ready.iter().take(threads.len()).collect();
        let warm = warm.into_iter().collect::<Result<Vec<KvmSample>, _>>()?;
        let (start, begun) = (ProcessSample::now(KvmSample::sum(warm)), Instant::now());
        open(&threads);
        let tallies = gather(&all_done, threads.len(), &shares, progress);
        let elapsed = begun.elapsed();
        let end = ProcessSample::now(KvmSample::sum(tallies.iter().map(|tally| tally.kvm)));
        open(&threads);
        Ok(report(options, &shares, &tallies, vms * functions.len(), elapsed, (start, end)))
    })
}

/// What one function has yet to do, and has done.
struct Share<'a> {
    function: &'a Function,
    asked: u64,
    taken: AtomicU64,
    done: AtomicU64,
}

/// Divides the forks evenly; the first functions get what is left over.
fn shares(functions: &[Function], forks: u64) -> Vec<Share<'_>> {
    let count = functions.len().max(1) as u64;
    let asked = |index: u64| forks / count + u64::from(index < forks % count);
    let share = |(function, index)| Share {
        function,
        asked: asked(index),
        taken: AtomicU64::new(0),
        done: AtomicU64::new(0),
    };
    functions.iter().zip(0..).map(share).collect()
}

impl Share<'_> {
    fn take(&self) -> bool {
        self.taken.fetch_add(1, Ordering::Relaxed) < self.asked
    }
}

/// Lets every thread go on to its next stage.
fn open(threads: &[Sender<()>]) {
    for thread in threads {
        // A thread that is gone has told why.
        let _ = thread.send(());
    }
}

fn gather(
    done: &Receiver<Tally>,
    threads: usize,
    shares: &[Share<'_>],
    progress: &dyn Fn(u64),
) -> Vec<Tally> {
    let mut tallies = Vec::with_capacity(threads);
    while tallies.len() < threads {
        match done.recv_timeout(PROGRESS) {
            Ok(tally) => tallies.push(tally),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => progress(total(shares)),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    tallies
}

fn total(shares: &[Share<'_>]) -> u64 {
    shares.iter().map(|share| share.done.load(Ordering::Relaxed)).sum()
}

fn report(
    options: SoakOptions,
    shares: &[Share<'_>],
    tallies: &[Tally],
    vms: usize,
    elapsed: Duration,
    (start, end): (ProcessSample, ProcessSample),
) -> SoakReport {
    let forks = total(shares);
    let failure = tallies.iter().find_map(|tally| tally.failure.clone());
    let count = |share: &Share<'_>| (share.function.name.clone(), share.done.load(Ordering::Relaxed));
    let seconds = elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
    let forks_per_second = forks as f64 / seconds.max(f64::MIN_POSITIVE);
    SoakReport {
        asked: options.forks,
        warm_up: WARM_UP,
        interrupted: failure.is_none() && forks < options.forks,
        forks,
        functions: shares.iter().map(count).collect(),
        vms,
        discarded: tallies.iter().map(|tally| tally.discarded).sum(),
        failure,
        seconds,
        forks_per_second,
        start,
        end,
        leaks: start.leaks(&end),
    }
}

/// What one thread did.
#[derive(Default)]
struct Tally {
    discarded: u64,
    failure: Option<String>,
    kvm: KvmSample,
}

/// A thread with one VM.
struct Thread<'a> {
    share: &'a Share<'a>,
    stop: &'a AtomicBool,
    ready: Sender<Result<KvmSample, BenchError>>,
    done: Sender<Tally>,
    gate: Receiver<()>,
}

impl Thread<'_> {
    /// Warms up, waits, forks, waits with its VM alive. The main thread decides when.
    fn run(self) {
        let mut tally = Tally::default();
        let warm = self.warm_up(&mut tally);
        let (machine, told) = match warm {
            Ok(machine) => {
                let kvm = KvmSample::of(&machine);
                (Some(machine), Ok(kvm))
            }
            Err(error) => (None, Err(error)),
        };
        // Nobody listens any more if another thread could not be made.
        let _ = self.ready.send(told);
        let (Some(mut machine), Ok(())) = (machine, self.gate.recv()) else { return };
        if let Err(error) = self.forks(&mut machine, &mut tally) {
            tally.failure = Some(crate::chain(&error));
            self.stop.store(true, Ordering::Relaxed);
        }
        tally.kvm = KvmSample::of(&machine);
        let _ = self.done.send(tally);
        let _ = self.gate.recv();
        drop(machine);
    }

    fn warm_up(&self, tally: &mut Tally) -> Result<Machine, BenchError> {
        let mut machine = self.share.function.fork()?;
        for _ in 0..WARM_UP {
            self.fork(&mut machine, tally)?;
        }
        Ok(machine)
    }

    fn forks(&self, machine: &mut Machine, tally: &mut Tally) -> Result<(), BenchError> {
        while !self.stop.load(Ordering::Relaxed) && self.share.take() {
            self.fork(machine, tally)?;
            self.share.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn fork(&self, machine: &mut Machine, tally: &mut Tally) -> Result<(), BenchError> {
        self.share.function.invoke(machine, &mut Clock::new())?;
        if machine.restore().is_err() {
            tally.discarded += 1;
            *machine = self.share.function.fork()?;
        }
        Ok(())
    }
}
