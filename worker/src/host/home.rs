//! Where a function's parent is: in a cell, held by the worker, or on disk only.
//!
//! ```text
//!  build ------------------.                       .---- evict ----.
//!                          v                       |               v
//!  resume --> on disk --> in a cell <--> held (the cell died)   on disk
//!                ^---- request ----'
//! ```
//!
//! Whatever cannot be taken up from where it should be is built from the package again.

use super::archive::{Archive, Label};
use super::cell::{Cell, CellConfig};
use super::fleet::Fleet;
use super::parents::{HeldParent, Origin, Runtimes};
use super::totals::Totals;
use crate::api::{FunctionSpec, InvokeError, PrepareError};
use crate::chain;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After a failed start, how long requests are refused before the next attempt.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// What parents are made with.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) config: CellConfig,
    pub(crate) runtimes: Arc<Runtimes>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) fleet: Arc<Fleet>,
}

/// The parent of one function, wherever it is.
pub(crate) struct Home {
    spec: FunctionSpec,
    label: Label,
    workshop: Workshop,
    totals: Arc<Totals>,
    state: Mutex<State>,
    /// Held while a cell is being started; when and why that failed last.
    starting: tokio::sync::Mutex<Option<(Instant, String)>>,
}

#[derive(Default)]
struct State {
    cell: Option<Arc<Cell>>,
    parent: Option<Arc<HeldParent>>,
}

impl Home {
    /// Builds the parent.
    pub(crate) async fn build(
        spec: FunctionSpec,
        workshop: Workshop,
        totals: Arc<Totals>,
    ) -> Result<Arc<Home>, PrepareError> {
        let home = Arc::new(Home::empty(spec, workshop, totals));
        let (cell, parent) = home.build_parent().await?;
        home.settle(cell, parent);
        Ok(home)
    }

    /// Takes up the parent from its snapshot when it is needed; builds it if there is none that can be used.
    pub(crate) async fn resume(
        spec: FunctionSpec,
        workshop: Workshop,
        totals: Arc<Totals>,
    ) -> Result<Arc<Home>, PrepareError> {
        let home = Arc::new(Home::empty(spec, workshop, totals));
        let seeker = home.clone();
        let found = blocking(move || seeker.workshop.archive.find(&seeker.label)).await?;
        if let Err(error) = found {
            tracing::info!(
                function = home.spec.name,
                why = chain(&error),
                "no snapshot to take up; building the parent"
            );
            let (cell, parent) = home.build_parent().await?;
            home.settle(cell, parent);
        }
        Ok(home)
    }

    fn empty(spec: FunctionSpec, workshop: Workshop, totals: Arc<Totals>) -> Home {
        let label = Label::function(&spec, &workshop.config.root_sha256);
        Home {
            spec,
            label,
            workshop,
            totals,
            state: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
        }
    }

    /// What its snapshot is known by.
    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    /// The cell, if there is one. It may have ended.
    pub(crate) fn current(&self) -> Option<Arc<Cell>> {
        self.lock().cell.clone()
    }

    /// The cell, and the parent with it, if it can be used.
    pub(crate) fn usable(&self) -> Option<Arc<Cell>> {
        self.current().filter(|cell| cell.is_usable())
    }

    /// The live cell, started if need be.
    pub(crate) async fn cell(self: &Arc<Self>) -> Result<Arc<Cell>, InvokeError> {
        if let Some(cell) = self.usable() {
            return Ok(cell);
        }
        // A task of its own, so that it comes to its end however impatient the clients are.
        let home = Arc::clone(self);
        let started = tokio::spawn(async move { home.start().await });
        started.await.map_err(|error| InvokeError::Platform(format!("a start was broken off: {error}")))?
    }

    async fn start(self: &Arc<Self>) -> Result<Arc<Cell>, InvokeError> {
        let mut failed = self.starting.lock().await;
        if let Some(cell) = self.usable() {
            return Ok(cell);
        }
        if let Some((when, why)) = &*failed
            && when.elapsed() < RETRY_PAUSE
        {
            return Err(InvokeError::NotReady(why.clone()));
        }
        match self.start_cell().await {
            Ok((cell, parent)) => {
                *failed = None;
                Ok(self.settle(cell, parent))
            }
            Err(error) => {
                let why = error.to_string();
                *failed = Some((Instant::now(), why.clone()));
                Err(InvokeError::NotReady(why))
            }
        }
    }

    /// A cell with the parent there is, in memory or on disk; if that cannot be, with a new one.
    async fn start_cell(self: &Arc<Self>) -> Result<(Cell, Arc<HeldParent>), PrepareError> {
        let held = self.lock().parent.clone();
        if held.is_some() {
            tracing::warn!(function = self.spec.name, "the cell is gone; starting another");
        }
        if held.as_ref().is_some_and(|held| held.paged().is_some_and(|paged| paged.is_broken())) {
            return self.build_parent().await;
        }
        let taken = match held {
            Some(held) => Ok(held),
            None => self.load().await,
        };
        let started = match taken {
            Ok(parent) => {
                let origin = Origin::Held(parent);
                Cell::start(
                    &self.workshop.config,
                    &self.spec,
                    &self.label,
                    &origin,
                    &self.totals,
                    &self.workshop.fleet,
                )
                .await
            }
            Err(error) => Err(error),
        };
        match started {
            Ok(started) => Ok(started),
            Err(error) => {
                tracing::warn!(function = self.spec.name, %error, "its parent cannot be used; building it again");
                self.build_parent().await
            }
        }
    }

    /// The parent from its snapshot.
    async fn load(self: &Arc<Self>) -> Result<Arc<HeldParent>, PrepareError> {
        let runtime = match self.shared() {
            None => None,
            Some(shared) => {
                Some(self.workshop.runtimes.parent(&self.spec.runtime, &shared, &self.workshop).await?)
            }
        };
        let home = Arc::clone(self);
        let loaded = blocking(move || {
            if let Some(runtime) = &runtime {
                runtime.save(&home.workshop.archive)?;
            }
            home.workshop.archive.load(&home.label, runtime.as_ref())
        });
        let parent = loaded.await?.map_err(|error| PrepareError::Platform(chain(&error)))?;
        self.totals.parent_loads.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(parent))
    }

    /// How it is made of its runtime's parent, if it can be.
    fn shared(&self) -> Option<runtimes::launch::Shared> {
        let spec = &self.spec;
        runtimes::launch::share(&spec.runtime, &spec.command, &spec.env, spec.memory_bytes)
    }

    /// Starts a cell that builds the parent: of the runtime's parent if the function allows, else by booting.
    async fn build_parent(&self) -> Result<(Cell, Arc<HeldParent>), PrepareError> {
        let (spec, workshop) = (&self.spec, &self.workshop);
        let origin = match self.shared() {
            None => Origin::Boot { awaits_function: false },
            Some(shared) => {
                let runtime = workshop.runtimes.parent(&spec.runtime, &shared, workshop).await?;
                Origin::Specialize { runtime, document: shared.document }
            }
        };
        Cell::start(&workshop.config, spec, &self.label, &origin, &self.totals, &self.workshop.fleet).await
    }

    /// Takes a started cell and its parent, and sees to it that the parent is saved.
    fn settle(self: &Arc<Self>, cell: Cell, parent: Arc<HeldParent>) -> Arc<Cell> {
        let cell = Arc::new(cell);
        *self.lock() = State { cell: Some(cell.clone()), parent: Some(parent.clone()) };
        parent.save_later(&self.workshop.archive);
        if parent.learnt().is_none() {
            let (learnt, archive) = (cell.learnt(), self.workshop.archive.clone());
            tokio::spawn(async move {
                if let Some(learnt) = learnt.await {
                    parent.learn(learnt, &archive);
                }
            });
        }
        cell
    }

    /// Lets go of cell and parent if the parent is on disk. The caller sees to it that nothing runs.
    pub(crate) fn evict(&self) -> bool {
        let mut state = self.lock();
        let saved = state.parent.as_ref().is_some_and(|parent| parent.snapshot().is_some());
        if !saved || state.cell.is_none() {
            return false;
        }
        // The cell ends when the last handle to it is gone.
        *state = State::default();
        self.totals.parent_evictions.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what blocks, off the tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PrepareError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PrepareError::Platform(format!("work was broken off: {error}")))
}
