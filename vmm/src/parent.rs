//! Parents: the memory all forks share, and the state they start in.

use crate::entry::{EntryState, Prepared};
use crate::error::MachineError;
use crate::memory::{Advice, Backing, Mapping};
use crate::pagemap::Pagemap;
use crate::size::{HUGE_BYTES, PAGE_BYTES, size};
use abi::layout::{HUGE, KERNEL_SIZE, PAGE, PROGRAM_MIN, RAM_MAX};
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom};
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// Pages of a 2 MiB area that must exist before it is worth a large page: below, the zeros would cost more memory
/// than the faults they save.
const COLLAPSE_PAGES_LEAST: u64 = 64;
/// Most bytes of the recorded write set.
const WRITE_SET_BYTES_MAX: usize = 16 << 20;
/// Most ranges of the recorded write set; each costs a system call when a shell is made.
const WRITE_SET_RANGES_MAX: usize = 512;

/// Memory of a parent cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// The size is impossible.
    #[error(
        "{0} bytes of RAM: must be a multiple of 2 MiB between {least} and {RAM_MAX}",
        least = KERNEL_SIZE + PROGRAM_MIN
    )]
    Size(u64),
    /// The descriptor is not memory of a parent.
    #[error("this descriptor is not a memfd whose size is sealed")]
    NotSealable,
    /// Somebody still maps the memory for writing.
    #[error("the memory is still mapped for writing: drop its machine first")]
    InUse,
    /// Forks need memory that cannot change.
    #[error("the memory must be sealed before it can be forked")]
    NotSealed,
    /// The kernel refused.
    #[error("memory of a parent: {what}")]
    Io {
        /// The step.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl ParentError {
    fn io(what: &'static str) -> impl Fn(rustix::io::Errno) -> ParentError {
        move |source| ParentError::Io { what, source: source.into() }
    }
}

/// RAM of a parent, in a memfd. Written by the one machine that boots in it, then sealed, then shared by forks.
#[derive(Debug)]
pub struct ParentMemory {
    fd: OwnedFd,
    len: usize,
    /// Read-only view; there once sealed.
    view: Option<Mapping>,
}

impl ParentMemory {
    /// Makes zeroed memory.
    pub fn new(ram_bytes: u64) -> Result<ParentMemory, ParentError> {
        let len = checked_len(ram_bytes)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Linux before 6.3 does not know the flag that forbids executing the file.
        let fd = rustix::fs::memfd_create("spore-parent", flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create("spore-parent", flags))
            .map_err(ParentError::io("memfd_create(2)"))?;
        rustix::fs::ftruncate(&fd, ram_bytes).map_err(ParentError::io("ftruncate(2)"))?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK)
            .map_err(ParentError::io("sealing the size"))?;
        Ok(ParentMemory { fd, len, view: None })
    }

    /// Takes memory made by another process with [`ParentMemory::new`], sealed or not.
    pub fn from_fd(fd: OwnedFd) -> Result<ParentMemory, ParentError> {
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|_| ParentError::NotSealable)?;
        if !seals.contains(SealFlags::GROW | SealFlags::SHRINK) {
            return Err(ParentError::NotSealable);
        }
        let stat = rustix::fs::fstat(&fd).map_err(ParentError::io("fstat(2)"))?;
        let len = checked_len(u64::try_from(stat.st_size).unwrap_or(0))?;
        let mut memory = ParentMemory { fd, len, view: None };
        if seals.contains(SealFlags::WRITE) {
            memory.map_view()?;
        }
        Ok(memory)
    }

    /// The memfd.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Bytes of RAM.
    #[expect(clippy::len_without_is_empty, reason = "RAM is never empty")]
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Bytes that exist; the rest is zero and costs nothing.
    pub fn resident_bytes(&self) -> u64 {
        let blocks = rustix::fs::fstat(&self.fd).map_or(0, |stat| stat.st_blocks);
        u64::try_from(blocks).unwrap_or(0).saturating_mul(512)
    }

    /// Whether the memory can no longer change.
    pub fn is_sealed(&self) -> bool {
        self.view.is_some()
    }

    /// Gathers well-filled 2 MiB areas into large pages where the kernel agrees, and forbids all writing from now
    /// on. The machine that booted here must have been dropped.
    pub fn seal(&mut self) -> Result<(), ParentError> {
        if self.is_sealed() {
            return Ok(());
        }
        self.collapse()?;
        rustix::fs::fcntl_add_seals(&self.fd, SealFlags::WRITE | SealFlags::SEAL).map_err(
            |error| match error {
                rustix::io::Errno::BUSY => ParentError::InUse,
                error => ParentError::io("sealing the contents")(error),
            },
        )?;
        self.map_view()
    }

    pub(crate) fn view(&self) -> Option<&Mapping> {
        self.view.as_ref()
    }

    /// A view that writes to the memory itself.
    pub(crate) fn map_shared(&self) -> io::Result<Mapping> {
        Mapping::new(self.len, &Backing::Shared(self.fd.as_fd()))
    }

    /// A view whose writes stay its own.
    pub(crate) fn map_private(&self) -> io::Result<Mapping> {
        Mapping::new(self.len, &Backing::Private(self.fd.as_fd()))
    }

    /// Puts such a view in the place of `mapping`, with nothing written to.
    pub(crate) fn map_private_over(&self, mapping: &mut Mapping) -> io::Result<()> {
        mapping.replace(&Backing::Private(self.fd.as_fd()))
    }

    fn map_view(&mut self) -> Result<(), ParentError> {
        let view = Mapping::new(self.len, &Backing::ReadOnly(self.fd.as_fd(), self.len));
        self.view = Some(view.map_err(|source| ParentError::Io { what: "mapping it", source })?);
        Ok(())
    }

    /// Large pages are an optimisation: a kernel that has none to give changes nothing else.
    fn collapse(&self) -> Result<(), ParentError> {
        let areas = self.filled_areas().map_err(ParentError::io("finding its pages"))?;
        let mut mapping =
            self.map_shared().map_err(|source| ParentError::Io { what: "mapping it", source })?;
        for area in areas {
            let _ = mapping.advise(area, HUGE_BYTES, Advice::Collapse);
        }
        Ok(())
    }

    /// Offsets of 2 MiB areas with enough existing pages.
    fn filled_areas(&self) -> rustix::io::Result<Vec<usize>> {
        let mut filled = vec![0_u64; self.len / HUGE_BYTES];
        let mut at = 0;
        loop {
            let start = match rustix::fs::seek(&self.fd, SeekFrom::Data(at)) {
                Err(rustix::io::Errno::NXIO) => break,
                result => result?,
            };
            at = rustix::fs::seek(&self.fd, SeekFrom::Hole(start))?;
            for page in (start / PAGE)..(at / PAGE) {
                let area = usize::try_from(page * PAGE / HUGE).ok().and_then(|area| filled.get_mut(area));
                if let Some(count) = area {
                    *count += 1;
                }
            }
        }
        let areas = filled.iter().enumerate().filter(|&(_, &pages)| pages >= COLLAPSE_PAGES_LEAST);
        Ok(areas.map(|(area, _)| area * HUGE_BYTES).collect())
    }
}

fn checked_len(bytes: u64) -> Result<usize, ParentError> {
    let fits = (KERNEL_SIZE + PROGRAM_MIN..=RAM_MAX).contains(&bytes) && bytes.is_multiple_of(HUGE);
    usize::try_from(bytes).ok().filter(|_| fits).ok_or(ParentError::Size(bytes))
}

/// What forks are made from.
#[derive(Debug)]
pub struct Parent {
    /// Sealed memory.
    pub memory: ParentMemory,
    /// Where forks start.
    pub entry: EntryState,
    pub(crate) prepared: Prepared,
    pub(crate) pagemap: Pagemap,
    written: OnceLock<Box<[Range<usize>]>>,
    touched: OnceLock<Box<[Range<usize>]>>,
}

impl Parent {
    /// Joins sealed memory with the state captured from the machine that ran in it.
    pub fn new(memory: ParentMemory, entry: EntryState) -> Result<Parent, MachineError> {
        if !memory.is_sealed() {
            return Err(MachineError::Spec(ParentError::NotSealed.to_string()));
        }
        let prepared = Prepared::new(&entry, memory.len())?;
        let pagemap = Pagemap::open().map_err(MachineError::memory("/proc/self/pagemap"))?;
        Ok(Parent { memory, entry, prepared, pagemap, written: OnceLock::new(), touched: OnceLock::new() })
    }

    /// What forks of this parent have been seen to touch so far.
    pub fn working_set(&self) -> WorkingSet {
        let ranges = |set: &OnceLock<Box<[Range<usize>]>>| set.get().map(|set| set.to_vec());
        WorkingSet { written: ranges(&self.written), touched: ranges(&self.touched) }
    }

    /// Takes over what another parent with the same memory has learnt. Whole pages inside RAM count, all else is
    /// ignored: a wrong set costs time, nothing else.
    pub fn expect(&self, set: WorkingSet) {
        let end = size(self.memory.len());
        let fits = |range: &Range<usize>| {
            let pages = range.start.is_multiple_of(PAGE_BYTES) && range.end.is_multiple_of(PAGE_BYTES);
            pages && range.start < range.end && range.end <= end
        };
        if let Some(written) = set.written {
            self.learn_written(&written.into_iter().filter(fits).collect::<Vec<_>>());
        }
        if let Some(touched) = set.touched {
            self.learn_touched(touched.into_iter().filter(fits).collect());
        }
    }

    /// Remembers the pages a fork wrote to, the first time it is called, so that later shells have them ready.
    pub(crate) fn learn_written(&self, written: &[Range<usize>]) {
        self.written.get_or_init(|| {
            let mut left = WRITE_SET_BYTES_MAX;
            let fits = |range: &&Range<usize>| {
                let rest = left.checked_sub(range.len());
                left = rest.unwrap_or(0);
                rest.is_some()
            };
            written.iter().take(WRITE_SET_RANGES_MAX).take_while(fits).cloned().collect()
        });
    }

    /// Remembers the pages a fork touched, read or written, the first time it is called.
    pub(crate) fn learn_touched(&self, touched: Vec<Range<usize>>) {
        self.touched.get_or_init(|| touched.into());
    }

    /// Pages a fork is expected to touch, if any fork has been watched.
    pub(crate) fn touched(&self) -> Option<&[Range<usize>]> {
        self.touched.get().map(AsRef::as_ref)
    }

    /// Pages a fork is expected to write to; none as long as that is not known.
    pub(crate) fn written(&self) -> &[Range<usize>] {
        self.written.get().map_or(&[], AsRef::as_ref)
    }

    /// Makes the pages a fork is expected to write to its own ahead, so that KVM maps several with one fault.
    pub(crate) fn populate(&self, ram: &mut Mapping) {
        for range in self.written() {
            // Only saves faults later, so a refusal changes nothing.
            let _ = ram.advise(range.start, range.len(), Advice::PopulateWrite);
        }
    }
}

/// Pages that forks of a parent touch, as byte ranges of its RAM; `None`: not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingSet {
    /// Pages written to before the response.
    pub written: Option<Vec<Range<usize>>>,
    /// Pages read or written.
    pub touched: Option<Vec<Range<usize>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_sizes_are_refused() {
        for bytes in [0, HUGE, KERNEL_SIZE + PROGRAM_MIN + PAGE, RAM_MAX + HUGE, u64::MAX] {
            assert!(matches!(ParentMemory::new(bytes), Err(ParentError::Size(_))), "{bytes}");
        }
    }

    #[test]
    fn sealed_memory_cannot_change_and_travels_by_descriptor() {
        let mut memory = ParentMemory::new(KERNEL_SIZE + PROGRAM_MIN).unwrap();
        let mut mapping = memory.map_shared().unwrap();
        mapping.write(12345, b"spore").unwrap();
        mapping.write(HUGE_BYTES, &vec![7; HUGE_BYTES / 4]).unwrap();
        assert_eq!(memory.filled_areas().unwrap(), [HUGE_BYTES]);
        assert!(matches!(memory.seal(), Err(ParentError::InUse)));
        drop(mapping);
        memory.seal().unwrap();
        assert!(memory.map_shared().is_err());
        assert!(rustix::io::pwrite(memory.as_fd(), b"x", 0).is_err());
        assert!(memory.resident_bytes() >= HUGE / 4);

        let copy = ParentMemory::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let mut bytes = [0; 5];
        copy.view().unwrap().read(12345, &mut bytes).unwrap();
        assert_eq!(&bytes, b"spore");
    }

    #[test]
    fn descriptors_that_could_shrink_are_refused() {
        let fd = rustix::fs::memfd_create("other", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert!(matches!(ParentMemory::from_fd(fd), Err(ParentError::NotSealable)));
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(matches!(ParentMemory::from_fd(file.into()), Err(ParentError::NotSealable)));
    }
}
