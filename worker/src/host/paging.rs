//! A parent that is used while it is being read from disk.
//!
//! Runtime parents are read as a whole before anybody maps them: cells of several functions share their memory, and a
//! cell that touches a hole on its own plants a page of zeros there. A function's memory is its own cell's alone.

use super::archive::ArchiveError;
use crate::protocol::Command;
use snapshotter::pager::{Pager, PagerSpec};
use snapshotter::snapshot::Snapshot;
use snapshotter::source::{ChunkTable, PageSource};
use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use vmm::Filler;

/// Most chunks of a parent that is paged in; the table goes to the cell in one packet. A larger one is read at once.
pub(super) const CHUNKS_MAX: usize = 16 << 10;

/// The commands of one cell.
pub(super) type Commands = mpsc::UnboundedSender<(Command, Vec<OwnedFd>)>;

/// What was paged in, of all parents.
#[derive(Debug, Default)]
pub(crate) struct PagedTotals {
    bytes: AtomicU64,
    failures: AtomicU64,
}

impl PagedTotals {
    /// Bytes of complete parents, and pieces that could not be read.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }
}

/// Memory of a function's parent that is being read.
pub(crate) struct Paged {
    filler: Arc<Filler>,
    pager: Pager,
    table: ChunkTable,
    complete: watch::Receiver<bool>,
    broken: AtomicBool,
    totals: Arc<PagedTotals>,
}

impl Paged {
    /// Whether a parent can be paged in.
    pub(super) fn suits(snapshot: &Snapshot) -> bool {
        snapshot.manifest.chunks.len() <= CHUNKS_MAX
    }

    /// Begins to read a function's own memory.
    pub(super) fn start(
        snapshot: &Snapshot,
        source: Arc<dyn PageSource>,
        totals: &Arc<PagedTotals>,
    ) -> Result<Paged, ArchiveError> {
        let manifest = &snapshot.manifest;
        let table = manifest.chunk_table().map_err(ArchiveError::Chunks)?;
        let filler = Arc::new(Filler::new(manifest.own_bytes(), None)?);
        let (told, complete) = watch::channel(false);
        let pages: u64 = table.chunks().iter().map(|chunk| u64::from(chunk.pages)).sum();
        let read = totals.clone();
        let spec = PagerSpec {
            source,
            table: table.clone(),
            filler: filler.clone(),
            working_set: manifest.working_set(),
            on_complete: Box::new(move |sealed| {
                read.bytes.fetch_add(pages * abi::layout::PAGE, Ordering::Relaxed);
                match sealed {
                    Ok(()) => drop(told.send_replace(true)),
                    // All pages are there; they only stay announced to cells one by one.
                    Err(error) => tracing::warn!(%error, "a parent's memory was read but not sealed"),
                }
            }),
        };
        let pager = Pager::start(spec).map_err(|error| ArchiveError::Io(io::Error::other(error)))?;
        Ok(Paged { filler, pager, table, complete, broken: AtomicBool::new(false), totals: totals.clone() })
    }

    /// Its memory, for a cell.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.filler.reader()
    }

    /// First page and number of pages of every chunk.
    pub(super) fn chunks(&self) -> Vec<(u64, u32)> {
        self.table.chunks().iter().map(|chunk| (chunk.first_page, chunk.pages)).collect()
    }

    /// Whether a page could not be had. Then the snapshot is no good, and the parent is built again.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Tells a cell when everything is there.
    pub(super) fn announce(&self, commands: &Commands) {
        let (mut complete, commands) = (self.complete.clone(), commands.clone());
        tokio::spawn(async move {
            // A pager that is gone completes nothing; nor does a cell that is gone listen.
            if complete.wait_for(|complete| *complete).await.is_ok() {
                let _ = commands.send((Command::AllPaged, Vec::new()));
            }
        });
    }
}

/// What one cell has asked for and not been told yet. It asks once for a chunk, whatever it does.
#[derive(Clone)]
pub(super) struct Asked {
    paged: Option<Arc<Paged>>,
    open: Arc<Mutex<HashSet<usize>>>,
    commands: Commands,
}

impl Asked {
    pub(super) fn new(paged: Option<Arc<Paged>>, commands: Commands) -> Self {
        Self { paged, open: Arc::default(), commands }
    }

    /// A cell asks for a chunk; false if it cannot mean that.
    pub(super) fn ask(&self, chunk: usize) -> bool {
        let Some(paged) = self.paged.as_ref().filter(|paged| chunk < paged.table.chunks().len()) else {
            return false;
        };
        if self.lock().insert(chunk) {
            let asked = self.clone();
            paged.pager.request(chunk, Box::new(move |result| asked.answer(chunk, result)));
        }
        true
    }

    fn answer(&self, chunk: usize, result: Result<(), Arc<str>>) {
        self.lock().remove(&chunk);
        let failed =
            result.err().map(|reason| format!("the snapshot of its parent cannot be read: {reason}"));
        if let (Some(reason), Some(paged)) = (&failed, &self.paged) {
            tracing::error!(reason, "the parent is built again for the next request");
            paged.totals.failures.fetch_add(1, Ordering::Relaxed);
            paged.broken.store(true, Ordering::Relaxed);
        }
        // A cell that is gone does not listen.
        let _ = self.commands.send((Command::Paged { chunk, failed }, Vec::new()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
