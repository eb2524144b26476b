//! A VM of a parent that is on disk only, not even in the page cache: it is paged in while the VM runs.

use super::{BenchError, Clock, Function, Shell, Starter};
use crate::bench::clock::Step;
use crate::host::archive::{learnt, page_ranges};
use rustix::fs::Advice;
use snapshotter::pager::{ChunkRequests, FaultHandler, Pager, PagerSpec};
use snapshotter::snapshot::{Digest, Draft, FileMemory, Host, Kind, Snapshot, Store, Wanted, encode_entry};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use vmm::{Filler, ForkStep, Machine, Parent, ParentMemory};

/// The only memory that is paged in.
const MEMORY: u64 = 0;

pub(super) struct Cold<'a> {
    function: &'a Function,
    saved: Option<Saved>,
    live: Option<Live>,
}

/// The function's parent on disk.
struct Saved {
    directory: tempfile::TempDir,
    store: Store,
    host: Host,
    wanted: Wanted,
}

/// What pages a parent in, as long as its VM lives.
struct Live {
    _pager: Arc<Pager>,
    _handler: Arc<FaultHandler>,
}

/// Carries requests for pages within the process.
#[derive(Default)]
struct Link {
    pager: OnceLock<Weak<Pager>>,
    handler: OnceLock<Weak<FaultHandler>>,
}

struct Requests(Arc<Link>);

impl ChunkRequests for Requests {
    fn request(&self, memory: u64, chunk: usize) {
        let Some(handler) = self.0.handler.get().cloned() else { return };
        let answer = move |result: Result<(), Arc<str>>| {
            let Some(handler) = handler.upgrade() else { return };
            match result {
                Ok(()) => handler.filled(memory, chunk),
                Err(reason) => handler.failed(memory, chunk, &reason),
            }
        };
        if let Some(pager) = self.0.pager.get().and_then(Weak::upgrade) {
            pager.request(chunk, Box::new(answer));
        }
    }
}

impl<'a> Cold<'a> {
    pub(super) fn new(function: &'a Function) -> Self {
        Self { function, saved: None, live: None }
    }

    fn saved(&mut self) -> Result<&Saved, BenchError> {
        let saved = match self.saved.take() {
            Some(saved) => saved,
            None => Saved::new(self.function)?,
        };
        Ok(self.saved.insert(saved))
    }
}

impl Starter for Cold<'_> {
    fn acquire(&mut self, clock: &mut Clock) -> Result<Shell, BenchError> {
        let saved = self.saved()?;
        saved.leave_page_cache()?;
        clock.resume();
        let (live, parent) = saved.load()?;
        clock.mark(Step::Load);
        let mut mark = |step| {
            clock.mark(match step {
                ForkStep::Map => Step::Map,
                ForkStep::Populate => Step::Populate,
                ForkStep::Create => Step::Create,
            });
        };
        self.live = Some(live);
        let Function { kvm, images, .. } = self.function;
        let machine = Machine::fork_observed(kvm, &parent, images, &mut mark);
        machine.map(Shell::from).map_err(BenchError::host("making a VM"))
    }

    fn release(&mut self, shell: Shell, clock: &mut Clock) -> Result<Option<u64>, BenchError> {
        drop(shell.machine);
        self.live = None;
        clock.mark(Step::Drop);
        Ok(None)
    }
}

impl Saved {
    fn new(function: &Function) -> Result<Self, BenchError> {
        let directory = tempfile::tempdir().map_err(BenchError::host("making a temporary directory"))?;
        let store = Store::open(directory.path()).map_err(BenchError::host("opening a store"))?;
        let host = Host::new(&function.kvm, Digest::of(runtimes::PICO));
        let name = Digest::of(function.name().as_bytes());
        let wanted = Wanted {
            kind: Kind::Function,
            key: name,
            root_image: name,
            package_image: None,
            ram_bytes: None,
            base: None,
        };
        let set = function.parent.working_set();
        let draft = Draft {
            wanted: wanted.clone(),
            host: host.clone(),
            base: None,
            ram_bytes: function.parent.memory.len(),
            entry: encode_entry(&function.parent.entry)
                .map_err(BenchError::host("encoding the entry state"))?,
            read_set: page_ranges(set.touched),
            write_set: page_ranges(set.written),
        };
        let memory = FileMemory::new(function.parent.memory.as_fd());
        let memory = memory.map_err(BenchError::host("reading the parent"))?;
        store.put(&draft, &memory).map_err(BenchError::host("saving the parent"))?;
        Ok(Self { directory, store, host, wanted })
    }

    /// Has the kernel forget what it knows of the files.
    fn leave_page_cache(&self) -> Result<(), BenchError> {
        for kind in ["manifests", "packs"] {
            leave_page_cache(&self.directory.path().join(kind))
                .map_err(BenchError::host("leaving the page cache"))?;
        }
        Ok(())
    }

    fn load(&self) -> Result<(Live, Arc<Parent>), BenchError> {
        let snapshot = self.store.load(&self.host, &self.wanted);
        let snapshot = snapshot.map_err(BenchError::host("loading the snapshot"))?;
        let source = self.store.source(&snapshot).map_err(BenchError::host("opening the pages"))?;
        let (live, memory) = page_in(&snapshot, source)?;
        let entry = snapshot.manifest.entry_state().map_err(BenchError::host("decoding the entry state"))?;
        let parent = Parent::new(memory, entry).map_err(BenchError::host("taking the parent"))?;
        if let Some(set) = learnt(&snapshot.manifest.read_set, &snapshot.manifest.write_set) {
            parent.expect(set);
        }
        Ok((live, Arc::new(parent)))
    }
}

fn page_in(
    snapshot: &Snapshot,
    source: snapshotter::source::LocalSource,
) -> Result<(Live, ParentMemory), BenchError> {
    let manifest = &snapshot.manifest;
    let table = manifest.chunk_table().map_err(BenchError::host("reading the table of chunks"))?;
    let filler = Filler::new(manifest.own_bytes(), None).map_err(BenchError::host("making memory"))?;
    let filler = Arc::new(filler);
    let link = Arc::new(Link::default());
    let handler = FaultHandler::start(None, Box::new(Requests(link.clone())));
    let handler = Arc::new(handler.map_err(BenchError::host("userfaultfd(2)"))?);
    let spec = PagerSpec {
        source: Arc::new(source),
        table: table.clone(),
        filler: filler.clone(),
        working_set: manifest.working_set(),
        on_complete: Box::new(|_| ()),
    };
    // Requests need both; nothing is mapped before.
    let _ = link.handler.set(Arc::downgrade(&handler));
    let pager = Arc::new(Pager::start(spec).map_err(BenchError::host("starting the pager"))?);
    let _ = link.pager.set(Arc::downgrade(&pager));
    let reader = filler.reader().map_err(BenchError::host("passing on memory"))?;
    let memory = ParentMemory::from_lazy_fd(reader, None, handler.memory(MEMORY, table));
    let memory = memory.map_err(BenchError::host("taking memory"))?;
    Ok((Live { _pager: pager, _handler: handler }, memory))
}

fn leave_page_cache(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
