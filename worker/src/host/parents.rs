//! Parents as the worker holds them: memory and entry state, to be handed to cells. And the runtimes' parents, which
//! the functions of a runtime share.

use super::archive::{Archive, ArchiveError, Label};
use super::cell::Cell;
use super::home::{Workshop, blocking};
use super::paging::Paged;
use crate::api::{Contract, FunctionSpec, PrepareError};
use crate::chain;
use crate::protocol::Start;
use runtimes::launch::Shared;
use snapshotter::snapshot::{Digest, Snapshot};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use vmm::{ParentMemory, WorkingSet};

/// Memory of a parent.
pub(super) enum Memory {
    /// All there, and sealed.
    Whole(Arc<ParentMemory>),
    /// Still being read from its snapshot.
    Paged(Arc<Paged>),
}

/// A parent some cell has built.
pub(crate) struct HeldParent {
    memory: Memory,
    /// Its entry state, as the cell encoded it.
    pub(super) entry: Vec<u8>,
    /// The runtime parent it lies on.
    pub(super) runtime: Option<Arc<HeldParent>>,
    label: Label,
    snapshot: Mutex<Option<Snapshot>>,
    /// What forks of it touch.
    learnt: OnceLock<WorkingSet>,
    /// Held while it is being saved.
    saving: Mutex<()>,
}

impl HeldParent {
    pub(super) fn new(
        memory: Memory,
        entry: Vec<u8>,
        runtime: Option<Arc<HeldParent>>,
        label: Label,
    ) -> HeldParent {
        let (snapshot, learnt, saving) = (Mutex::default(), OnceLock::new(), Mutex::default());
        HeldParent { memory, entry, runtime, label, snapshot, learnt, saving }
    }

    /// The same, known to be on disk.
    pub(super) fn with_snapshot(self, snapshot: Snapshot, learnt: Option<WorkingSet>) -> HeldParent {
        let learnt = learnt.map(OnceLock::from).unwrap_or_default();
        HeldParent { snapshot: Mutex::new(Some(snapshot)), learnt, ..self }
    }

    /// Its snapshot, if it has been saved.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        self.lock_snapshot().clone()
    }

    fn lock_snapshot(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its memory, if all of it is there.
    pub(super) fn whole(&self) -> Option<&Arc<ParentMemory>> {
        match &self.memory {
            Memory::Whole(memory) => Some(memory),
            Memory::Paged(_) => None,
        }
    }

    /// Its memory, if it is still being read.
    pub(super) fn paged(&self) -> Option<&Arc<Paged>> {
        match &self.memory {
            Memory::Whole(_) => None,
            Memory::Paged(paged) => Some(paged),
        }
    }

    /// What forks of it touch, if that is known.
    pub(super) fn learnt(&self) -> Option<&WorkingSet> {
        self.learnt.get()
    }

    /// Takes what a cell has learnt, and saves it with the rest.
    pub(super) fn learn(self: &Arc<Self>, learnt: WorkingSet, archive: &Arc<Archive>) {
        let new = self.learnt.set(learnt).is_ok();
        if new && self.whole().is_some() {
            *self.lock_snapshot() = None;
            self.save_later(archive);
        }
    }

    /// Saves it in the background. Without a snapshot nothing is lost: it is built again when it is needed.
    pub(super) fn save_later(self: &Arc<Self>, archive: &Arc<Archive>) {
        let (parent, archive) = (Arc::clone(self), Arc::clone(archive));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = parent.save(&archive) {
                tracing::warn!(key = %parent.label.key(), error = chain(&error), "a snapshot could not be saved");
            }
        });
    }

    /// Saves it, what it lies on first, unless that has been done.
    pub(super) fn save(&self, archive: &Archive) -> Result<(), ArchiveError> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if self.snapshot().is_some() {
            return Ok(());
        }
        if let Some(runtime) = &self.runtime {
            runtime.save(archive)?;
        }
        let snapshot = archive.save(&self.label, self)?;
        *self.lock_snapshot() = Some(snapshot);
        Ok(())
    }

    fn descriptor(&self) -> std::io::Result<OwnedFd> {
        match &self.memory {
            Memory::Whole(memory) => memory.as_fd().try_clone_to_owned(),
            Memory::Paged(paged) => paged.descriptor(),
        }
    }
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
                (start, vec![runtime.descriptor()?])
            }
            Origin::Held(parent) => {
                let based = parent.runtime.is_some();
                let memories = parent.runtime.iter().chain([parent]).map(|parent| parent.descriptor());
                let lazy = parent.paged().map(|paged| paged.chunks());
                let (entry, learnt) = (parent.entry.clone(), parent.learnt().cloned());
                (Start::Take { entry, based, lazy, learnt }, memories.collect::<Result<_, _>>()?)
            }
        })
    }

    /// Memory that is still being read.
    pub(super) fn paged(&self) -> Option<Arc<Paged>> {
        match self {
            Origin::Boot { .. } | Origin::Specialize { .. } => None,
            Origin::Held(parent) => parent.paged().cloned(),
        }
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

/// The parents of runtimes, built when first needed. One runtime may have several: they are told apart by all that
/// determines what is in them, as their snapshots are.
#[derive(Default)]
pub(crate) struct Runtimes(Mutex<HashMap<Digest, Place>>);

impl Runtimes {
    /// The parent of `runtime`, which is started as `shared` says.
    pub(crate) async fn parent(
        &self,
        runtime: &str,
        shared: &Shared,
        workshop: &Workshop,
    ) -> Result<Arc<HeldParent>, PrepareError> {
        let label = Label::runtime(runtime, shared, &workshop.config.root_sha256);
        let place = self.place(&label);
        let mut place = place.lock().await;
        if let Some(parent) = &*place {
            return Ok(parent.clone());
        }
        let parent = take_up(runtime, shared, label, workshop).await?;
        *place = Some(parent.clone());
        Ok(parent)
    }

    fn place(&self, label: &Label) -> Place {
        self.lock().entry(label.key()).or_default().clone()
    }

    /// What the snapshots of the built ones are known by. Waits for those that are being built.
    pub(crate) async fn keys(&self) -> Vec<Digest> {
        let places: Vec<Place> = self.lock().values().cloned().collect();
        let mut keys = Vec::new();
        for place in places {
            keys.extend(place.lock().await.as_ref().map(|parent| parent.label.key()));
        }
        keys
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime's parent from its snapshot, or else built and saved.
async fn take_up(
    runtime: &str,
    shared: &Shared,
    label: Label,
    workshop: &Workshop,
) -> Result<Arc<HeldParent>, PrepareError> {
    let (archive, wanted) = (workshop.archive.clone(), label.clone());
    match blocking(move || archive.load(&wanted, None)).await? {
        Ok(parent) => return Ok(Arc::new(parent)),
        Err(error) => tracing::info!(runtime, why = chain(&error), "building the runtime's parent"),
    }
    let (spec, origin) = (runtime_spec(runtime, shared), Origin::Boot { awaits_function: true });
    let built = Cell::start(&workshop.config, &spec, &label, &origin, &Arc::default(), &workshop.fleet).await;
    let (cell, parent) = built.map_err(|error| {
        PrepareError::Platform(format!("the parent of runtime {runtime} could not be built: {error}"))
    })?;
    cell.close();
    parent.save_later(&workshop.archive);
    Ok(parent)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of the parent of a JavaScript function with so many MiB.
    fn node_place(runtimes: &Runtimes, mib: u64, heap: &str) -> Place {
        let command = ["/usr/bin/node", heap, "/opt/spore/bootstrap.cjs", "index.handler"].map(str::to_owned);
        let env = std::collections::BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]);
        let shared = runtimes::launch::share("node24", &command, &env, mib << 20).unwrap();
        runtimes.place(&Label::runtime("node24", &shared, "root"))
    }

    #[test]
    fn functions_share_a_runtime_parent_only_if_it_is_started_the_same() {
        let runtimes = Runtimes::default();
        let small = node_place(&runtimes, 256, "--max-old-space-size=112");
        let large = node_place(&runtimes, 2048, "--max-old-space-size=1904");
        let other = node_place(&runtimes, 300, "--max-old-space-size=112");
        assert!(!Arc::ptr_eq(&small, &large), "the heap of one is not that of the other");
        assert!(Arc::ptr_eq(&small, &other));
        assert_eq!(runtimes.lock().len(), 2);
    }
}
