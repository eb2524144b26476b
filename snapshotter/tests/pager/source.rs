//! Pages in a file, verified, and gates to hold reads up.

use snapshotter::source::{Chunk, ChunkTable, PageSource, SourceError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};

/// Most pages of a chunk.
const CHUNK_PAGES: u32 = 8;
const PAGE: usize = 4096;

/// Lets through what is below a number; moved by the test.
#[derive(Default)]
pub(crate) struct Gate {
    passed: Mutex<usize>,
    moved: Condvar,
}

impl Gate {
    pub(crate) fn open(&self, up_to: usize) {
        *self.passed.lock().unwrap() = up_to;
        self.moved.notify_all();
    }

    fn pass(&self, number: usize) {
        let closed = |up_to: &mut usize| number >= *up_to;
        drop(self.moved.wait_while(self.passed.lock().unwrap(), closed).unwrap());
    }
}

/// The chunks of `ram` that are not zero, in a file.
pub(crate) struct FileSource {
    pub(crate) file: File,
    pub(crate) table: ChunkTable,
    /// What must be read, chunk by chunk.
    originals: Vec<Vec<u8>>,
    /// Reads of each chunk.
    pub(crate) reads: Vec<AtomicU32>,
    /// Batches, by their number.
    pub(crate) batches: Gate,
    batch: AtomicU32,
    /// Single chunks: the gated one passes when this is open at all.
    pub(crate) single: Gate,
    pub(crate) gated: Mutex<Option<usize>>,
    /// Chunks that cannot be read.
    pub(crate) broken: Mutex<Vec<usize>>,
}

impl FileSource {
    pub(crate) fn new(ram: &[u8]) -> FileSource {
        let file = tempfile::tempfile().unwrap();
        let chunks = chunks(ram);
        let (mut originals, mut at) = (Vec::new(), 0);
        for chunk in &chunks {
            let start = usize::try_from(chunk.first_page).unwrap() * PAGE;
            let bytes = &ram[start..start + chunk.pages as usize * PAGE];
            file.write_all_at(bytes, at).unwrap();
            at += bytes.len() as u64;
            originals.push(bytes.to_vec());
        }
        FileSource {
            file,
            reads: chunks.iter().map(|_| AtomicU32::new(0)).collect(),
            table: ChunkTable::checked(chunks).unwrap(),
            originals,
            batches: Gate::default(),
            batch: AtomicU32::new(0),
            single: Gate::default(),
            gated: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// Where a chunk begins in the file.
    pub(crate) fn offset(&self, index: usize) -> u64 {
        self.table.chunks()[..index].iter().map(|chunk| u64::from(chunk.pages) * PAGE as u64).sum()
    }

    pub(crate) fn reads_of(&self, index: usize) -> u32 {
        self.reads[index].load(Ordering::SeqCst)
    }

    fn read(&self, index: usize, bytes: &mut [u8]) -> Result<(), SourceError> {
        self.reads[index].fetch_add(1, Ordering::SeqCst);
        let disk = |source| SourceError::Disk { place: format!("chunk {index}"), source };
        if self.broken.lock().unwrap().contains(&index) {
            return Err(disk(io::Error::from_raw_os_error(5)));
        }
        self.file.read_exact_at(bytes, self.offset(index)).map_err(disk)?;
        if bytes != self.originals[index] {
            return Err(disk(io::Error::other("it is damaged")));
        }
        Ok(())
    }
}

impl PageSource for FileSource {
    fn read_chunk(&self, index: usize, bytes: &mut [u8]) -> Result<(), SourceError> {
        let gated = *self.gated.lock().unwrap() == Some(index);
        if gated {
            self.single.pass(0);
        }
        self.read(index, bytes)
    }

    fn read_chunks(&self, indices: &[usize], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), SourceError> {
        self.batches.pass(self.batch.fetch_add(1, Ordering::SeqCst) as usize);
        for &index in indices {
            let mut bytes = vec![0; self.table.chunks()[index].pages as usize * PAGE];
            self.read(index, &mut bytes)?;
            each(index, &bytes);
        }
        Ok(())
    }
}

fn chunks(ram: &[u8]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for (page, bytes) in (0_u64..).zip(ram.chunks(PAGE)) {
        if *bytes == [0; PAGE] {
            continue;
        }
        match chunks.last_mut() {
            Some(last) if last.end() == page && last.pages < CHUNK_PAGES => last.pages += 1,
            _ => chunks.push(Chunk { first_page: page, pages: 1 }),
        }
    }
    chunks
}
