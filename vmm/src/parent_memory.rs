//! Memory of parents: made, filled by one machine, sealed, then shared by forks.

use crate::lazy::Paging;
use crate::memory::{Advice, Backing, Mapping};
use crate::size::HUGE_BYTES;
use abi::layout::{HUGE, KERNEL_SIZE, PAGE, PROGRAM_MIN, RAM_MAX};
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

mod lazy;

/// Pages of a 2 MiB area that must exist before it is worth a large page: below, the zeros would cost more memory
/// than the faults they save.
const COLLAPSE_PAGES_LEAST: u64 = 64;

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
    /// The base lies on a base itself.
    #[error("a parent's memory can lie on a runtime parent's only")]
    Stacked,
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
///
/// A parent may lie on a base, another parent's sealed memory: then the base is the first part of the RAM and the
/// memfd the rest. A base is shared by all parents, and all their forks, that lie on it.
#[derive(Debug)]
pub struct ParentMemory {
    base: Option<Arc<ParentMemory>>,
    fd: OwnedFd,
    /// Bytes of the memfd.
    own: usize,
    /// Read-only view; there once sealed.
    view: Option<Mapping>,
    /// Who makes missing pages of its own appear.
    paging: Option<Arc<dyn Paging>>,
}

impl ParentMemory {
    /// Makes zeroed memory.
    pub fn new(ram_bytes: u64) -> Result<ParentMemory, ParentError> {
        checked_len(ram_bytes)?;
        ParentMemory::make(None, ram_bytes)
    }

    /// Makes zeroed memory of `own_bytes` behind `base`, which must be sealed and lie on no base itself.
    pub fn over(base: &Arc<ParentMemory>, own_bytes: u64) -> Result<ParentMemory, ParentError> {
        ParentMemory::make(Some(checked_base(base)?), own_bytes)
    }

    fn make(base: Option<Arc<ParentMemory>>, own_bytes: u64) -> Result<ParentMemory, ParentError> {
        let own = checked_own(own_bytes)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Linux before 6.3 does not know the flag that forbids executing the file.
        let fd = rustix::fs::memfd_create("spore-parent", flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create("spore-parent", flags))
            .map_err(ParentError::io("memfd_create(2)"))?;
        rustix::fs::ftruncate(&fd, own_bytes).map_err(ParentError::io("ftruncate(2)"))?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK)
            .map_err(ParentError::io("sealing the size"))?;
        Ok(ParentMemory { base, fd, own, view: None, paging: None })
    }

    /// Takes memory made by another process with [`ParentMemory::new`] or, with a `base`, [`ParentMemory::over`];
    /// sealed or not.
    pub fn from_fd(fd: OwnedFd, base: Option<&Arc<ParentMemory>>) -> Result<ParentMemory, ParentError> {
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|_| ParentError::NotSealable)?;
        if !seals.contains(SealFlags::GROW | SealFlags::SHRINK) {
            return Err(ParentError::NotSealable);
        }
        let stat = rustix::fs::fstat(&fd).map_err(ParentError::io("fstat(2)"))?;
        let own_bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let base = base.map(checked_base).transpose()?;
        if base.is_none() {
            checked_len(own_bytes)?;
        }
        let mut memory = ParentMemory { base, fd, own: checked_own(own_bytes)?, view: None, paging: None };
        if seals.contains(SealFlags::WRITE) {
            memory.map_view()?;
        }
        Ok(memory)
    }

    /// The memfd, without the base.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Bytes of RAM.
    #[expect(clippy::len_without_is_empty, reason = "RAM is never empty")]
    pub fn len(&self) -> u64 {
        (self.base_len() + self.own) as u64
    }

    /// The memory this one lies on.
    pub fn base(&self) -> Option<&Arc<ParentMemory>> {
        self.base.as_ref()
    }

    fn base_len(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.own)
    }

    /// Bytes of its own (without the base) that exist; the rest is zero and costs nothing.
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
        // What lies on a base is mostly written to by forks, which gives them small pages of their own.
        if self.base.is_none() {
            self.collapse()?;
        }
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

    /// A view of the memfd, without the base, that writes to it.
    pub(crate) fn map_shared(&self) -> io::Result<Mapping> {
        Mapping::new(self.own, Backing::Shared(self.fd.as_fd()))
    }

    /// A view of all of it whose writes stay its own.
    pub(crate) fn map_private(&self) -> io::Result<Mapping> {
        self.map(|memory| Backing::Private(memory.fd.as_fd()))
    }

    /// A view of all of it whose writes stay its own, and `more` bytes of zeroed memory behind it.
    pub(crate) fn map_private_and(&self, more: usize) -> io::Result<Mapping> {
        let private = (self.own, Backing::Private(self.fd.as_fd()));
        let mut mapping = match more {
            0 => Mapping::layered(&[private])?,
            more => Mapping::layered(&[private, (more, Backing::Anonymous)])?,
        };
        self.announce(&mut mapping)?;
        Ok(mapping)
    }

    fn map<'a>(&'a self, backing: impl Fn(&'a ParentMemory) -> Backing<'a>) -> io::Result<Mapping> {
        let mut mapping = Mapping::layered(&self.parts(backing))?;
        self.announce(&mut mapping)?;
        Ok(mapping)
    }

    /// The base, if there is one, and the rest.
    fn parts<'a>(&'a self, backing: impl Fn(&'a ParentMemory) -> Backing<'a>) -> Vec<(usize, Backing<'a>)> {
        let layers = self.base.as_deref().into_iter().chain([self]);
        layers.map(|layer| (layer.own, backing(layer))).collect()
    }

    /// Puts such a view in the place of `mapping`, with nothing written to.
    pub(crate) fn map_private_over(&self, mapping: &mut Mapping) -> io::Result<()> {
        mapping.replace(&self.parts(|memory| Backing::Private(memory.fd.as_fd())))?;
        self.announce(mapping)
    }

    fn map_view(&mut self) -> Result<(), ParentError> {
        let view = self.map(|memory| Backing::ReadOnly(memory.fd.as_fd(), memory.own));
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
        let mut filled = vec![0_u64; self.own / HUGE_BYTES];
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

fn checked_len(bytes: u64) -> Result<(), ParentError> {
    let fits = (KERNEL_SIZE + PROGRAM_MIN..=RAM_MAX).contains(&bytes) && bytes.is_multiple_of(HUGE);
    if fits { Ok(()) } else { Err(ParentError::Size(bytes)) }
}

/// Memory over a base holds the rest of the RAM and copies of pages of the base: at most twice the RAM.
fn checked_own(bytes: u64) -> Result<usize, ParentError> {
    let fits = (HUGE..=2 * RAM_MAX).contains(&bytes) && bytes.is_multiple_of(HUGE);
    usize::try_from(bytes).ok().filter(|_| fits).ok_or(ParentError::Size(bytes))
}

fn checked_base(base: &Arc<ParentMemory>) -> Result<Arc<ParentMemory>, ParentError> {
    if !base.is_sealed() {
        return Err(ParentError::NotSealed);
    }
    if base.base.is_some() { Err(ParentError::Stacked) } else { Ok(Arc::clone(base)) }
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

        let copy = ParentMemory::from_fd(memory.as_fd().try_clone_to_owned().unwrap(), None).unwrap();
        let mut bytes = [0; 5];
        copy.view().unwrap().read(12345, &mut bytes).unwrap();
        assert_eq!(&bytes, b"spore");
    }

    #[test]
    fn descriptors_that_could_shrink_are_refused() {
        let fd = rustix::fs::memfd_create("other", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert!(matches!(ParentMemory::from_fd(fd, None), Err(ParentError::NotSealable)));
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(matches!(ParentMemory::from_fd(file.into(), None), Err(ParentError::NotSealable)));
    }
}
