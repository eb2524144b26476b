//! A function as the worker holds it: its cell, its places, and what happens when the cell dies.

use super::cell::Cell;
use super::demand::Demand;
use super::fleet::Fleet;
use super::home::Home;
use super::make;
use super::places::Places;
use super::run::{Ran, Run};
use super::shells::{Offer, Take};
use super::spares::{self, Making};
use super::stream;
use super::totals::Totals;
use crate::api::{FunctionSpec, Invocation, InvokeError, Parts, Reply, Timing};
use crate::logs::LogWriter;
use crate::protocol::{Begun, Done, Outcome};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many shells are tried for a request that none of them began.
const TRIES: usize = 4;

/// A function whose parent is built. Dropping the last handle retires its cell.
pub struct Function {
    /// What it was built from.
    pub spec: FunctionSpec,
    totals: Arc<Totals>,
    home: Arc<Home>,
    places: Places,
    demand: Mutex<Demand>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) making_spares: Making,
}

impl Function {
    /// A function whose parent is at `home`.
    pub(crate) fn new(spec: FunctionSpec, home: Arc<Home>, totals: Arc<Totals>, fleet: Arc<Fleet>) -> Self {
        Self {
            places: Places::new(spec.max_concurrency, fleet.clone()),
            demand: Mutex::new(Demand::new(Instant::now())),
            spec,
            totals,
            home,
            fleet,
            making_spares: Making::default(),
        }
    }

    /// Lets go of the memory of a function that nobody has called for `idle`, if it is on disk. A request that comes
    /// meanwhile is served by the cell it has found, or by a new one.
    pub(crate) fn evict(&self, idle: Duration) {
        let unused = self.lock_demand().unused(Instant::now());
        if unused.is_some_and(|unused| unused >= idle) && self.home.evict() {
            tracing::info!(function = self.spec.name, "nobody calls it; its parent is on disk only now");
        }
    }

    pub(crate) async fn invoke(self: &Arc<Self>, invocation: Invocation) -> Result<Reply, InvokeError> {
        let begun = Instant::now();
        let mut place = Some(self.places.place(self.spec.timeout, invocation.feed.is_some()).await?);
        let busy = Busy::new(self);
        let mut feed = invocation.feed;
        let mut last = String::new();
        for _ in 0..TRIES {
            let (cell, is_cold) = match self.home.usable() {
                Some(cell) => (cell, false),
                None => (self.home.cell().await?, true),
            };
            let shell = match self.shell(&cell).await {
                Ok(shell) if is_cold => shell.waited_for_parent(),
                Ok(shell) => shell,
                Err(reason) => {
                    last = reason;
                    continue;
                }
            };
            let Some(held) = place.take() else { break };
            let queue = begun.elapsed();
            let log = LogWriter::new(self.totals.clone(), invocation.request_id.clone());
            let (totals, limit) = (self.totals.clone(), self.spec.timeout);
            let run = Run::new(cell.clone(), totals, shell, log, (held, feed.take()), limit);
            let ran;
            (ran, place, feed) = run.complete(&invocation.payload).await;
            match ran {
                Ran::Done(done, payload) => return self.reply(done, payload, queue),
                Ran::Begun(begun, first, run) => {
                    let rest = stream::follow(self, *run, busy, queue, invocation.request_id);
                    return Ok(reply(&begun, first, queue, Some(rest)));
                }
                Ran::TimedOut => return Err(InvokeError::Timeout(limit)),
                Ran::Starved => return Err(InvokeError::BodyTimeout(limit)),
                Ran::Refused(why) => return Err(InvokeError::BodyRefused(why)),
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

    /// An idle shell, or the next that is idle or made.
    async fn shell(&self, cell: &Arc<Cell>) -> Offer {
        match cell.shells.take() {
            Take::Shell(shell) => Ok(shell),
            Take::Wait { line, make } => {
                if make {
                    self.fleet.make_room();
                    tokio::spawn(make::for_waiting(cell.clone()));
                }
                line.shell().await
            }
        }
    }

    /// How many shells are to be made ahead of demand.
    pub(super) fn missing_spares(&self) -> usize {
        let Some(cell) = self.cell().filter(|cell| cell.is_usable() && self.fleet.has_room()) else {
            return 0;
        };
        let wanted = self.lock_demand().peak(Instant::now()).min(self.spec.max_concurrency.max(1));
        wanted.saturating_sub(cell.shells.count())
    }

    /// Notes in the function's log that the answer to a request broke off.
    pub(super) fn note_broken_off(&self, request_id: &str, error: &InvokeError) {
        self.totals.log.note(request_id, &format!("the response broke off: {error}"));
    }

    pub(super) fn count_spare(&self) {
        self.totals.spares_prepared.fetch_add(1, Ordering::Relaxed);
    }

    fn lock_demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.places.drain().await;
    }

    pub(super) fn reply(&self, done: Done, payload: Bytes, queue: Duration) -> Result<Reply, InvokeError> {
        self.places.ran(Duration::from_nanos(done.begun.run_ns));
        let limit_bytes = self.spec.memory_bytes;
        match done.outcome {
            Outcome::Response => Ok(reply(&done.begun, payload, queue, None)),
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

fn reply(begun: &Begun, payload: Bytes, queue: Duration, rest: Option<Parts>) -> Reply {
    let (fork, run) = (Duration::from_nanos(begun.fork_ns), Duration::from_nanos(begun.run_ns));
    let timing = Timing { queue, fork, run };
    Reply { payload, rest, timing, start: begun.start, instance: hex(&begun.instance) }
}

/// A request that has a place. When it ends, spares are made for what it has shown to be needed.
pub(super) struct Busy {
    function: Arc<Function>,
    begun: Instant,
}

impl Busy {
    fn new(function: &Arc<Function>) -> Self {
        let begun = Instant::now();
        function.lock_demand().enter(begun);
        Self { function: function.clone(), begun }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.function.lock_demand().leave(Instant::now());
        self.function.places.took(self.begun.elapsed());
        spares::replenish(&self.function);
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
