//! Pages from a pack on the local disk.

use super::plan::{self, Read};
use super::{PageSource, SourceError};
use crate::snapshot::Manifest;
use rustix::fs::Advice;
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes that are read although nobody wants them, to save a read.
const GAP_BYTES: u64 = 64 << 10;
/// Most bytes of one read, and of the memory a batch takes.
const READ_BYTES_MAX: usize = 4 << 20;

/// Pages from a pack on the local disk. Keeps the file open, so it outlives the removal of the snapshot.
#[derive(Debug)]
pub struct LocalSource {
    manifest: Arc<Manifest>,
    pack: File,
    place: String,
}

impl LocalSource {
    /// Opens the pack at `path`.
    pub fn open(manifest: Arc<Manifest>, path: &Path) -> Result<LocalSource, SourceError> {
        let place = path.display().to_string();
        let pack = File::open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => SourceError::Missing { place: place.clone() },
            _ => SourceError::Disk { place: place.clone(), source },
        })?;
        // A faulted page says nothing about its neighbours in the pack; batches announce themselves. Only advice:
        // a file system that takes none reads as well.
        let _ = rustix::fs::fadvise(&pack, 0, None, Advice::Random);
        Ok(LocalSource { manifest, pack, place })
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), SourceError> {
        let mut done = 0;
        while done < bytes.len() {
            match self.pack.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => {
                    let (place, expected) = (self.place.clone(), bytes.len());
                    return Err(SourceError::Short { place, expected, found: done });
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(SourceError::Disk { place: self.place.clone(), source }),
            }
        }
        Ok(())
    }

    /// Lets the disk begin with all of `reads` while the first is waited for.
    fn announce(&self, reads: &[Read]) {
        for read in reads {
            let _ = rustix::fs::fadvise(
                &self.pack,
                read.offset,
                NonZeroU64::new(read.bytes as u64),
                Advice::WillNeed,
            );
        }
    }
}

impl PageSource for LocalSource {
    fn read_chunk(&self, index: usize, bytes: &mut [u8]) -> Result<(), SourceError> {
        plan::fits(&self.manifest, index, bytes)?;
        self.read(plan::chunk(&self.manifest, index)?.offset, bytes)?;
        plan::verify(&self.manifest, index, bytes)
    }

    fn read_chunks(&self, indices: &[usize], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), SourceError> {
        let reads = plan::reads(&self.manifest, indices, GAP_BYTES, READ_BYTES_MAX)?;
        self.announce(&reads);
        let mut buffer = vec![0; reads.iter().map(|read| read.bytes).max().unwrap_or(0)];
        for read in &reads {
            let bytes = &mut buffer[..read.bytes];
            self.read(read.offset, bytes)?;
            for &index in &read.chunks {
                let part = plan::part(&self.manifest, read, index, bytes)?;
                plan::verify(&self.manifest, index, part)?;
                each(index, part);
            }
        }
        Ok(())
    }
}
