//! All VMs of this worker: how many there may be, and who gives one up.

use super::admission::Admission;
use super::function::Function;
use super::pressure::Source;
use super::shells::{Shells, Trim};
use super::turns::Turns;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most requests that wait for a place on this worker, of all functions.
const QUEUE_MAX: usize = 4096;
/// How long a function is idle before its parent leaves the memory of a machine that is short of it.
const SHORT_IDLE: Duration = Duration::from_secs(10);
/// Bytes of memory planned for one VM: what a live Python VM has of its own, and what the kernel keeps for it
/// (docs/PERFORMANCE.md, Memory).
const VM_BYTES: u64 = 2 << 20;
/// Least and most VMs derived from the machine.
const VMS_LEAST: u64 = 16;
const VMS_MOST: u64 = 20_000;

/// Most VMs at once where nothing is configured: half the descriptors this process may open (a VM takes one here),
/// and as many as fit into three quarters of memory.
pub(crate) fn max_vms(descriptors: u64, memory: u64) -> usize {
    let most = (descriptors / 2).min(memory / 4 * 3 / VM_BYTES).clamp(VMS_LEAST, VMS_MOST);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// What all functions of a worker share.
pub(crate) struct Fleet {
    pub(super) admission: Arc<Admission>,
    pub(super) turns: Turns,
    /// Places for requests of all functions that go on while they run, and how many there are.
    pub(super) lasting: (Arc<Semaphore>, usize),
    max_vms: usize,
    vms: AtomicUsize,
    /// The machine is short of memory.
    short: AtomicBool,
    processors: usize,
    functions: Mutex<Vec<Weak<Function>>>,
    /// Pools of all cells.
    pools: Mutex<Vec<Weak<Shells>>>,
    next_owner: AtomicU64,
}

/// One live VM.
pub(super) struct VmCount(Arc<Fleet>);

impl Drop for VmCount {
    fn drop(&mut self) {
        self.0.vms.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fleet {
    pub(crate) fn new(max_vms: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let lasting_max = (max_vms / 4 * 3).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            admission: Arc::new(Admission::new(max_vms, QUEUE_MAX)),
            lasting: (Arc::new(Semaphore::new(lasting_max)), lasting_max),
            max_vms,
            vms: AtomicUsize::new(0),
            short: AtomicBool::new(false),
            turns: Turns::new(processors),
            processors,
            functions: Mutex::default(),
            pools: Mutex::default(),
            next_owner: AtomicU64::new(0),
        }
    }

    /// A number that tells a function from all others.
    pub(super) fn owner(&self) -> u64 {
        self.next_owner.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a function to those that are looked after.
    pub(crate) fn add(&self, function: &Arc<Function>) {
        add(&self.functions, function);
    }

    /// All functions.
    pub(crate) fn functions(&self) -> Vec<Arc<Function>> {
        lock(&self.functions).iter().filter_map(Weak::upgrade).collect()
    }

    /// Adds a pool, so that its idle VMs can be ended for want of room or memory.
    pub(super) fn add_pool(&self, pool: &Arc<Shells>) {
        add(&self.pools, pool);
    }

    fn pools(&self) -> Vec<Arc<Shells>> {
        lock(&self.pools).iter().filter_map(Weak::upgrade).collect()
    }

    /// Counts one VM for as long as it lives.
    pub(super) fn count_vm(self: &Arc<Self>) -> VmCount {
        self.vms.fetch_add(1, Ordering::Relaxed);
        VmCount(self.clone())
    }

    /// Live VMs, and most there may be.
    pub(crate) fn vms(&self) -> (usize, usize) {
        (self.vms.load(Ordering::Relaxed), self.max_vms)
    }

    /// Whether the machine was short of memory when it was last looked at.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Whether there may be a VM nobody waits for.
    pub(super) fn has_room(&self) -> bool {
        self.vms.load(Ordering::Relaxed) < self.max_vms && !self.is_short()
    }

    /// Waits until a processor is free of requests.
    pub(super) async fn quiet(&self) {
        self.admission.quiet(self.processors).await;
    }

    /// Ends idle VMs if there are as many as there may be, for one that a request waits for. A request that waits has a
    /// place, so if all VMs are at the limit one of them is idle or about to be.
    pub(super) fn make_room(&self) {
        let too_many = (self.vms.load(Ordering::Relaxed) + 1).saturating_sub(self.max_vms);
        if too_many > 0 {
            trim_oldest(&self.pools(), too_many, Trim::Room);
        }
    }

    /// Looks at the machine's memory and gives back what idle VMs hold if it is short.
    pub(crate) fn relieve(&self, source: &mut dyn Source) {
        let short = source.memory().is_ok_and(|memory| memory.is_short());
        self.short.store(short, Ordering::Relaxed);
        if short {
            for function in self.functions() {
                function.evict(SHORT_IDLE);
            }
            let ended = trim_half(&self.pools());
            if ended > 0 {
                tracing::warn!(ended, "the machine is short of memory; idle VMs were ended");
            }
        }
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to a list of what lives elsewhere, and forgets what is gone.
fn add<T>(list: &Mutex<Vec<Weak<T>>>, one: &Arc<T>) {
    let mut list = lock(list);
    list.retain(|other| other.strong_count() > 0);
    list.push(Arc::downgrade(one));
}

/// Ends half of all idle VMs, the longest idle first, whosever they are. Returns how many.
fn trim_half(pools: &[Arc<Shells>]) -> usize {
    let idle: usize = pools.iter().map(|pool| pool.idle_since().len()).sum();
    trim_oldest(pools, idle.div_ceil(2), Trim::Pressure)
}

/// Ends the `count` VMs that have been idle for longest.
fn trim_oldest(pools: &[Arc<Shells>], count: usize, why: Trim) -> usize {
    let mut idle: Vec<_> =
        pools.iter().flat_map(|pool| pool.idle_since().into_iter().map(move |since| (since, pool))).collect();
    idle.sort_by_key(|(since, _)| *since);
    // One that has been taken meanwhile is not idle any more, and the next of that pool is ended in its place.
    idle.into_iter().take(count).filter(|(_, pool)| pool.trim_oldest(why)).count()
}

#[cfg(test)]
mod tests;
