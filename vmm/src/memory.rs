//! Mappings of guest memory: the floor under everything that touches bytes a guest can reach.
//!
//! A [`Mapping`] is aligned to 2 MiB, because KVM and the host map large pages only where address, offset and
//! guest address agree modulo 2 MiB. All access is bounds-checked and by copy; no reference to guest memory
//! ever leaves this module.
#![expect(unsafe_code, reason = "mapping memory and copying to and from guest-writable bytes")]

use crate::kick::Kicker;
use crate::lazy::{Registered, Registrations};
use crate::size::{HUGE_BYTES, PAGE_BYTES};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use vm_memory::volatile_memory::VolatileSlice;

/// Bytes of inaccessible address space behind every mapping; also keeps the kernel from merging neighbours.
const GUARD: usize = PAGE_BYTES;

/// What to map.
pub(crate) enum Backing<'a> {
    /// Zeroed memory of this process alone.
    Anonymous,
    /// The file itself: writes reach it.
    Shared(BorrowedFd<'a>),
    /// A copy-on-write view of the file.
    Private(BorrowedFd<'a>),
    /// The first `bytes` of the file, read-only; what follows in the mapping reads as zero. Private, because a
    /// sealed memfd cannot be mapped shared before Linux 6.7; the pages are the file's own all the same.
    ReadOnly(BorrowedFd<'a>, usize),
}

/// An `madvise(2)` this crate uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Advice {
    /// Drop the pages: private copies are gone, anonymous memory is zero again.
    DontNeed,
    /// Make the pages present now, to be read.
    PopulateRead,
    /// Make the pages present and writable now.
    PopulateWrite,
    /// Replace small pages by a large one.
    Collapse,
    /// Use large pages from the first touch on.
    Huge,
    /// Never use large pages.
    NoHuge,
}

impl Advice {
    fn value(self) -> c_int {
        match self {
            Advice::DontNeed => libc::MADV_DONTNEED,
            Advice::PopulateRead => libc::MADV_POPULATE_READ,
            Advice::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Advice::Collapse => libc::MADV_COLLAPSE,
            Advice::Huge => libc::MADV_HUGEPAGE,
            Advice::NoHuge => libc::MADV_NOHUGEPAGE,
        }
    }
}

/// A range lies outside the mapping.
#[derive(Debug, thiserror::Error)]
#[error("{len} bytes at {offset:#x} do not fit into a mapping of {mapped:#x} bytes")]
pub(crate) struct OutOfBounds {
    offset: usize,
    len: usize,
    mapped: usize,
}

/// One mapped area. Unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    writable: bool,
    /// Who makes missing pages appear.
    registrations: Registrations,
}

// SAFETY: the mapping is owned by this value alone and has no tie to a thread.
unsafe impl Send for Mapping {}
// SAFETY: through `&Mapping` bytes are only copied out; writers need `&mut`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes (a multiple of 2 MiB) of `backing` at an address that is a multiple of 2 MiB.
    pub(crate) fn new(len: usize, backing: Backing<'_>) -> io::Result<Mapping> {
        Mapping::layered(&[(len, backing)])
    }

    /// Maps several backings, one behind the other, as one area. Every length is a multiple of 2 MiB.
    pub(crate) fn layered(parts: &[(usize, Backing<'_>)]) -> io::Result<Mapping> {
        let odd = parts.iter().any(|&(len, _)| len == 0 || !len.is_multiple_of(HUGE_BYTES));
        let len = parts.iter().try_fold(0_usize, |sum, &(len, _)| sum.checked_add(len));
        let Some(len) = len.filter(|&len| len > 0 && !odd) else {
            return Err(io::Error::other("length is not a multiple of 2 MiB"));
        };
        let base = reserve(len)?;
        let writable = !parts.iter().any(|(_, backing)| matches!(backing, Backing::ReadOnly(..)));
        let mut mapping = Mapping { base, len, writable, registrations: Registrations::default() };
        mapping.replace(parts)?;
        Ok(mapping)
    }

    /// Maps `parts`, as long as the mapping together, in place of what is mapped now, which is gone. After an error
    /// the contents are undefined.
    pub(crate) fn replace(&mut self, parts: &[(usize, Backing<'_>)]) -> io::Result<()> {
        if parts.iter().map(|(len, _)| len).sum::<usize>() != self.len {
            return Err(io::Error::other("a mapping keeps its length"));
        }
        // They belong to what is mapped now.
        self.registrations.clear();
        let mut offset = 0;
        for (len, backing) in parts {
            self.place(offset, *len, backing)?;
            offset += len;
        }
        Ok(())
    }

    /// Maps the first `len` bytes (a multiple of 2 MiB) of `file` read-only over the beginning of the mapping, which cannot be written
    /// to any more.
    pub(crate) fn cover(&mut self, file: BorrowedFd<'_>, len: usize) -> io::Result<()> {
        if len == 0 || !len.is_multiple_of(HUGE_BYTES) {
            return Err(io::Error::other("length is not a multiple of 2 MiB"));
        }
        self.check(0, len).map_err(io::Error::other)?;
        self.writable = false;
        self.place(0, len, &Backing::ReadOnly(file, len))
    }

    /// Replaces `len` bytes at `offset`, which lie inside the area, by `backing`.
    fn place(&self, offset: usize, len: usize, backing: &Backing<'_>) -> io::Result<()> {
        let read_write = ProtFlags::READ | ProtFlags::WRITE;
        let private = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        let address = self.base.as_ptr().wrapping_add(offset).cast();
        // SAFETY: every call replaces part of the area this value owns, and no reference into it exists; for
        // `ReadOnly`, `bytes` is at most `len`.
        let mapped = unsafe {
            match *backing {
                Backing::Anonymous => rustix::mm::mmap_anonymous(address, len, read_write, private),
                Backing::Shared(fd) => {
                    rustix::mm::mmap(address, len, read_write, MapFlags::SHARED | MapFlags::FIXED, fd, 0)
                }
                Backing::Private(fd) => rustix::mm::mmap(address, len, read_write, private, fd, 0),
                Backing::ReadOnly(fd, bytes) => {
                    rustix::mm::mmap_anonymous(address, len, ProtFlags::READ, private).and_then(|zero| {
                        match bytes.min(len) {
                            0 => Ok(zero),
                            part => rustix::mm::mmap(address, part, ProtFlags::READ, private, fd, 0),
                        }
                    })
                }
            }
        };
        mapped.map(drop).map_err(io::Error::from)
    }

    /// Where the mapping begins in this process.
    pub(crate) fn address(&self) -> u64 {
        self.base.as_ptr().addr() as u64
    }

    /// Bytes mapped.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Keeps `registered` as long as the mapping exists.
    pub(crate) fn hold(&mut self, registered: Box<dyn Registered>) {
        self.registrations.add(registered);
    }

    /// Why a page could not be had, if one could not: then the mapping is not what it should be.
    pub(crate) fn failure(&self) -> Option<String> {
        self.registrations.failure()
    }

    /// Stops a machine when a page cannot be had.
    pub(crate) fn watch(&self, kicker: &Kicker) {
        self.registrations.watch(kicker);
    }

    fn check(&self, offset: usize, len: usize) -> Result<(), OutOfBounds> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len);
        end.map(|_| ()).ok_or(OutOfBounds { offset, len, mapped: self.len })
    }

    /// A window for volatile access to bytes a guest may be writing.
    fn window(&self, offset: usize, len: usize) -> Result<VolatileSlice<'_>, OutOfBounds> {
        self.check(offset, len)?;
        // SAFETY: the range lies inside the mapping (checked), which lives as long as the borrow. Writers of
        // this module check that the mapping is writable.
        Ok(unsafe { VolatileSlice::new(self.base.as_ptr().add(offset), len) })
    }

    /// Copies `bytes` to `offset`.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfBounds> {
        assert!(self.writable, "only writable mappings are written to");
        self.window(offset, bytes.len())?.copy_from(bytes);
        Ok(())
    }

    /// Copies bytes from `offset` into `bytes`.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), OutOfBounds> {
        self.window(offset, bytes.len())?.copy_to(bytes);
        Ok(())
    }

    /// Fills `len` bytes at `offset` with zeros.
    pub(crate) fn zero(&mut self, offset: usize, len: usize) -> Result<(), OutOfBounds> {
        self.check(offset, len)?;
        assert!(self.writable, "only writable mappings are zeroed");
        // SAFETY: the range lies inside a writable mapping (checked); no vCPU runs while the caller has `&mut`.
        unsafe { self.base.as_ptr().add(offset).write_bytes(0, len) };
        Ok(())
    }

    /// Copies `len` bytes at `offset` from the same place of `source`.
    pub(crate) fn copy_same(
        &mut self,
        source: &Mapping,
        offset: usize,
        len: usize,
    ) -> Result<(), OutOfBounds> {
        self.check(offset, len)?;
        source.check(offset, len)?;
        assert!(self.writable, "only writable mappings are restored");
        // SAFETY: both ranges lie inside their mappings (checked), which are distinct areas of address space.
        unsafe {
            std::ptr::copy_nonoverlapping(
                source.base.as_ptr().add(offset),
                self.base.as_ptr().add(offset),
                len,
            );
        }
        Ok(())
    }

    /// Whether `len` bytes at `offset` equal those at the same place of `other`.
    pub(crate) fn is_same(&self, other: &Mapping, offset: usize, len: usize) -> Result<bool, OutOfBounds> {
        let mut chunks = [[0_u8; PAGE_BYTES]; 2];
        for at in (offset..offset.saturating_add(len)).step_by(PAGE_BYTES) {
            let count = PAGE_BYTES.min(offset + len - at);
            let [mine, theirs] = &mut chunks;
            self.read(at, &mut mine[..count])?;
            other.read(at, &mut theirs[..count])?;
            if mine[..count] != theirs[..count] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// For each page, whether it exists in memory: of a file, whether the file has it, mapped here or not.
    pub(crate) fn resident(&self) -> io::Result<Vec<bool>> {
        let mut pages = vec![0_u8; self.len / PAGE_BYTES];
        // SAFETY: the kernel writes one byte for each page of the mapping.
        let result = unsafe { libc::mincore(self.base.as_ptr().cast(), self.len, pages.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pages.into_iter().map(|page| page & 1 == 1).collect())
    }

    /// Gives the kernel `advice` on `len` bytes at `offset`; both must be multiples of the page size.
    pub(crate) fn advise(&mut self, offset: usize, len: usize, advice: Advice) -> io::Result<()> {
        self.check(offset, len).map_err(io::Error::other)?;
        // SAFETY: the range lies inside the mapping, and the advices used keep it mapped.
        let result = unsafe { libc::madvise(self.base.as_ptr().add(offset).cast(), len, advice.value()) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before the address can be used again.
        self.registrations.clear();
        // SAFETY: mapping and guard belong to this value, and nothing refers to them any more. A failure leaves
        // them mapped, which is harmless.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len + GUARD) };
    }
}

/// Reserves `len` bytes and a guard at an aligned address.
fn reserve(len: usize) -> io::Result<NonNull<u8>> {
    let wanted = len + GUARD;
    let total = wanted.checked_add(HUGE_BYTES).ok_or_else(|| io::Error::other("length overflows"))?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let raw = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), total, ProtFlags::empty(), flags)? };
    let skip = raw.addr().next_multiple_of(HUGE_BYTES) - raw.addr();
    let base = raw.cast::<u8>().wrapping_add(skip);
    let tail = total - skip - wanted;
    // SAFETY: both ranges are the unused ends of the reservation made just above.
    unsafe {
        if skip > 0 {
            let _ = rustix::mm::munmap(raw, skip);
        }
        if tail > 0 {
            let _ = rustix::mm::munmap(base.wrapping_add(wanted).cast(), tail);
        }
    }
    NonNull::new(base).ok_or_else(|| io::Error::other("the kernel mapped address 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::layout::HUGE;

    #[test]
    fn anonymous_memory_is_aligned_zero_and_bounded() {
        let mut mapping = Mapping::new(HUGE_BYTES, Backing::Anonymous).unwrap();
        assert_eq!(mapping.address() % HUGE, 0);
        let mut bytes = [1; 4];
        mapping.read(HUGE_BYTES - 4, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 4]);
        assert!(mapping.write(HUGE_BYTES - 3, &bytes).is_err());
        assert!(mapping.read(usize::MAX, &mut bytes).is_err());
        assert!(mapping.zero(HUGE_BYTES, 1).is_err());
    }

    #[test]
    fn odd_lengths_are_refused() {
        assert!(Mapping::new(0, Backing::Anonymous).is_err());
        assert!(Mapping::new(HUGE_BYTES + 1, Backing::Anonymous).is_err());
    }

    #[test]
    fn private_writes_stay_private() {
        let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, HUGE).unwrap();
        use std::os::fd::AsFd;
        let mut parent = Mapping::new(HUGE_BYTES, Backing::Shared(fd.as_fd())).unwrap();
        let mut child = Mapping::new(HUGE_BYTES, Backing::Private(fd.as_fd())).unwrap();
        parent.write(0, b"parent").unwrap();
        child.write(1, b"child").unwrap();
        let mut bytes = [0; 6];
        parent.read(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"parent");
        assert!(!child.is_same(&parent, 0, PAGE_BYTES + 1).unwrap());
        assert!(child.is_same(&parent, 6, 2 * PAGE_BYTES).unwrap());
        child.copy_same(&parent, 0, 6).unwrap();
        assert!(child.is_same(&parent, 0, HUGE_BYTES).unwrap());
        assert!(child.is_same(&parent, HUGE_BYTES, 1).is_err());
        child.read(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"parent");
    }
}
