//! A function as the worker holds it: its cell, its places, and what happens when the cell dies.

use super::cell::Cell;
use super::home::Home;
use super::run::{Ran, Run};
use super::shells::Shell;
use super::totals::Totals;
use crate::api::{FunctionSpec, Invocation, InvokeError, Reply, Timing};
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

/// A function whose parent is built. Dropping the last handle retires its cell.
pub struct Function {
    /// What it was built from.
    pub spec: FunctionSpec,
    totals: Arc<Totals>,
    home: Arc<Home>,
    last_used: Mutex<Instant>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Function {
    /// A function whose parent is at `home`.
    pub(crate) fn new(spec: FunctionSpec, home: Arc<Home>, totals: Arc<Totals>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(spec.max_concurrency.max(1))),
            spec,
            totals,
            home,
            last_used: Mutex::new(Instant::now()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Lets go of the memory of a function that nobody has called for `idle`, if it is on disk.
    pub(crate) fn evict(&self, idle: Duration) {
        let all = u32::try_from(self.spec.max_concurrency.max(1)).unwrap_or(u32::MAX);
        // Holding every place means that nobody else has one.
        let Ok(_places) = self.places.try_acquire_many(all) else { return };
        let unused = self.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if unused >= idle && self.home.evict() {
            tracing::info!(function = self.spec.name, "nobody calls it; its parent is on disk only now");
        }
    }

    pub(crate) async fn invoke(self: &Arc<Self>, invocation: Invocation) -> Result<Reply, InvokeError> {
        let begun = Instant::now();
        let mut permit = Some(self.place().await?);
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = begun;
        let mut last = String::new();
        for attempt in 0..TRIES {
            let cell = self.home.cell().await?;
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

    /// The cell, if there is one.
    pub(crate) fn cell(&self) -> Option<Arc<Cell>> {
        self.home.current()
    }

    /// Where its parent is.
    pub(crate) fn home(&self) -> &Home {
        &self.home
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
