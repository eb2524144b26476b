//! Reading the memory a snapshot is made of.

use super::limits::PAGE_BYTES;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Memory of a parent, without that of its base. Pages are counted from its own beginning.
pub trait Memory {
    /// The next pages from `page` on that may hold something. All others are zero.
    fn next(&self, page: u64) -> io::Result<Option<Range<u64>>>;

    /// Reads whole pages, beginning with `page`.
    fn read(&self, page: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// Memory in a file, such as a sealed memfd: holes are not read.
#[derive(Debug)]
pub struct FileMemory {
    file: File,
    pages: u64,
}

impl FileMemory {
    /// Takes a copy of the descriptor. The file must not change any more.
    pub fn new(file: impl AsFd) -> io::Result<FileMemory> {
        let file = File::from(file.as_fd().try_clone_to_owned()?);
        let pages = file.metadata()?.len().div_ceil(PAGE_BYTES as u64);
        Ok(FileMemory { file, pages })
    }
}

impl Memory for FileMemory {
    fn next(&self, page: u64) -> io::Result<Option<Range<u64>>> {
        let bytes = PAGE_BYTES as u64;
        if page >= self.pages {
            return Ok(None);
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(page * bytes)) {
            Err(Errno::NXIO) => return Ok(None),
            result => result?,
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
        Ok(Some(start / bytes..end.div_ceil(bytes)))
    }

    fn read(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, page * PAGE_BYTES as u64)
    }
}
