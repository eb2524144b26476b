//! mmap(2) and its relatives, without the decoding of flags.

use super::areas::{Area, Kind, WRITE};
use super::{Mm, round_up};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Where a new mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere, there if possible; 0 is no wish.
    Hint(u64),
    /// The same, but not at the expense of linear memory: the mapping is one nobody may ever touch.
    Sparse(u64),
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
        self.map_image(mapping, &[])
    }

    /// The same, with contents of an image's file, page aligned, at its beginning, as far as they can be seen without a
    /// copy: [`Mm::not_shown`] says where they cannot.
    pub fn map_image(&mut self, mapping: Mapping, image: &'static [u8]) -> Result<u64> {
        if mapping.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = round_up(mapping.len)?;
        let refused = self.refused.get();
        let start = match mapping.placement {
            Placement::Hint(hint) => match self.hinted(hint, len) {
                Some(start) => start,
                None => match self.find_gap_for(len, image).map_or_else(|| self.find_gap(len), Ok) {
                    Err(_) if len <= self.free() && mapping.file.is_none() => {
                        self.refused.set(refused);
                        return self.map_in_pieces(Mapping { placement: Placement::Sparse(0), ..mapping });
                    }
                    found => found?,
                },
            },
            Placement::Sparse(hint) => match self.hinted(hint, len) {
                Some(start) => start,
                None => self.find_sparse_gap(len)?,
            },
            Placement::Fixed(at) => {
                self.fixed_range(at, len)?;
                self.discard(at, at + len);
                at
            }
            Placement::Free(at) => {
                self.fixed_range(at, len)?;
                if !self.areas.borrow().is_free(at, at + len) {
                    return Err(Errno::EEXIST);
                }
                at
            }
        };
        let Mapping { prot, kind, file, .. } = mapping;
        let reserved = prot == 0 && file.is_none();
        let area = Area { start, end: start + len, prot, kind, reserved, file };
        self.place_image(area.clone(), image)?;
        // A file is filled first.
        if kind != Kind::File
            && let Err(errno) = self.close_new(&area)
        {
            self.discard(start, start + len);
            return Err(errno);
        }
        if self.pool.is_some()
            && self.is_paged(start)
            && let Err(errno) = self.show_pages_of(start, image, prot)
        {
            self.discard(start, start + len);
            return Err(errno);
        }
        Ok(start)
    }

    /// Where the program wants it, if that can be.
    fn hinted(&self, hint: u64, len: u64) -> Option<u64> {
        let start = hint / PAGE * PAGE;
        let end = start.checked_add(len)?;
        (self.is_inside(start, end) && self.areas.borrow().is_free(start, end)).then_some(start)
    }

    /// Linear memory that is in pieces too small for a mapping can still be had page by page: all of it now, as it
    /// would be in one piece.
    fn map_in_pieces(&mut self, mapping: Mapping) -> Result<u64> {
        let (len, accessible) = (round_up(mapping.len)?, mapping.prot != 0);
        let start = self.map(mapping)?;
        if accessible && self.populate(start, start + len).is_err() {
            self.discard(start, start + len);
            return Err(self.refuse());
        }
        Ok(start)
    }

    /// Checks a range the program chose for a mapping: aligned, in memory, not over pages of memory files.
    pub(super) fn fixed_range(&self, at: u64, len: u64) -> Result<()> {
        if !at.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let end = at.checked_add(len).ok_or(Errno::ENOMEM)?;
        let is_of_files = |area: &Area| {
            area.kind == Kind::Kernel || (area.kind == Kind::SharedFile && !self.is_paged(area.start))
        };
        let is_of_files = self.areas.borrow().overlapping(at, end).any(is_of_files);
        if !self.is_inside(at, end) || is_of_files {
            return Err(self.refuse());
        }
        Ok(())
    }

    /// A page-aligned range the program names, rounded up; nothing is mapped outside of memory.
    pub(super) fn named_range(&self, addr: u64, len: u64) -> Result<(u64, u64)> {
        if !addr.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(round_up(len).map_err(|_| Errno::EINVAL)?).ok_or(Errno::EINVAL)?;
        Ok((addr, end))
    }

    /// munmap(2).
    pub fn unmap(&mut self, addr: u64, len: u64) -> Result<()> {
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let (start, end) = self.named_range(addr, len)?;
        let areas = self.areas.borrow();
        if areas.overlapping(start, end).any(|area| area.kind == Kind::Kernel) {
            return Err(Errno::EINVAL);
        }
        drop(areas);
        if self.is_split_by(start, end) && self.is_crowded() {
            return Err(Errno::ENOMEM);
        }
        self.discard(start, end);
        self.forget_shown(start, end);
        Ok(())
    }

    /// Whether unmapping `start..end` makes two areas of one.
    pub fn is_split_by(&self, start: u64, end: u64) -> bool {
        self.areas.borrow().find(start).is_some_and(|area| area.start < start && end < area.end)
    }

    /// mprotect(2). `ENOMEM` where what is mapped ends, after what comes before was protected.
    pub fn protect(&mut self, addr: u64, len: u64, prot: u32) -> Result<()> {
        let (start, end) = self.named_range(addr, len)?;
        if self.is_crowded() {
            return Err(Errno::ENOMEM);
        }
        let covered = self.areas.borrow().covered(start, end);
        self.change_protection(start, covered, prot, true)?;
        if covered == end { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Gives a file that was just mapped, to be filled, its protection. While a fork answers, page tables stay as they are.
    pub fn protect_filled(&mut self, start: u64, len: u64, prot: u32) -> Result<()> {
        let (start, end) = self.named_range(start, len)?;
        if self.is_crowded() {
            return Err(Errno::ENOMEM);
        }
        self.change_protection(start, end, prot, !self.settled)
    }

    /// Protects `start..end`, which is mapped. `enforced`: in linear memory, too.
    fn change_protection(&mut self, start: u64, end: u64, prot: u32, enforced: bool) -> Result<()> {
        if prot & WRITE != 0 || prot == 0 {
            self.hide(start, end);
        }
        let losing: Vec<Area> = self.areas.borrow().overlapping(start, end).cloned().collect();
        for area in losing.iter().filter(|area| enforced && area.loses(prot)) {
            if let Err(error) = self.split(area.start.max(start), area.end.min(end)) {
                self.close_memory();
                return Err(error);
            }
        }
        let pieces = self.areas.borrow_mut().remove(start, end);
        for piece in pieces {
            let reserved = piece.reserved && (prot == 0 || piece.is_beyond());
            if self.is_paged(piece.start) {
                self.sparse.borrow_mut().protect(self, piece.start, piece.end, (piece.prot, prot));
            } else if piece.reserved && !reserved {
                self.open(piece.start, piece.end);
                self.hide(piece.start, piece.end);
                self.zero(piece.start, piece.end);
            }
            if enforced && piece.is_enforced() && piece.prot != prot && !piece.is_beyond() {
                self.close(piece.start, piece.end, prot);
            }
            self.areas.borrow_mut().insert(Area { prot, reserved, ..piece });
        }
        self.close_memory();
        Ok(())
    }

    /// `MADV_DONTNEED`: private anonymous memory reads as zeros afterwards. Copies of files stay as they are.
    pub fn drop_contents(&mut self, addr: u64, len: u64) -> Result<()> {
        let (start, end) = self.named_range(addr, len)?;
        self.give_up(start, end, true)
    }

    /// `MADV_FREE`: private anonymous memory may read as zeros afterwards. It does where that gives memory back.
    pub fn free_contents(&mut self, addr: u64, len: u64) -> Result<()> {
        let (start, end) = self.named_range(addr, len)?;
        self.give_up(start, end, false)
    }

    fn give_up(&mut self, start: u64, end: u64, must: bool) -> Result<()> {
        self.check_mapped(start, end - start)?;
        let is_private = |area: &&Area| matches!(area.kind, Kind::Anonymous | Kind::Heap | Kind::Stack);
        let areas: Vec<Area> =
            self.areas.borrow().overlapping(start, end).filter(is_private).cloned().collect();
        for area in areas {
            let (from, to) = (area.start.max(start), area.end.min(end));
            if self.is_paged(from) {
                self.sparse.borrow_mut().drop_pages(self, from, to);
            } else if must && !area.reserved {
                let closed = self.open_closed(from, to);
                self.raw(from, to - from).fill(0);
                if closed {
                    self.close_again(from, to);
                }
            }
        }
        Ok(())
    }

    /// Whether `addr..addr + len` is mapped throughout: mincore(2), msync(2), mlock(2).
    pub fn check_mapped(&self, addr: u64, len: u64) -> Result<()> {
        let (start, end) = self.named_range(addr, len)?;
        if self.areas.borrow().covers(start, end) { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}
