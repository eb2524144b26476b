//! mmap(2) and its relatives, without the decoding of flags.

use super::areas::{Area, Kind};
use super::{Mm, round_up};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use alloc::rc::Rc;

/// Where a new mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere, there if possible; 0 is no wish.
    Hint(u64),
    /// Exactly there, in place of what is there.
    Fixed(u64),
    /// Exactly there, or `EEXIST`.
    Free(u64),
}

/// A new mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Where.
    pub placement: Placement,
    /// Bytes, rounded up to pages.
    pub len: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// What it holds.
    pub kind: Kind,
    /// Path and offset for files.
    pub file: Option<(Rc<str>, u64)>,
}

impl Mm {
    /// Maps zeroed memory and returns where.
    pub fn map(&mut self, mapping: Mapping) -> Result<u64> {
        if mapping.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = round_up(mapping.len)?;
        let start = match mapping.placement {
            Placement::Hint(hint) => self.place_hinted(hint, len)?,
            Placement::Fixed(at) => {
                self.fixed_range(at, len)?;
                self.discard(at, at + len);
                at
            }
            Placement::Free(at) => {
                self.fixed_range(at, len)?;
                if !self.areas.is_free(at, at + len) {
                    return Err(Errno::EEXIST);
                }
                at
            }
        };
        let Mapping { prot, kind, file, .. } = mapping;
        let reserved = prot == 0 && file.is_none();
        self.place(Area { start, end: start + len, prot, kind, reserved, file })?;
        Ok(start)
    }

    fn place_hinted(&mut self, hint: u64, len: u64) -> Result<u64> {
        let hint = hint / PAGE * PAGE;
        let end = hint.checked_add(len).filter(|&end| end <= self.end());
        if hint >= self.base && end.is_some_and(|end| self.areas.is_free(hint, end)) {
            return Ok(hint);
        }
        self.find_gap(len)
    }

    /// Checks a range the program chose for a mapping: aligned, in the region, not over pages of memory files.
    fn fixed_range(&mut self, at: u64, len: u64) -> Result<()> {
        if !at.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let end = at.checked_add(len).ok_or(Errno::ENOMEM)?;
        let inside = at >= self.base && end <= self.end();
        if !inside || self.areas.overlapping(at, end).any(|area| area.kind.is_of_files()) {
            self.refused = true;
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// A page-aligned range the program names, rounded up; parts of it outside the region are simply not mapped.
    fn named_range(&self, addr: u64, len: u64) -> Result<(u64, u64)> {
        if !addr.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(round_up(len).map_err(|_| Errno::EINVAL)?).ok_or(Errno::EINVAL)?;
        Ok((addr.clamp(self.base, self.end()), end.clamp(self.base, self.end())))
    }

    /// munmap(2).
    pub fn unmap(&mut self, addr: u64, len: u64) -> Result<()> {
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let (start, end) = self.named_range(addr, len)?;
        if self.areas.overlapping(start, end).any(|area| area.kind == Kind::Kernel) {
            return Err(Errno::EINVAL);
        }
        let splits = self.areas.find(start).is_some_and(|area| area.start < start && end < area.end);
        if splits && self.is_crowded() {
            return Err(Errno::ENOMEM);
        }
        self.discard(start, end);
        Ok(())
    }

    /// mprotect(2): noted, not enforced.
    pub fn protect(&mut self, addr: u64, len: u64, prot: u32) -> Result<()> {
        let (start, end) = self.named_range(addr, len)?;
        if self.is_crowded() || (len != 0 && (end - start < len || !self.areas.covers(start, end))) {
            return Err(Errno::ENOMEM);
        }
        for piece in self.areas.remove(start, end) {
            let reserved = piece.reserved && prot == 0;
            if piece.reserved && !reserved {
                self.zero(piece.start, piece.end);
            }
            self.areas.insert(Area { prot, reserved, ..piece });
        }
        Ok(())
    }

    /// `MADV_DONTNEED`: private anonymous memory reads as zeros afterwards. Copies of files stay as they are.
    pub fn drop_contents(&mut self, addr: u64, len: u64) -> Result<()> {
        let (start, end) = self.named_range(addr, len)?;
        if !self.areas.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        for area in self.areas.overlapping(start, end) {
            if matches!(area.kind, Kind::Anonymous | Kind::Heap | Kind::Stack) && !area.reserved {
                let (from, to) = (area.start.max(start), area.end.min(end));
                self.raw(from, to - from).fill(0);
            }
        }
        Ok(())
    }

    /// Whether `addr..addr + len` is mapped throughout: mincore(2), msync(2), mlock(2).
    pub fn check_mapped(&self, addr: u64, len: u64) -> Result<()> {
        let (start, end) = self.named_range(addr, len)?;
        if end - start >= len && self.areas.covers(start, end) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// mremap(2): changes the size of a mapping, in place if possible, else somewhere else if `may_move`,
    /// or moves it to `to`.
    pub fn remap(&mut self, addr: u64, old: u64, new: u64, may_move: bool, to: Option<u64>) -> Result<u64> {
        if !addr.is_multiple_of(PAGE) || new == 0 || old == 0 {
            return Err(Errno::EINVAL);
        }
        let (old, new) = (round_up(old)?, round_up(new)?);
        let old_end = addr.checked_add(old).ok_or(Errno::EINVAL)?;
        let area = self.areas.find(addr).filter(|area| area.end >= old_end && area.kind != Kind::Kernel);
        let area = area.cloned().ok_or(Errno::EFAULT)?;
        if area.kind == Kind::SharedFile {
            return Err(Errno::ENOMEM);
        }
        if let Some(to) = to {
            if to < old_end && to.saturating_add(new) > addr {
                return Err(Errno::EINVAL);
            }
            self.fixed_range(to, new)?;
            self.discard(to, to + new);
            return self.relocate(&area, addr, old, new, to);
        }
        if new <= old {
            self.discard(addr + new, old_end);
            return Ok(addr);
        }
        let end = addr.checked_add(new).filter(|&end| end <= self.end());
        if let Some(end) = end
            && self.areas.is_free(old_end, end)
        {
            let file = area.file.map(|(path, offset)| (path, offset + (old_end - area.start)));
            self.place(Area { start: old_end, end, file, ..area })?;
            return Ok(addr);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let to = self.find_gap(new)?;
        self.relocate(&area, addr, old, new, to)
    }

    /// Moves `old` bytes at `addr` (inside `area`) to the free range of `new` bytes at `to`.
    fn relocate(&mut self, area: &Area, addr: u64, old: u64, new: u64, to: u64) -> Result<u64> {
        let file = area.file.as_ref().map(|(path, offset)| (path.clone(), offset + (addr - area.start)));
        self.place(Area { start: to, end: to + new, file, ..area.clone() })?;
        if !area.reserved {
            let len = old.min(new);
            self.raw(to, len).copy_from_slice(self.raw(addr, len));
        }
        self.discard(addr, addr + old);
        Ok(to)
    }
}
