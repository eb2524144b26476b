//! The cell's side: takes page faults, asks for chunks, wakes.

use super::extents::extents;
use super::mappings::{ChunkId, Health, Info, Mappings, Verdict};
use crate::source::ChunkTable;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use vmm::{Kicker, LazyMapping, Paging, Registered, Userfault};

/// Carries requests to whoever fills the memories.
pub trait ChunkRequests: Send + Sync {
    /// Asks for a chunk. Called on the thread that takes the faults, so it must not wait. The answer is
    /// [`FaultHandler::filled`] or [`FaultHandler::failed`]; if none can come any more,
    /// [`FaultHandler::fail_all`].
    fn request(&self, memory: u64, chunk: usize);
}

/// What a handler has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandlerCounters {
    /// Faults taken.
    pub faults: u64,
    /// Chunks asked for.
    pub requests: u64,
    /// Faults on pages that are zero.
    pub zeros: u64,
    /// Faults that ended with an error.
    pub failures: u64,
}

#[derive(Default)]
struct Counters {
    faults: AtomicU64,
    requests: AtomicU64,
    zeros: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    mappings: Mappings,
    memories: HashMap<u64, Weak<Info>>,
    stopping: bool,
}

struct Shared {
    userfault: Userfault,
    /// Ends a wait of the thread.
    bell: OwnedFd,
    requests: Box<dyn ChunkRequests>,
    counters: Counters,
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultHandler").finish_non_exhaustive()
    }
}

/// Takes the page faults of a process on lazy memories. When it is dropped, faults that wait and all later ones
/// fail; its thread stays until the last mapping is gone.
#[derive(Debug)]
pub struct FaultHandler(Arc<Shared>);

impl FaultHandler {
    /// Starts the thread. `device` is `/dev/userfaultfd`, opened by somebody who may.
    pub fn start(
        device: Option<BorrowedFd<'_>>,
        requests: Box<dyn ChunkRequests>,
    ) -> io::Result<FaultHandler> {
        let shared = Arc::new(Shared {
            userfault: Userfault::new(device)?,
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            requests,
            counters: Counters::default(),
            state: Mutex::default(),
        });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("page-faults".to_owned()).spawn(move || thread.run())?;
        Ok(FaultHandler(shared))
    }

    /// Makes a memory known. Give the result to [`vmm::ParentMemory::from_lazy_fd`]. Numbers are the caller's.
    pub fn memory(&self, id: u64, table: ChunkTable) -> Arc<LazyMemory> {
        let extents = extents(table.chunks());
        let info = Arc::new(Info::new(id, table));
        self.0.state().memories.insert(id, Arc::downgrade(&info));
        Arc::new(LazyMemory { info, extents, shared: Arc::clone(&self.0) })
    }

    /// A chunk is in place.
    pub fn filled(&self, memory: u64, chunk: usize) {
        let mut state = self.0.state();
        if let Some(info) = state.memory(memory) {
            info.set_filled(chunk);
        }
        let faults = state.mappings.take((memory, chunk));
        self.0.wake(&faults);
    }

    /// A chunk cannot be had: whoever waits for it fails. The next fault on it asks again.
    pub fn failed(&self, memory: u64, chunk: usize, reason: &str) {
        let mut state = self.0.state();
        let faults = state.mappings.take((memory, chunk));
        self.0.fail(&state, &faults, &reason.into());
    }

    /// All chunks of a memory are in place: mappings made from now on need nobody.
    pub fn complete(&self, memory: u64) {
        let mut state = self.0.state();
        if let Some(info) = state.memory(memory) {
            info.set_complete();
        }
        let faults = state.mappings.take_all(Some(memory));
        self.0.wake(&faults);
    }

    /// Nothing will come any more, because the connection to the worker is lost, say.
    pub fn fail_all(&self, reason: &str) {
        self.0.fail_all(reason);
    }

    /// What has happened so far.
    pub fn counters(&self) -> HandlerCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { faults, requests, zeros, failures } = &self.0.counters;
        HandlerCounters {
            faults: read(faults),
            requests: read(requests),
            zeros: read(zeros),
            failures: read(failures),
        }
    }
}

impl Drop for FaultHandler {
    fn drop(&mut self) {
        self.0.state().stopping = true;
        self.0.fail_all("the fault handler was stopped");
        self.0.ring();
    }
}

impl State {
    fn memory(&self, id: u64) -> Option<Arc<Info>> {
        self.memories.get(&id).and_then(Weak::upgrade)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete at any point where it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // Full means that it has been rung.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Serves until it is told to stop. After a crash everything fails, but is served all the same: a fault that
    /// nobody takes would wait for ever, and closing the descriptor would put zeros into the memfd for everybody.
    fn run(&self) {
        let reason = match catch_unwind(AssertUnwindSafe(|| self.serve())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("the fault handler failed: {error}"),
            Err(_) => "the fault handler crashed".to_owned(),
        };
        self.fail_all(&reason);
        if self.serve().is_err() {
            // Not even that is possible. The end of the process is the only thing that frees those who wait.
            std::process::abort();
        }
    }

    fn serve(&self) -> io::Result<()> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.userfault.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result?,
            };
            if !fds[1].revents().is_empty() {
                let _ = rustix::io::read(&self.bell, &mut [0_u8; 8]);
                let state = self.state();
                if state.stopping && state.mappings.is_empty() {
                    return Ok(());
                }
            }
            for address in self.userfault.faults()? {
                self.handle(address);
            }
        }
    }

    fn handle(&self, address: u64) {
        count(&self.counters.faults, 1);
        if let Some((memory, chunk)) = self.judge(address) {
            count(&self.counters.requests, 1);
            self.requests.request(memory, chunk);
        }
    }

    /// Deals with a fault as far as possible here; what is left is a chunk to ask for. The lock is held while the
    /// address is used, so that the mapping stays.
    fn judge(&self, address: u64) -> Option<ChunkId> {
        let mut state = self.state();
        match state.mappings.fault(address) {
            Verdict::Gone | Verdict::Wait => None,
            Verdict::Wake => {
                self.wake(&[address]);
                None
            }
            Verdict::Zero => {
                count(&self.counters.zeros, 1);
                // The only error of a registered page is lack of memory, and then the fault comes again.
                self.userfault.zero(address).or_else(|_| self.userfault.wake(address)).ok();
                None
            }
            Verdict::Fail(reason) => {
                self.fail(&state, &[address], &reason);
                None
            }
            Verdict::Ask(chunk) => Some(chunk),
        }
    }

    fn wake(&self, faults: &[u64]) {
        for &address in faults {
            // Fails only where nothing is registered, so nobody waits.
            let _ = self.userfault.wake(address);
        }
    }

    fn fail(&self, state: &State, faults: &[u64], reason: &Arc<str>) {
        count(&self.counters.failures, faults.len() as u64);
        for &address in faults {
            state.mappings.fail(address, reason);
            self.userfault.zero(address).or_else(|_| self.userfault.wake(address)).ok();
        }
    }

    fn fail_all(&self, reason: &str) {
        let mut state = self.state();
        let reason = Arc::clone(state.mappings.over.get_or_insert_with(|| reason.into()));
        let faults = state.mappings.take_all(None);
        self.fail(&state, &faults, &reason);
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// One memory of a [`FaultHandler`].
#[derive(Debug)]
pub struct LazyMemory {
    info: Arc<Info>,
    /// Where faults are taken; elsewhere a missing page is zero, and nobody's business.
    extents: Vec<Range<u64>>,
    shared: Arc<Shared>,
}

impl Paging for LazyMemory {
    fn on_map(&self, mapping: &LazyMapping<'_>) -> io::Result<Option<Box<dyn Registered>>> {
        if self.info.is_complete() {
            return Ok(None);
        }
        for bytes in &self.extents {
            mapping.register(&self.shared.userfault, bytes.clone())?;
        }
        let health = Arc::new(Health::default());
        let address = mapping.address();
        self.shared.state().mappings.add(address, mapping.len(), &self.info, &health);
        Ok(Some(Box::new(Guard { address, health, shared: Arc::clone(&self.shared) })))
    }
}

impl Drop for LazyMemory {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let is_mine = |known: &Weak<Info>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&self.info));
        if state.memories.get(&self.info.id).is_some_and(is_mine) {
            state.memories.remove(&self.info.id);
        }
    }
}

/// A mapping that faults are taken for.
struct Guard {
    address: u64,
    health: Arc<Health>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Registered for Guard {
    fn failure(&self) -> Option<String> {
        self.health.reason().map(|reason| format!("a page of the parent could not be had: {reason}"))
    }

    fn watch(&self, kicker: Kicker) {
        self.health.watch(kicker);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.mappings.remove(self.address);
        if state.stopping {
            self.shared.ring();
        }
    }
}
