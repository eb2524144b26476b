//! A function as the worker holds it: its cell, its places, and what happens when the cell dies.

use super::cell::{Cell, CellConfig};
use super::demand::Demand;
use super::fleet::Fleet;
use super::make;
use super::places::Places;
use super::run::{Ran, Run};
use super::shells::{Offer, Take};
use super::spares::{self, Making};
use super::totals::Totals;
use crate::api::{FunctionSpec, Invocation, InvokeError, PrepareError, Reply, Timing};
use crate::logs::LogWriter;
use crate::protocol::{Done, Outcome};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    cell: Mutex<Arc<Cell>>,
    places: Places,
    demand: Mutex<Demand>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) making_spares: Making,
    rebuilding: tokio::sync::Mutex<Option<(Instant, String)>>,
}

impl Function {
    pub(crate) async fn build(
        spec: FunctionSpec,
        config: CellConfig,
        totals: Arc<Totals>,
        fleet: Arc<Fleet>,
    ) -> Result<Self, PrepareError> {
        let cell = Cell::start(&config, &spec, &totals, &fleet).await?;
        Ok(Self {
            places: Places::new(spec.max_concurrency, fleet.clone()),
            demand: Mutex::new(Demand::new(Instant::now())),
            spec,
            config,
            totals,
            cell: Mutex::new(Arc::new(cell)),
            fleet,
            making_spares: Making::default(),
            rebuilding: tokio::sync::Mutex::new(None),
        })
    }

    pub(crate) async fn invoke(self: &Arc<Self>, invocation: Invocation) -> Result<Reply, InvokeError> {
        let begun = Instant::now();
        let mut place = Some(self.places.place(self.spec.timeout).await?);
        let _busy = Busy::new(self);
        let mut last = String::new();
        for _ in 0..TRIES {
            let cell = self.live_cell().await?;
            let shell = match self.shell(&cell).await {
                Ok(shell) => shell,
                Err(reason) => {
                    last = reason;
                    continue;
                }
            };
            let Some(held) = place.take() else { break };
            let queue = begun.elapsed();
            let log = LogWriter::new(self.totals.clone(), invocation.request_id.clone());
            let run = Run::new(cell.clone(), self.totals.clone(), shell, log, held);
            let (ran, back) = run.complete(&invocation.payload, self.spec.timeout).await;
            place = back;
            match ran {
                Ran::Done(done, payload) => return self.reply(done, payload, queue),
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
        let cell = self.cell();
        if cell.is_gone() || !self.fleet.has_room() {
            return 0;
        }
        let wanted = self.lock_demand().peak(Instant::now()).min(self.spec.max_concurrency.max(1));
        wanted.saturating_sub(cell.shells.count())
    }

    pub(super) fn count_spare(&self) {
        self.totals.spares_prepared.fetch_add(1, Ordering::Relaxed);
    }

    fn lock_demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
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
        tracing::warn!(
            function = self.spec.name,
            pid = cell.pid,
            "the cell is gone; building the parent again"
        );
        match Cell::start(&self.config, &self.spec, &self.totals, &self.fleet).await {
            Ok(cell) => {
                let cell = Arc::new(cell);
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

    pub(crate) fn cell(&self) -> Arc<Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// No new requests, and waits for the running ones.
    pub(crate) async fn drain(&self) {
        self.places.drain().await;
    }

    fn reply(&self, done: Done, payload: Bytes, queue: Duration) -> Result<Reply, InvokeError> {
        let limit_bytes = self.spec.memory_bytes;
        match done.outcome {
            Outcome::Response => Ok(Reply {
                payload,
                timing: Timing {
                    queue,
                    fork: Duration::from_nanos(done.fork_ns),
                    run: Duration::from_nanos(done.run_ns),
                },
                start: done.start,
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

/// A request that has a place. When it ends, spares are made for what it has shown to be needed.
struct Busy {
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
