//! mremap(2).

use super::areas::{Area, Kind};
use super::sparse::is_sparse;
use super::{Mm, PAGE_BYTES, round_up};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;

impl Mm {
    /// mremap(2) of anything but a file that is mapped shared: changes the size of a mapping, in place if possible, else somewhere else if `may_move`,
    /// or moves it to `to`. What reaches beyond the end of its file is not moved.
    pub fn remap(&mut self, addr: u64, old: u64, new: u64, may_move: bool, to: Option<u64>) -> Result<u64> {
        if !addr.is_multiple_of(PAGE) || new == 0 || old == 0 {
            return Err(Errno::EINVAL);
        }
        let (old, new) = (round_up(old)?, round_up(new)?);
        let old_end = addr.checked_add(old).ok_or(Errno::EINVAL)?;
        let area = self.area_at(addr).filter(|area| !area.kind.is_of_files()).ok_or(Errno::EFAULT)?;
        let last = self.part_at_end(&area, old_end).ok_or(Errno::EFAULT)?;
        if let Some(to) = to {
            if area.end < old_end {
                return Err(Errno::EFAULT);
            }
            if to < old_end && to.saturating_add(new) > addr {
                return Err(Errno::EINVAL);
            }
            self.fixed_range(to, new)?;
            self.discard(to, to + new);
            return self.relocate(&area, addr, old, new, to);
        }
        if new <= old {
            self.discard(addr + new, old_end);
            self.forget_shown(addr + new, old_end);
            return Ok(addr);
        }
        if let Some(end) = addr.checked_add(new)
            && self.is_inside(addr, end)
            && self.areas.borrow().is_free(old_end, end)
        {
            let file = last.file.map(|(path, offset)| (path, offset + (old_end - last.start)));
            let more = Area { start: old_end, end, file, ..last };
            self.place(more.clone())?;
            if let Err(errno) = self.close_new(&more) {
                self.discard(old_end, end);
                return Err(errno);
            }
            self.inherited.borrow_mut().follow(addr..old_end, addr, end);
            return Ok(addr);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        if area.end < old_end {
            return Err(Errno::EFAULT);
        }
        let to = if is_sparse(addr) { self.find_sparse_gap(new)? } else { self.find_gap(new)? };
        self.relocate(&area, addr, old, new, to)
    }

    /// The part with the end of what is mapped from `area` to `end`: a mapping of a file has a second one beyond the file's end.
    fn part_at_end(&self, area: &Area, end: u64) -> Option<Area> {
        let mut last = area.clone();
        while last.end < end {
            let is_more = |next: &Area| last.kind == Kind::File && last.is_continued_by(next);
            last = self.area_at(last.end).filter(is_more)?;
        }
        Some(last)
    }

    /// Moves `old` bytes at `addr` (inside `area`) to the free range of `new` bytes at `to`.
    fn relocate(&mut self, area: &Area, addr: u64, old: u64, new: u64, to: u64) -> Result<u64> {
        let file = area.file.as_ref().map(|(path, offset)| (path.clone(), offset + (addr - area.start)));
        let target = Area { start: to, end: to + new, file, ..area.clone() };
        self.place(target.clone())?;
        let len = old.min(new);
        if let Err(errno) = if target.is_closed() { self.split(to, to + new) } else { Ok(()) } {
            self.discard(to, to + new);
            return Err(errno);
        }
        let closed = self.open_closed(addr, addr + len);
        let moved = match (self.is_paged(addr), self.is_paged(to)) {
            (true, true) => {
                let moved = self.sparse.borrow_mut().move_pages(self, addr, addr + len, to, area.prot);
                moved.ok_or_else(|| self.refuse())
            }
            (true, false) => {
                self.copy_out(addr, len, to);
                Ok(())
            }
            (false, _) if area.reserved => Ok(()),
            (false, true) => self.copy_in(addr, len, to, area.prot),
            (false, false) => {
                self.raw(to, len).copy_from_slice(self.raw(addr, len));
                Ok(())
            }
        };
        if moved.is_err() {
            self.discard(to, to + new);
            if closed {
                self.close_again(addr, addr + len);
            }
            return moved.map(|()| to);
        }
        self.close_new(&target)?;
        self.inherited.borrow_mut().follow(addr..addr + len, to, to + new);
        self.discard(addr, addr + old);
        self.forget_shown(addr, addr + old);
        Ok(to)
    }

    /// Copies what lies behind sparse addresses to zeroed linear memory.
    fn copy_out(&self, addr: u64, len: u64, to: u64) {
        let sparse = self.sparse.borrow();
        for part in sparse.parts(&(addr..addr + len)) {
            for va in sparse.backed(self, &part) {
                if let Some(page) = sparse.page(self, va) {
                    self.raw(to + (va - addr), PAGE).copy_from_slice(self.raw(page, PAGE));
                }
            }
        }
    }

    /// Copies linear memory to sparse addresses.
    fn copy_in(&self, addr: u64, len: u64, to: u64, prot: u32) -> Result<()> {
        let mut sparse = self.sparse.borrow_mut();
        for offset in (0..len).step_by(PAGE_BYTES) {
            sparse.back(self, to + offset, prot).ok_or_else(|| self.refuse())?;
            let page = sparse.page(self, to + offset).ok_or(Errno::ENOMEM)?;
            self.raw(page, PAGE).copy_from_slice(self.raw(addr + offset, PAGE));
        }
        Ok(())
    }
}
