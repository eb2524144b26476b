//! Memory that another process fills while it is used here.

use super::{ParentError, ParentMemory};
use crate::lazy::{LazyMapping, Paging};
use crate::memory::Mapping;
use rustix::fs::SealFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

impl ParentMemory {
    /// Takes memory that a [`crate::Filler`] of another process fills, on a `base` if it lies on one. Every mapping
    /// of it is announced to `paging`. Memory that is complete and sealed is taken as by [`ParentMemory::from_fd`].
    pub fn from_lazy_fd(
        fd: OwnedFd,
        base: Option<&Arc<ParentMemory>>,
        paging: Arc<dyn Paging>,
    ) -> Result<ParentMemory, ParentError> {
        let mut memory = ParentMemory::from_fd(fd, base)?;
        if !memory.is_sealed() {
            let seals = rustix::fs::fcntl_get_seals(&memory.fd).map_err(|_| ParentError::NotSealable)?;
            if !seals.intersects(SealFlags::FUTURE_WRITE | SealFlags::WRITE) {
                return Err(ParentError::NotSealed);
            }
            memory.paging = Some(paging);
            memory.map_view()?;
        }
        Ok(memory)
    }

    /// Announces a mapping of this memory, base included, before anything touches it.
    pub(super) fn announce(&self, mapping: &mut Mapping) -> io::Result<()> {
        let base = self.base.as_deref().map(|base| (0, base));
        for (offset, memory) in base.into_iter().chain([(self.base_len(), self)]) {
            if let Some(paging) = &memory.paging {
                let registered = paging.on_map(&LazyMapping::new(mapping, offset, memory.own))?;
                registered.into_iter().for_each(|registered| mapping.hold(registered));
            }
        }
        Ok(())
    }
}
