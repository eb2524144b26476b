//! A function as the worker holds it: its cell, its places, and what happens when the cell dies.

use super::cell::{Cell, CellConfig};
use super::parents::{HeldParent, Origin, Runtimes};
use super::run::{Ran, Run};
use super::shells::Shell;
use super::totals::Totals;
use crate::api::{FunctionSpec, Invocation, InvokeError, PrepareError, Reply, Timing};
use crate::logs::LogWriter;
use crate::protocol::{Done, Outcome};
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most requests of one function that wait for a place.
const QUEUE_MAX: usize = 1024;
/// How many shells are tried for a request that none of them began.
const TRIES: usize = 4;
/// After a failed rebuild, how long requests are refused before the next attempt.
const REBUILD_PAUSE: Duration = Duration::from_secs(2);

/// A function whose parent is built. Dropping the last handle retires its cell.
pub struct Function {
    /// What it was built from.
    pub spec: FunctionSpec,
    config: CellConfig,
    totals: Arc<Totals>,
    runtimes: Arc<Runtimes>,
    cell: Mutex<Arc<Cell>>,
    /// What its cells are given, so that a cell that dies costs no build.
    parent: Mutex<Arc<HeldParent>>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    rebuilding: tokio::sync::Mutex<Option<(Instant, String)>>,
}

impl Function {
    pub(crate) async fn build(
        spec: FunctionSpec,
        config: CellConfig,
        totals: Arc<Totals>,
        runtimes: Arc<Runtimes>,
    ) -> Result<Self, PrepareError> {
        let (cell, parent) = build_parent(&spec, &config, &totals, &runtimes).await?;
        Ok(Self {
            places: Arc::new(Semaphore::new(spec.max_concurrency.max(1))),
            spec,
            config,
            totals,
            runtimes,
            cell: Mutex::new(Arc::new(cell)),
            parent: Mutex::new(parent),
            waiting: AtomicUsize::new(0),
            rebuilding: tokio::sync::Mutex::new(None),
        })
    }

    pub(crate) async fn invoke(self: &Arc<Self>, invocation: Invocation) -> Result<Reply, InvokeError> {
        let begun = Instant::now();
        let mut permit = Some(self.place().await?);
        let mut last = String::new();
        for attempt in 0..TRIES {
            let cell = self.live_cell().await?;
            // An idle shell may be found unfit any moment, a new one is not.
            let idle = if attempt == 0 { cell.shells.take_idle() } else { None };
            let shell = idle.map_or_else(|| new_shell(&cell), Ok)?;
            let Some(held) = permit.take() else { break };
            let queue = begun.elapsed();
            let log = LogWriter::new(self.totals.clone(), invocation.request_id.clone());
            let run = Run::new(cell.clone(), self.totals.clone(), shell, log, held);
            let start = run.start_kind();
            let (ran, back) = run.complete(&invocation.payload, self.spec.timeout).await;
            permit = back;
            if !matches!(ran, Ran::NotBegun(_) | Ran::NotTaken(_)) {
                self.totals.forked(start);
            }
            match ran {
                Ran::Done(done, payload) => return self.reply(done, payload, queue, start),
                Ran::TimedOut => return Err(InvokeError::Timeout(self.spec.timeout)),
                Ran::NotBegun(reason) => last = reason,
                Ran::NotTaken(reason) => {
                    last = reason;
                    cell.ending().await;
                }
                Ran::Lost(reason) => return Err(InvokeError::Platform(reason)),
            }
        }
        Err(InvokeError::Platform(format!("no VM could be made for the request: {last}")))
    }

    /// A place for one live VM; waits in a bounded queue.
    async fn place(&self) -> Result<OwnedSemaphorePermit, InvokeError> {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let overloaded = || InvokeError::Overloaded {
            limit: self.spec.max_concurrency,
            retry_after: Duration::from_secs(1),
        };
        let _waiting = Waiting::enter(&self.waiting).ok_or_else(overloaded)?;
        match tokio::time::timeout(self.spec.timeout, self.places.clone().acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| InvokeError::ShuttingDown),
            Err(_) => Err(overloaded()),
        }
    }

    /// The cell, built anew if the last one died.
    async fn live_cell(self: &Arc<Self>) -> Result<Arc<Cell>, InvokeError> {
        let cell = self.cell();
        if !cell.is_gone() {
            return Ok(cell);
        }
        // A task of its own, so that it comes to its end however impatient the clients are.
        let function = Arc::clone(self);
        let rebuilt = tokio::spawn(async move { function.rebuild().await });
        rebuilt.await.map_err(|error| InvokeError::Platform(format!("a rebuild was broken off: {error}")))?
    }

    async fn rebuild(&self) -> Result<Arc<Cell>, InvokeError> {
        let mut failed = self.rebuilding.lock().await;
        let cell = self.cell();
        if !cell.is_gone() {
            return Ok(cell);
        }
        if let Some((when, why)) = &*failed
            && when.elapsed() < REBUILD_PAUSE
        {
            return Err(InvokeError::NotReady(why.clone()));
        }
        tracing::warn!(function = self.spec.name, pid = cell.pid, "the cell is gone; starting another");
        match self.start_cell().await {
            Ok((cell, parent)) => {
                let cell = Arc::new(cell);
                *self.parent.lock().unwrap_or_else(PoisonError::into_inner) = parent;
                *self.cell.lock().unwrap_or_else(PoisonError::into_inner) = cell.clone();
                *failed = None;
                Ok(cell)
            }
            Err(error) => {
                let why = error.to_string();
                *failed = Some((Instant::now(), why.clone()));
                Err(InvokeError::NotReady(why))
            }
        }
    }

    /// A cell with the parent there is; if that cannot be, with a new one.
    async fn start_cell(&self) -> Result<(Cell, Arc<HeldParent>), PrepareError> {
        let held = Origin::Held(self.parent.lock().unwrap_or_else(PoisonError::into_inner).clone());
        match Cell::start(&self.config, &self.spec, &held, &self.totals).await {
            Ok(started) => Ok(started),
            Err(error) => {
                tracing::warn!(function = self.spec.name, %error, "its parent cannot be used; building it again");
                build_parent(&self.spec, &self.config, &self.totals, &self.runtimes).await
            }
        }
    }

    pub(crate) fn cell(&self) -> Arc<Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// No new requests, and waits for the running ones.
    pub(crate) async fn drain(&self) {
        let all = u32::try_from(self.spec.max_concurrency.max(1)).unwrap_or(u32::MAX);
        // Holding every place means that nobody else has one.
        let all_places = self.places.acquire_many(all).await;
        self.places.close();
        drop(all_places);
    }

    fn reply(
        &self,
        done: Done,
        payload: Bytes,
        queue: Duration,
        start: crate::api::StartKind,
    ) -> Result<Reply, InvokeError> {
        let limit_bytes = self.spec.memory_bytes;
        match done.outcome {
            Outcome::Response => Ok(Reply {
                payload,
                timing: Timing {
                    queue,
                    fork: Duration::from_nanos(done.fork_ns),
                    run: Duration::from_nanos(done.run_ns),
                },
                start,
                instance: hex(&done.instance),
            }),
            Outcome::Exit(_) | Outcome::Signal { .. } if done.memory_refused => {
                Err(InvokeError::OutOfMemory { limit_bytes })
            }
            Outcome::Exit(status) => Err(InvokeError::Exited { status }),
            Outcome::Signal { number, address } => {
                Err(InvokeError::Killed { number, name: crate::names::signal(number), address })
            }
            Outcome::ResponseTooLarge => {
                Err(InvokeError::ResponseTooLarge { limit_bytes: abi::mailbox::RESPONSE_MAX })
            }
            Outcome::RequestTooLarge => {
                Err(InvokeError::RequestTooLarge { limit_bytes: abi::mailbox::REQUEST_MAX })
            }
            Outcome::Killed => Err(InvokeError::Timeout(self.spec.timeout)),
            Outcome::Fault(what) => Err(InvokeError::GuestFault(what)),
            Outcome::Platform(what) => Err(InvokeError::Platform(what)),
        }
    }
}

/// Starts a cell that builds the parent: of the runtime's parent if the function allows, else by booting.
async fn build_parent(
    spec: &FunctionSpec,
    config: &CellConfig,
    totals: &Arc<Totals>,
    runtimes: &Runtimes,
) -> Result<(Cell, Arc<HeldParent>), PrepareError> {
    let shared = runtimes::launch::share(&spec.runtime, &spec.command, &spec.env, spec.memory_bytes);
    let origin = match shared {
        None => Origin::Boot { awaits_function: false },
        Some(shared) => {
            let runtime = runtimes.parent(&spec.runtime, &shared, config).await?;
            Origin::Specialize { runtime, document: shared.document }
        }
    };
    Cell::start(config, spec, &origin, totals).await
}

fn new_shell(cell: &Cell) -> Result<Shell, InvokeError> {
    let (shell, command, socket) = cell
        .shells
        .add()
        .map_err(|error| InvokeError::Platform(format!("could not make a socket for a VM: {error}")))?;
    cell.command(command, vec![socket]);
    Ok(shell)
}

/// One request in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_and_places_come_back() {
        let count = AtomicUsize::new(0);
        let queue: Vec<_> = (0..QUEUE_MAX).map_while(|_| Waiting::enter(&count)).collect();
        assert_eq!(queue.len(), QUEUE_MAX);
        assert!(Waiting::enter(&count).is_none());
        drop(queue);
        assert!(Waiting::enter(&count).is_some());
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
