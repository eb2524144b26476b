//! The address spaces of processes, and what lies in them.
//!
//! The current process's is in the kernel (`mm`, `rewriter`, `vfs.shared`); those of others are here. Two processes can live
//! in one between vfork(2) and execve(2).

use crate::fs::memory::SharedMappings;
use crate::kernel::Kernel;
use crate::mm::Mm;
use crate::rewrite::Rewriter;
use alloc::collections::BTreeMap;
use core::mem;

/// An address space that no process has in the processor.
pub struct Space {
    /// Memory.
    pub mm: Mm,
    /// What was rewritten in it.
    pub rewriter: Rewriter,
    /// Files in memory that are mapped shared.
    pub shared: SharedMappings,
}

/// All address spaces.
pub struct Spaces {
    current: u32,
    last: u32,
    users: BTreeMap<u32, usize>,
    stored: BTreeMap<u32, Space>,
}

impl Default for Spaces {
    fn default() -> Self {
        let users = BTreeMap::from([(Self::FIRST, 1)]);
        Self { current: Self::FIRST, last: Self::FIRST, users, stored: BTreeMap::new() }
    }
}

impl Spaces {
    /// The first process's first one.
    pub const FIRST: u32 = 1;

    /// The one in the processor.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// One that is not in the processor.
    pub fn stored(&self, space: u32) -> Option<&Space> {
        self.stored.get(&space)
    }

    /// All that are not in the processor.
    pub fn all_stored(&self) -> impl Iterator<Item = &Space> {
        self.stored.values()
    }

    pub(super) fn add(&mut self, space: Space) -> u32 {
        while self.users.contains_key(&self.last) {
            self.last = self.last.checked_add(1).unwrap_or(Self::FIRST);
        }
        self.users.insert(self.last, 1);
        self.stored.insert(self.last, space);
        self.last
    }

    /// One more process lives in `space`.
    pub(super) fn join(&mut self, space: u32) {
        *self.users.entry(space).or_default() += 1;
    }

    /// A process has left `space`. Nobody can enter it any more once all have.
    pub(super) fn leave(&mut self, space: u32) {
        let left = self.users.get(&space).map_or(0, |users| users - 1);
        if left == 0 {
            self.users.remove(&space);
        } else {
            self.users.insert(space, left);
        }
    }
}

impl Kernel {
    /// Goes on in `space`. The one before is given back if nobody lives there any more.
    pub(super) fn enter_space(&mut self, space: u32) {
        if space == self.processes.spaces.current {
            return;
        }
        let Some(next) = self.processes.spaces.stored.remove(&space) else {
            return self.fail("a process is to run whose address space is gone");
        };
        let before = Space {
            mm: mem::replace(&mut self.mm, next.mm),
            rewriter: mem::replace(&mut self.rewriter, next.rewriter),
            shared: mem::replace(&mut self.vfs.shared, next.shared),
        };
        self.mm.activate();
        let left = mem::replace(&mut self.processes.spaces.current, space);
        if self.processes.spaces.users.contains_key(&left) {
            self.processes.spaces.stored.insert(left, before);
        } else {
            self.release_space(before);
        }
    }

    /// Gives an address space back that is not in the processor.
    pub(super) fn release_space(&mut self, mut space: Space) {
        space.shared.release_all();
        space.mm.release();
        self.reclaim_files();
    }

    /// The current process goes on in `mm`, where nothing is yet. Returns where it was, which is still its.
    pub(crate) fn move_to_space(&mut self, mm: Mm) -> u32 {
        let space = Space { mm, rewriter: Rewriter::default(), shared: SharedMappings::default() };
        let next = self.processes.spaces.add(space);
        self.enter_space(next);
        mem::replace(&mut self.processes.own_mut().space, next)
    }

    /// Takes back [`Kernel::move_to_space`].
    pub(crate) fn move_back_to_space(&mut self, old: u32) {
        let left = mem::replace(&mut self.processes.own_mut().space, old);
        self.processes.spaces.leave(left);
        self.enter_space(old);
    }

    /// The current process does not need `old` any more.
    pub(crate) fn leave_space(&mut self, old: u32) {
        self.processes.spaces.leave(old);
        if self.processes.spaces.users.contains_key(&old) {
            return;
        }
        if let Some(space) = self.processes.spaces.stored.remove(&old) {
            self.release_space(space);
        }
    }
}
