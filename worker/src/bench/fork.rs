//! Time, exits and faults of every kind of start.

use super::BenchError;
use super::clock::{Clock, Step};
use super::figures::{Counts, Figures};
use super::function::Function;
use super::kinds::{Counters, Kind, Starter};
use serde::Serialize;
use vmm::thread_faults;

/// What was measured of one function.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionReport {
    /// Its name.
    pub function: String,
    /// Bytes of its parent that exist.
    pub parent_bytes: u64,
    /// Each kind of start.
    pub kinds: Vec<KindReport>,
    /// Kinds of start that this function's VMs are not fit for.
    pub unfit: Vec<Unfit>,
}

/// A kind of start that a function's VMs are not fit for.
#[derive(Clone, Debug, Serialize)]
pub struct Unfit {
    /// Its name.
    pub kind: &'static str,
    /// Why.
    pub why: String,
}

/// What was measured of one kind of start. Counters that this kernel does not have are `None`.
#[derive(Clone, Debug, Serialize)]
pub struct KindReport {
    /// Its name.
    pub kind: &'static str,
    /// Invocations measured.
    pub count: usize,
    /// Invocations before those, not measured.
    pub warm_up: usize,
    /// What a request waits for: the sum of the steps on its path.
    pub total: Figures,
    /// The steps, in order.
    pub steps: Vec<StepReport>,
    /// Exits of the VM per invocation.
    pub exits: Option<Counts>,
    /// Page faults of the guest that KVM took, per invocation.
    pub kvm_page_faults: Option<Counts>,
    /// Page faults of the host's thread per invocation, from taking the VM to the answer.
    pub host_page_faults: Counts,
    /// Pages put back after the invocation; `None` where nothing is restored.
    pub pages_restored: Option<Counts>,
}

/// The time of one step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its name.
    pub step: &'static str,
    /// Whether a request waits for it.
    pub on_path: bool,
    /// How long it took.
    #[serde(flatten)]
    pub time: Figures,
}

/// Measures `count` invocations of every kind.
pub fn fork(function: &Function, count: usize) -> Result<FunctionReport, BenchError> {
    let (mut kinds, mut unfit) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        match measure(function, kind, count) {
            Err(BenchError::Unfit(why)) => unfit.push(Unfit { kind: kind.name(), why: why.to_string() }),
            report => kinds.push(report?),
        }
    }
    let parent_bytes = function.parent.memory.resident_bytes();
    Ok(FunctionReport { function: function.name.clone(), parent_bytes, kinds, unfit })
}

fn measure(function: &Function, kind: Kind, count: usize) -> Result<KindReport, BenchError> {
    let mut starter = kind.starter(function);
    for _ in 0..kind.warm_up() {
        invocation(function, starter.as_mut())?;
    }
    // Written before, so that keeping a sample causes no page fault.
    let mut samples = vec![Sample::new(); count];
    for sample in &mut samples {
        *sample = invocation(function, starter.as_mut())?;
    }
    let step = |step: Step| {
        let times: Vec<_> = samples.iter().filter_map(|sample| sample.clock.step(step)).collect();
        let time = Figures::of(times);
        (time.n > 0).then(|| StepReport { step: step.name(), on_path: step.on_path(), time })
    };
    Ok(KindReport {
        kind: kind.name(),
        count,
        warm_up: kind.warm_up(),
        total: Figures::of(samples.iter().map(|sample| sample.clock.total())),
        steps: Step::ALL.into_iter().filter_map(step).collect(),
        exits: Counts::of_known(samples.iter().map(|sample| sample.exits)),
        kvm_page_faults: Counts::of_known(samples.iter().map(|sample| sample.kvm_page_faults)),
        host_page_faults: Counts::of(samples.iter().map(|sample| sample.host_page_faults)),
        pages_restored: Counts::of_known(samples.iter().map(|sample| sample.pages_restored)),
    })
}

/// One invocation.
#[derive(Clone, Copy)]
struct Sample {
    clock: Clock,
    exits: Option<u64>,
    kvm_page_faults: Option<u64>,
    host_page_faults: u64,
    pages_restored: Option<u64>,
}

impl Sample {
    fn new() -> Self {
        Self {
            clock: Clock::new(),
            exits: None,
            kvm_page_faults: None,
            host_page_faults: 0,
            pages_restored: None,
        }
    }
}

fn invocation(function: &Function, starter: &mut dyn Starter) -> Result<Sample, BenchError> {
    let mut sample = Sample::new();
    let clock = &mut sample.clock;
    let started = faults()?;
    clock.resume();
    let mut shell = starter.acquire(clock)?;
    function.enter(&mut shell.machine, clock)?;
    let entered = faults()?;
    let counters = shell.counters.get_or_insert_with(|| Counters::open(&shell.machine));
    let before = counters.read()?;
    let running = faults()?;
    clock.resume();
    function.run(&mut shell.machine, clock)?;
    let answered = faults()?;
    let after = counters.read()?;
    clock.resume();
    sample.pages_restored = starter.release(shell, clock)?;
    let between = |counter: usize| Some(after[counter]?.saturating_sub(before[counter]?));
    (sample.exits, sample.kvm_page_faults) = (between(0), between(1));
    sample.host_page_faults = (entered - started) + (answered - running);
    Ok(sample)
}

/// Faults of this thread, of both kinds.
fn faults() -> Result<u64, BenchError> {
    let faults = thread_faults().map_err(BenchError::host("getrusage(2)"))?;
    Ok(faults.minor.unsigned_abs() + faults.major.unsigned_abs())
}
