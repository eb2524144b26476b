//! The writing side of memory that is filled while others use it.
//!
//! The memfd is mapped shared and writable once, here, and then sealed against all later writing
//! (`F_SEAL_FUTURE_WRITE`), so that this mapping is the only way to change it. Pages are put in place with
//! `UFFDIO_COPY`, which copies first and shows the page then: nobody ever sees half of one. When all are there the
//! mapping is given up and the memory sealed for good.
//!
//! Whoever has the descriptor can make the kernel put a page of zeros into a hole, by touching it in a mapping
//! that is not registered. Cells are not trusted, so a page that is there already is compared with what belongs there.

use crate::memory::{Advice, Backing, Mapping};
use crate::parent_memory::ParentError;
use crate::size::{HUGE_BYTES, PAGE_BYTES, size};
use crate::userfault::Userfault;
use abi::layout::{HUGE, PAGE, RAM_MAX};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};

/// Pages filled in a 2 MiB area that make it worth a large page.
const COLLAPSE_PAGES_LEAST: u32 = 64;

/// Pages cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The memory is finished.
    #[error("the memory is complete and sealed")]
    Finished,
    /// The bytes are not whole pages inside the memory.
    #[error("{bytes} bytes from page {first_page} on are not whole pages of the memory")]
    Outside {
        /// First page.
        first_page: u64,
        /// Bytes given.
        bytes: usize,
    },
    /// Another page is there: somebody with the descriptor touched a hole. The memory cannot be trusted.
    #[error("page {page} was made by somebody else")]
    Planted {
        /// The page.
        page: u64,
    },
    /// The kernel refused.
    #[error("filling pages")]
    Io(#[from] io::Error),
}

/// What is given up when the memory is complete. The userfaultfd goes first.
#[derive(Debug)]
struct Open {
    userfault: Userfault,
    mapping: Mapping,
}

/// Memory that is being filled.
#[derive(Debug)]
pub struct Filler {
    fd: OwnedFd,
    open: RwLock<Option<Open>>,
    /// Pages filled in each 2 MiB area.
    filled: Vec<AtomicU32>,
}

impl Filler {
    /// Makes empty memory of `bytes` (a multiple of 2 MiB). `device` is `/dev/userfaultfd`, if it can be had.
    pub fn new(bytes: u64, device: Option<BorrowedFd<'_>>) -> Result<Filler, ParentError> {
        if !(HUGE..=2 * RAM_MAX).contains(&bytes) || !bytes.is_multiple_of(HUGE) {
            return Err(ParentError::Size(bytes));
        }
        let failed = |what| move |source: io::Error| ParentError::Io { what, source };
        let refused = |what| move |error: rustix::io::Errno| failed(what)(error.into());
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Linux before 6.3 does not know the flag that forbids executing the file.
        let fd = rustix::fs::memfd_create("spore-parent", flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create("spore-parent", flags))
            .map_err(refused("memfd_create(2)"))?;
        rustix::fs::ftruncate(&fd, bytes).map_err(refused("ftruncate(2)"))?;
        let mapping = Mapping::new(size(bytes), Backing::Shared(fd.as_fd())).map_err(failed("mapping it"))?;
        let userfault = Userfault::new(device).map_err(failed("userfaultfd(2)"))?;
        userfault.register(&mapping, 0, mapping.len()).map_err(failed("UFFDIO_REGISTER"))?;
        let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::FUTURE_WRITE;
        rustix::fs::fcntl_add_seals(&fd, seals).map_err(refused("sealing it against others"))?;
        let filled = (0..bytes / HUGE).map(|_| AtomicU32::new(0)).collect();
        Ok(Filler { fd, open: RwLock::new(Some(Open { userfault, mapping })), filled })
    }

    /// A descriptor for those who use the memory. It is open for reading only, so they cannot seal the file or
    /// allocate in it.
    pub fn reader(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Bytes of the memory.
    #[expect(clippy::len_without_is_empty, reason = "memory of a parent is never empty")]
    pub fn len(&self) -> u64 {
        self.filled.len() as u64 * HUGE
    }

    /// Puts whole pages in place, from page `first_page` on. Those that use the memory still have to be woken.
    pub fn fill(&self, first_page: u64, bytes: &[u8]) -> Result<(), FillError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_ref().ok_or(FillError::Finished)?;
        let outside = || FillError::Outside { first_page, bytes: bytes.len() };
        let start = first_page.checked_mul(PAGE).filter(|&start| start <= self.len()).ok_or_else(outside)?;
        if !bytes.len().is_multiple_of(PAGE_BYTES) || bytes.len() as u64 > self.len() - start {
            return Err(outside());
        }
        let start = size(start);
        let mut done = 0;
        while done < bytes.len() {
            done += match open.userfault.copy(&open.mapping, start + done, &bytes[done..]) {
                Ok(copied) => copied,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.compare(start + done, &bytes[done..done + PAGE_BYTES])?;
                    PAGE_BYTES
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
        }
        for page in (start..start + bytes.len()).step_by(PAGE_BYTES) {
            self.filled[page / HUGE_BYTES].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the page that is there is the one that belongs there. Read through the descriptor: a hole would
    /// stop a reader of the mapping for ever.
    fn compare(&self, offset: usize, expected: &[u8]) -> Result<(), FillError> {
        let mut found = [0; PAGE_BYTES];
        let read = rustix::io::pread(&self.fd, &mut found, offset as u64).map_err(io::Error::from)?;
        if read == PAGE_BYTES && found == expected {
            return Ok(());
        }
        Err(FillError::Planted { page: offset as u64 / PAGE })
    }

    /// Gathers well-filled areas into large pages where the kernel agrees, gives up the right to write and seals
    /// the memory. To be called when every page that is not zero is in place.
    pub fn finish(&self) -> Result<(), ParentError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let Some(Open { userfault, mut mapping }) = open.take() else { return Ok(()) };
        drop(userfault);
        for (area, pages) in self.filled.iter().enumerate() {
            if pages.load(Ordering::Relaxed) >= COLLAPSE_PAGES_LEAST {
                // An optimisation. Areas with holes are refused while others still have them registered.
                let _ = mapping.advise(area * HUGE_BYTES, HUGE_BYTES, Advice::Collapse);
            }
        }
        drop(mapping);
        let sealed = rustix::fs::fcntl_add_seals(&self.fd, SealFlags::WRITE | SealFlags::SEAL);
        sealed.map_err(|error| ParentError::Io { what: "sealing the contents", source: error.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filler() -> Filler {
        Filler::new(2 * HUGE, None).unwrap()
    }

    #[test]
    fn pages_appear_in_the_file_and_nobody_else_can_write() {
        let filler = filler();
        let reader = filler.reader().unwrap();
        filler.fill(3, &[7; 2 * PAGE_BYTES]).unwrap();
        let mut bytes = [0; 3 * PAGE_BYTES];
        assert_eq!(rustix::io::pread(&reader, &mut bytes, 2 * PAGE).unwrap(), bytes.len());
        assert!(bytes[..PAGE_BYTES] == [0; PAGE_BYTES] && bytes[PAGE_BYTES..] == [7; 2 * PAGE_BYTES]);
        assert!(rustix::io::pwrite(&filler.fd, b"x", 0).is_err());
        assert!(Mapping::new(HUGE_BYTES, Backing::Shared(filler.fd.as_fd())).is_err());
        let allocate = rustix::fs::fallocate(&reader, rustix::fs::FallocateFlags::empty(), 0, PAGE);
        assert!(allocate.is_err());
        assert!(rustix::fs::fcntl_add_seals(&reader, SealFlags::SEAL).is_err());
    }

    #[test]
    fn filling_twice_is_fine_if_it_is_the_same() {
        let filler = filler();
        filler.fill(1, &[7; PAGE_BYTES]).unwrap();
        filler.fill(0, &[7; 4 * PAGE_BYTES]).unwrap();
        let planted = filler.fill(1, &[8; PAGE_BYTES]);
        assert!(matches!(planted, Err(FillError::Planted { page: 1 })), "{planted:?}");
    }

    #[test]
    fn a_page_somebody_touched_first_is_noticed() {
        let filler = filler();
        let reader = filler.reader().unwrap();
        let cell = Mapping::new(HUGE_BYTES, Backing::Private(reader.as_fd())).unwrap();
        cell.read(5 * PAGE_BYTES, &mut [0; 1]).unwrap();
        let planted = filler.fill(4, &[8; 3 * PAGE_BYTES]);
        assert!(matches!(planted, Err(FillError::Planted { page: 5 })), "{planted:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let filler = filler();
        for (page, len) in [(1024, PAGE_BYTES), (1023, 2 * PAGE_BYTES), (0, 1), (u64::MAX, PAGE_BYTES)] {
            assert!(matches!(filler.fill(page, &vec![0; len]), Err(FillError::Outside { .. })), "{page}");
        }
        assert!(matches!(Filler::new(HUGE + PAGE, None), Err(ParentError::Size(_))));
    }

    #[test]
    fn finished_memory_is_sealed_for_good() {
        let filler = filler();
        filler.fill(0, &[1; HUGE_BYTES]).unwrap();
        filler.finish().unwrap();
        filler.finish().unwrap();
        assert!(matches!(filler.fill(600, &[1; PAGE_BYTES]), Err(FillError::Finished)));
        let seals = rustix::fs::fcntl_get_seals(filler.reader().unwrap()).unwrap();
        assert!(seals.contains(SealFlags::WRITE | SealFlags::SEAL));
    }
}
