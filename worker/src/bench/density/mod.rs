//! Many live children that have each answered once: what they cost, and whether the last fork is as fast as the first.
//!
//! One process can have 20,000 descriptors or fewer, so the children live in helper processes, as in cells. All share
//! the one parent that this process built.

mod helper;
mod process;
mod protocol;

pub use helper::children_main;

use super::BenchError;
use super::figures::Figures;
use super::function::Function;
use super::host::HostMemory;
use process::Process;
use protocol::Usage;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Children forked between two looks at the memory that is left.
const BATCH: usize = 50;
/// Most children of one process: as many as a cell has by default. More cost each other time: whatever looks at a process's
/// pages asks each of its VMs.
const PER_PROCESS_MAX: usize = 128;
/// Descriptors of one child: its VM and its vCPU.
const DESCRIPTORS: u64 = 2;
/// Descriptors a process has besides.
const DESCRIPTORS_BESIDE: u64 = 64;
/// Memory that is left to the rest of the machine.
const RESERVE_LEAST: u64 = 512 << 20;
/// Children at each end of the run that are compared.
const ENDS: usize = 100;

/// What is forked.
#[derive(Clone, Debug)]
pub struct DensityOptions {
    /// Live children wanted.
    pub count: usize,
    /// Most children of one process; `None`: as many as descriptors allow, up to 128.
    pub per_process: Option<usize>,
    /// Program and arguments that start a helper: this binary with the hidden subcommand `bench-children`.
    pub helper: Vec<PathBuf>,
    /// The KVM device.
    pub kvm: PathBuf,
}

/// What was reached, and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct DensityReport {
    /// The function.
    pub function: String,
    /// Bytes of its parent that exist.
    pub parent_bytes: u64,
    /// Children asked for.
    pub asked: usize,
    /// Children alive at the end.
    pub children: usize,
    /// Why there are not more; `None` if all are there.
    pub stopped: Option<String>,
    /// Processes they live in.
    pub processes: usize,
    /// Threads of these, in all.
    pub threads: u64,
    /// Descriptors of these, in all.
    pub open_files: u64,
    /// From making a child's VM to its answer, all children.
    pub time: Figures,
    /// The median of each tenth, in the order they were forked.
    pub deciles_p50_ns: Vec<u64>,
    /// Median of the last 100 against that of the first 100 (of half of them each, if there are fewer than 200).
    pub last_against_first: f64,
    /// Memory of one child, on average.
    pub child: ChildMemory,
    /// Memory of the whole machine, before, after and by child.
    pub host: KernelMemory,
}

/// Memory of one child on average, as its process's page tables have it. Growth since before the first child.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ChildMemory {
    /// Its own: copied pages, mailbox, stack.
    pub private_bytes: u64,
    /// Its part of what it shares.
    pub shared_pss_bytes: u64,
    /// Both.
    pub pss_bytes: u64,
    /// What it shares and has mapped, counted in full.
    pub shared_mapped_bytes: u64,
}

/// Memory of the machine. Other programs are in it: meaningful where nothing else runs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct KernelMemory {
    /// Before the first process was started.
    pub before: HostMemory,
    /// With all children alive.
    pub after: HostMemory,
    /// Memory that is no longer available, by child: everything counted, processes and kernel included.
    pub available_by_child_bytes: i64,
    /// Growth of the kernel's own memory by child: slab, page tables of both kinds, stacks.
    pub kernel_by_child_bytes: i64,
}

/// Forks until all children live or something runs out. `progress` gets the number of children so far.
pub fn density(
    function: &Function,
    options: &DensityOptions,
    progress: &dyn Fn(usize),
) -> Result<DensityReport, BenchError> {
    let before = HostMemory::now();
    let mut population =
        Population { function, options, processes: Vec::new(), times: Vec::new(), stopped: None };
    while population.times.len() < options.count && population.stopped.is_none() {
        population.grow()?;
        progress(population.times.len());
    }
    let after = HostMemory::now();
    let used = population.processes.iter_mut().map(|process| Ok((process.before, process.measure()?)));
    let used = used.collect::<Result<Vec<_>, BenchError>>()?;
    let Population { times, stopped, .. } = population;
    Ok(report(function, options.count, &times, stopped, &used, (before, after)))
}

/// The children made so far.
struct Population<'a> {
    function: &'a Function,
    options: &'a DensityOptions,
    processes: Vec<Process>,
    /// How long each child took, in nanoseconds.
    times: Vec<u64>,
    /// Why there will not be more.
    stopped: Option<String>,
}

impl Population<'_> {
    /// Makes one batch more, unless something runs out.
    fn grow(&mut self) -> Result<(), BenchError> {
        self.stopped = memory_is_short();
        if self.stopped.is_some() {
            return Ok(());
        }
        let most = self.options.per_process.unwrap_or_else(per_process).max(1);
        if self.processes.last().is_none_or(|process| process.children >= most) {
            match Process::start(self.function, self.options) {
                Ok(process) => self.processes.push(process),
                // The first one says whether it works at all; later ones can meet a limit.
                Err(error) if self.processes.is_empty() => return Err(error),
                Err(error) => self.stopped = Some(error.to_string()),
            }
        }
        let Some(process) = self.processes.last_mut().filter(|process| process.children < most) else {
            return Ok(());
        };
        let batch = BATCH.min(self.options.count - self.times.len()).min(most - process.children);
        let (times, stopped) = process.fork(u32::try_from(batch).unwrap_or(u32::MAX))?;
        self.times.extend(times);
        self.stopped = stopped;
        Ok(())
    }
}

fn report(
    function: &Function,
    asked: usize,
    times: &[u64],
    stopped: Option<String>,
    used: &[(Usage, Usage)],
    (before, after): (HostMemory, HostMemory),
) -> DensityReport {
    let children = times.len();
    let figures = |times: &[u64]| Figures::of(times.iter().map(|time| Duration::from_nanos(*time)));
    let ends = ENDS.min(children / 2);
    let (first, last) = (figures(&times[..ends]), figures(&times[children - ends..]));
    #[expect(clippy::cast_precision_loss, reason = "a ratio is shown with a few digits")]
    let last_against_first = last.p50_ns as f64 / first.p50_ns.max(1) as f64;
    let grown = |field: fn(&Usage) -> u64| -> u64 {
        let sum: u64 = used.iter().map(|(before, after)| field(after).saturating_sub(field(before))).sum();
        sum / (children as u64).max(1)
    };
    DensityReport {
        function: function.name.clone(),
        parent_bytes: function.parent.memory.resident_bytes(),
        asked,
        children,
        stopped,
        processes: used.len(),
        threads: used.iter().map(|(_, after)| after.threads).sum(),
        open_files: used.iter().map(|(_, after)| after.open_files).sum(),
        time: figures(times),
        deciles_p50_ns: deciles(times).map(|tenth| figures(tenth).p50_ns).collect(),
        last_against_first,
        child: ChildMemory {
            private_bytes: grown(|usage| usage.anonymous),
            shared_pss_bytes: grown(|usage| usage.pss_shared),
            pss_bytes: grown(|usage| usage.pss),
            shared_mapped_bytes: grown(|usage| usage.shared),
        },
        host: KernelMemory::of(before, after, children),
    }
}

impl KernelMemory {
    fn of(before: HostMemory, after: HostMemory, children: usize) -> Self {
        let kernel = |memory: &HostMemory| {
            memory.slab_bytes
                + memory.page_tables_bytes
                + memory.sec_page_tables_bytes
                + memory.kernel_stack_bytes
        };
        let by_child = |bytes: i64| bytes / i64::try_from(children.max(1)).unwrap_or(i64::MAX);
        Self {
            before,
            after,
            available_by_child_bytes: by_child(difference(after.available_bytes, before.available_bytes)),
            kernel_by_child_bytes: by_child(difference(kernel(&before), kernel(&after))),
        }
    }
}

fn difference(from: u64, to: u64) -> i64 {
    i64::try_from(i128::from(to) - i128::from(from)).unwrap_or(i64::MAX)
}

/// The tenths of a series, as even as can be; fewer if it has fewer than ten.
fn deciles(times: &[u64]) -> impl Iterator<Item = &[u64]> {
    let bound = |tenth: usize| times.len() * tenth / 10;
    (0..10).map(move |tenth| &times[bound(tenth)..bound(tenth + 1)]).filter(|part| !part.is_empty())
}

fn per_process() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = limit.saturating_sub(DESCRIPTORS_BESIDE) / DESCRIPTORS;
    usize::try_from(most).unwrap_or(usize::MAX).min(PER_PROCESS_MAX)
}

/// Why no more children may be made, if memory is short.
fn memory_is_short() -> Option<String> {
    let total = super::host::kilobytes(&super::host::read("/proc/meminfo"), "MemTotal").unwrap_or(0);
    shortage(total, HostMemory::now().available_bytes)
}

fn shortage(total: u64, left: u64) -> Option<String> {
    let reserve = RESERVE_LEAST.max(total / 20);
    let mib = |bytes: u64| bytes >> 20;
    (left < reserve).then(|| {
        format!(
            "memory would run out: {} MiB are available and {} MiB are left to the rest of the machine",
            mib(left),
            mib(reserve)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_are_even_and_complete() {
        let times: Vec<u64> = (0..25).collect();
        let lengths: Vec<usize> = deciles(&times).map(<[u64]>::len).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 25);
        assert!(lengths.len() == 10 && lengths.iter().all(|len| (2..=3).contains(len)), "{lengths:?}");
        assert_eq!(deciles(&[1, 2, 3]).count(), 3);
        assert_eq!(deciles(&[]).count(), 0);
    }

    #[test]
    fn it_stops_before_memory_runs_out() {
        assert_eq!(shortage(8 << 30, 600 << 20), None);
        let why = shortage(8 << 30, 500 << 20).unwrap();
        assert!(why.contains("500 MiB are available and 512 MiB are left"), "{why}");
        assert!(shortage(64 << 30, 3 << 30).unwrap().contains("3276 MiB are left"));
    }

    #[test]
    fn memory_that_came_back_is_negative() {
        let memory =
            |available_bytes, slab_bytes| HostMemory { available_bytes, slab_bytes, ..Default::default() };
        let taken = KernelMemory::of(memory(1000, 10), memory(400, 40), 3);
        assert_eq!((taken.available_by_child_bytes, taken.kernel_by_child_bytes), (200, 10));
        let given = KernelMemory::of(memory(400, 40), memory(1000, 10), 0);
        assert_eq!((given.available_by_child_bytes, given.kernel_by_child_bytes), (-600, -30));
    }
}
