//! Parents as the worker holds them: memory and entry state, to be handed to cells. And the runtimes' parents, which
//! the functions of a runtime share.

use super::cell::{Cell, CellConfig};
use super::totals::Totals;
use crate::api::{Contract, FunctionSpec, PrepareError};
use crate::protocol::Start;
use runtimes::launch::Shared;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A parent some cell has built.
pub(crate) struct HeldParent {
    /// Its memory, sealed, without that of the runtime parent it lies on.
    pub(super) memory: OwnedFd,
    /// Its entry state, as the cell encoded it.
    pub(super) entry: Vec<u8>,
    /// The runtime parent it lies on.
    pub(super) runtime: Option<Arc<HeldParent>>,
}

/// How a cell is to come to its parent.
pub(crate) enum Origin {
    /// The program is booted. `awaits_function`: to be the parent of a runtime.
    Boot { awaits_function: bool },
    /// A runtime's parent is forked and told what function it is.
    Specialize { runtime: Arc<HeldParent>, document: Vec<u8> },
    /// It has been built before.
    Held(Arc<HeldParent>),
}

impl Origin {
    /// What the cell is told, and the descriptors that go with it.
    pub(super) fn start(&self) -> std::io::Result<(Start, Vec<OwnedFd>)> {
        Ok(match self {
            Origin::Boot { awaits_function } => {
                (Start::Boot { awaits_function: *awaits_function }, Vec::new())
            }
            Origin::Specialize { runtime, document } => {
                let start = Start::Specialize { entry: runtime.entry.clone(), document: document.clone() };
                (start, vec![runtime.memory.try_clone()?])
            }
            Origin::Held(parent) => {
                let based = parent.runtime.is_some();
                let memories = parent.runtime.iter().chain([parent]).map(|parent| parent.memory.try_clone());
                (Start::Take { entry: parent.entry.clone(), based }, memories.collect::<Result<_, _>>()?)
            }
        })
    }

    /// The runtime parent that what comes of this lies on.
    pub(super) fn runtime(&self) -> Option<&Arc<HeldParent>> {
        match self {
            Origin::Boot { .. } => None,
            Origin::Specialize { runtime, .. } => Some(runtime),
            Origin::Held(parent) => parent.runtime.as_ref(),
        }
    }
}

/// A runtime's parent: none yet, or built. The lock is held while it is being built.
type Place = Arc<tokio::sync::Mutex<Option<Arc<HeldParent>>>>;

/// The parents of runtimes, built when first needed.
#[derive(Default)]
pub(crate) struct Runtimes(Mutex<HashMap<String, Place>>);

impl Runtimes {
    /// The parent of `runtime`, which is started as `shared` says.
    pub(crate) async fn parent(
        &self,
        runtime: &str,
        shared: &Shared,
        config: &CellConfig,
    ) -> Result<Arc<HeldParent>, PrepareError> {
        let place = self.lock().entry(runtime.to_owned()).or_default().clone();
        let mut place = place.lock().await;
        if let Some(parent) = &*place {
            return Ok(parent.clone());
        }
        let (spec, origin) = (runtime_spec(runtime, shared), Origin::Boot { awaits_function: true });
        let built = Cell::start(config, &spec, &origin, &Arc::<Totals>::default()).await;
        let (cell, parent) = built.map_err(|error| {
            PrepareError::Platform(format!("the parent of runtime {runtime} could not be built: {error}"))
        })?;
        cell.close();
        *place = Some(parent.clone());
        Ok(parent)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn runtime_spec(runtime: &str, shared: &Shared) -> FunctionSpec {
    FunctionSpec {
        name: format!("runtime {runtime}"),
        revision: String::new(),
        runtime: runtime.to_owned(),
        contract: Contract::Handler,
        command: shared.command.clone(),
        env: shared.env.clone(),
        port: 0,
        memory_bytes: shared.memory_bytes,
        timeout: Duration::ZERO,
        max_concurrency: 1,
        package: None,
    }
}
