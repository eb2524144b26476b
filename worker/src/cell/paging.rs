//! Pages of a parent that the worker is still reading.

use super::control::Control;
use crate::protocol::Event;
use snapshotter::pager::{ChunkRequests, FaultHandler};
use snapshotter::source::{Chunk, ChunkTable};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use vmm::{ParentError, ParentMemory};

/// The only memory of a cell that is paged in: its function's.
const MEMORY: u64 = 0;

/// The page faults of a cell, if its parent is paged in.
#[derive(Default)]
pub(super) struct Paging(OnceLock<FaultHandler>);

/// Asks the worker for chunks.
struct Asking(Arc<Control>);

impl ChunkRequests for Asking {
    fn request(&self, _memory: u64, chunk: usize) {
        // If the worker is gone, so is this process soon.
        let _ = self.0.send(&Event::Page { chunk });
    }
}

impl Paging {
    /// Takes memory that the worker fills with `chunks`.
    pub(super) fn memory(
        &self,
        control: &Arc<Control>,
        fd: OwnedFd,
        base: Option<&Arc<ParentMemory>>,
        chunks: &[(u64, u32)],
    ) -> Result<ParentMemory, ParentError> {
        let failed = |what| move |source: io::Error| ParentError::Io { what, source };
        let chunks = chunks.iter().map(|&(first_page, pages)| Chunk { first_page, pages }).collect();
        let disorder = || io::Error::other("its chunks are not in order");
        let table = ChunkTable::checked(chunks).ok_or_else(disorder).map_err(failed("its pages"))?;
        let handler = FaultHandler::start(None, Box::new(Asking(control.clone())));
        let handler = handler.map_err(failed("userfaultfd(2)"))?;
        let memory = handler.memory(MEMORY, table);
        // A cell takes one parent in its life, before it maps any of it; nobody can have set it.
        let _ = self.0.set(handler);
        ParentMemory::from_lazy_fd(fd, base, memory)
    }

    /// A chunk is there, or cannot be had.
    pub(super) fn paged(&self, chunk: usize, failed: Option<&str>) {
        match (self.0.get(), failed) {
            (Some(handler), None) => handler.filled(MEMORY, chunk),
            (Some(handler), Some(reason)) => handler.failed(MEMORY, chunk, reason),
            (None, _) => {}
        }
    }

    /// Everything is there.
    pub(super) fn all_paged(&self) {
        if let Some(handler) = self.0.get() {
            handler.complete(MEMORY);
        }
    }
}
