//! Parents on disk: saved when they have been built, taken up again after a restart or an eviction.

use super::paging::{Paged, PagedTotals};
use super::parents::{HeldParent, Memory};
use crate::api::{FunctionSpec, PrepareError};
use crate::chain;
use runtimes::launch::Shared;
use serde::Serialize;
use snapshotter::snapshot::RANGES_MAX;
use snapshotter::snapshot::{
    Digest, Draft, FileMemory, Host, Kind, LoadError, PageRange, Refused, Snapshot, Store, StoreError,
    StoreStats, Wanted,
};
use snapshotter::source::{PageSource, SourceError};
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use vmm::{Kvm, ParentError, ParentMemory, WorkingSet};

/// The snapshots of one worker.
pub(crate) struct Archive {
    store: Store,
    host: Host,
    paged: Arc<PagedTotals>,
}

/// What a snapshot is asked for by: its key, and what it must have been made from.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    kind: Kind,
    key: Digest,
    root_image: Digest,
    package_image: Option<Digest>,
}

/// Why a snapshot cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// There is none, or it does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It was not written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its pages cannot be read.
    #[error("its pages cannot be read")]
    Pages(#[from] SourceError),
    /// Its table of chunks makes no sense.
    #[error(transparent)]
    Chunks(Refused),
    /// Its memory, or that of its runtime, is still being read.
    #[error("its memory is still being read")]
    Incomplete,
    /// There is no memory for it.
    #[error(transparent)]
    Memory(#[from] ParentError),
    /// The kernel refused.
    #[error("its memory cannot be filled")]
    Io(#[from] std::io::Error),
}

impl Archive {
    /// Opens the snapshots in `directory`, which other users cannot read: they hold the memory of functions.
    pub(crate) fn open(directory: &Path, kvm: &Kvm) -> Result<Archive, PrepareError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        let failed = |error: &dyn std::fmt::Display| {
            PrepareError::Platform(format!(
                "the snapshots in {} cannot be used: {error}",
                directory.display()
            ))
        };
        made.map_err(|error| failed(&error))?;
        let store = Store::open(directory).map_err(|error| failed(&chain(&error)))?;
        Ok(Archive { store, host: Host::new(kvm, Digest::of(runtimes::PICO)), paged: Arc::default() })
    }

    /// Saves a parent whose base, if it has one, has been saved.
    pub(crate) fn save(&self, label: &Label, parent: &HeldParent) -> Result<Snapshot, ArchiveError> {
        let base = parent.runtime.as_ref().and_then(|runtime| runtime.snapshot());
        let memory = parent.whole().ok_or(ArchiveError::Incomplete)?;
        let learnt = parent.learnt().cloned().unwrap_or_default();
        let draft = Draft {
            wanted: self.wanted(label, base.as_ref()),
            host: self.host.clone(),
            base: base.as_ref().map(Snapshot::as_base),
            ram_bytes: memory.len(),
            entry: parent.entry.clone(),
            read_set: page_ranges(learnt.touched),
            write_set: page_ranges(learnt.written),
        };
        Ok(self.store.put(&draft, &FileMemory::new(memory.as_fd())?)?)
    }

    /// Whether there is a snapshot that can be taken up, without reading its pages. Of a function on a runtime, any.
    pub(crate) fn find(&self, label: &Label) -> Result<Snapshot, ArchiveError> {
        let snapshot = self.store.inspect(label.key)?;
        let wanted = Wanted { base: snapshot.manifest.base.map(|base| base.id), ..self.wanted(label, None) };
        Ok(self.store.load(&self.host, &wanted)?)
    }

    /// Takes up a parent from its snapshot. `runtime` is the runtime parent it is to lie on.
    pub(crate) fn load(
        &self,
        label: &Label,
        runtime: Option<&Arc<HeldParent>>,
    ) -> Result<HeldParent, ArchiveError> {
        let base = runtime.and_then(|runtime| runtime.snapshot());
        let snapshot = self.store.load(&self.host, &self.wanted(label, base.as_ref()))?;
        let manifest = &snapshot.manifest;
        let learnt = learnt(&manifest.read_set, &manifest.write_set);
        let entry = manifest.entry.clone();
        let memory = match runtime {
            Some(_) if Paged::suits(&snapshot) => {
                let source = Arc::new(self.store.source(&snapshot)?);
                Memory::Paged(Arc::new(Paged::start(&snapshot, source, &self.paged)?))
            }
            Some(runtime) => {
                let base = runtime.whole().ok_or(ArchiveError::Incomplete)?;
                self.read(ParentMemory::over(base, manifest.own_bytes())?, &snapshot)?
            }
            None => self.read(ParentMemory::new(manifest.own_bytes())?, &snapshot)?,
        };
        Ok(HeldParent::new(memory, entry, runtime.cloned(), label.clone()).with_snapshot(snapshot, learnt))
    }

    fn read(&self, mut memory: ParentMemory, snapshot: &Snapshot) -> Result<Memory, ArchiveError> {
        self.fill(&memory, snapshot)?;
        memory.seal()?;
        Ok(Memory::Whole(Arc::new(memory)))
    }

    fn fill(&self, memory: &ParentMemory, snapshot: &Snapshot) -> Result<(), ArchiveError> {
        let manifest = &snapshot.manifest;
        let all: Vec<usize> = (0..manifest.chunks.len()).collect();
        let mut written = Ok(());
        self.store.source(snapshot)?.read_chunks(&all, &mut |index, bytes| {
            let page = manifest.chunks[index].first_page - manifest.first_own_page();
            if written.is_ok() {
                written = write_all(memory, bytes, page * abi::layout::PAGE);
            }
        })?;
        Ok(written?)
    }

    /// Snapshots and bytes on disk; nothing if the disk cannot be read.
    pub(crate) fn stats(&self) -> Option<StoreStats> {
        let stats = self.store.stats();
        stats.inspect_err(|error| tracing::warn!(error = chain(error), "snapshots cannot be counted")).ok()
    }

    /// What was paged in.
    pub(crate) fn paged(&self) -> &PagedTotals {
        &self.paged
    }

    /// Removes all snapshots but those of `keep` and what they lie on.
    pub(crate) fn collect(&self, keep: &HashSet<Digest>) {
        if let Err(error) = self.store.gc(keep) {
            tracing::warn!(error = chain(&error), "old snapshots could not be removed");
        }
    }

    fn wanted(&self, label: &Label, base: Option<&Snapshot>) -> Wanted {
        Wanted {
            kind: label.kind,
            key: label.key,
            root_image: label.root_image,
            package_image: label.package_image,
            ram_bytes: None,
            base: base.map(|base| base.id),
        }
    }
}

/// Ranges of bytes as ranges of pages; as many as a snapshot can have.
pub(crate) fn page_ranges(set: Option<Vec<Range<usize>>>) -> Vec<PageRange> {
    let page = |bytes: usize| bytes as u64 / abi::layout::PAGE;
    let range = |bytes: &Range<usize>| PageRange { first: page(bytes.start), pages: page(bytes.len()) };
    set.unwrap_or_default().iter().map(range).take(RANGES_MAX).collect()
}

/// The other way; nothing if nothing was learnt.
pub(crate) fn learnt(read: &[PageRange], written: &[PageRange]) -> Option<WorkingSet> {
    let bytes = |pages: u64| usize::try_from(pages * abi::layout::PAGE).unwrap_or(usize::MAX);
    let ranges = |set: &[PageRange]| {
        Some(set.iter().map(|range| bytes(range.first)..bytes(range.first + range.pages)).collect())
    };
    (!read.is_empty()).then(|| WorkingSet { written: ranges(written), touched: ranges(read) })
}

fn write_all(memory: &ParentMemory, mut bytes: &[u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(memory.as_fd(), bytes, at) {
            Ok(count) => (bytes, at) = (&bytes[count..], at + count as u64),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Label {
    /// What the snapshot of a function's parent is known by. `root` is the SHA-256 of its root image, in hexadecimal.
    pub(crate) fn function(spec: &FunctionSpec, root: &str) -> Label {
        let package = spec.package.as_ref().map_or("", |package| package.sha256.as_str());
        let names = (&spec.name, &spec.revision, &spec.runtime, root, package);
        Label::new(
            Kind::Function,
            &(names, spec.contract, spec.port, spec.memory_bytes, &spec.command, &spec.env),
            root,
            package,
        )
    }

    /// What the snapshot of a runtime's parent is known by.
    pub(crate) fn runtime(name: &str, shared: &Shared, root: &str) -> Label {
        Label::new(Kind::Runtime, &(name, root, shared.memory_bytes, &shared.command, &shared.env), root, "")
    }

    /// `what` is all that determines the contents of the parent, beside the guest kernel.
    fn new(kind: Kind, what: &impl Serialize, root: &str, package: &str) -> Label {
        let what = postcard::to_stdvec(what).expect("text and numbers can be encoded");
        // Images are named by digests. One that has another name is one nobody can ask for.
        let named = |hex: &str| Digest::from_hex(hex).unwrap_or_else(|| Digest::of(hex.as_bytes()));
        Label {
            kind,
            key: Digest::of_parts([kind.to_string().as_bytes(), &what, runtimes::PICO]),
            root_image: named(root),
            package_image: (!package.is_empty()).then(|| named(package)),
        }
    }

    pub(crate) fn key(&self) -> Digest {
        self.key
    }
}
