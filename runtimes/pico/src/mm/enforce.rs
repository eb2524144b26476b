//! Protections in linear memory.
//!
//! The host maps linear memory in pieces of 2 MiB that allow everything. A piece of which the program protects a part gets
//! a table of 4 KiB pages, which it keeps. A page in there is open, as at first, or allows exactly what its
//! mapping does. Whatever is not mapped is open, so pico can use it; mappings that can be read and written need no table.
//!
//! pico itself is held up by protections, too: it opens pages before it writes to them.

use super::areas::Area;
use super::shown::cut;
use super::{DATA, Mm, PAGE_BYTES};
use crate::errno::Result;
use abi::layout::{HUGE, PAGE};
use alloc::vec::Vec;

impl Area {
    /// Whether its protection is enforced in linear memory. Pages of memory files are pico's to write to as well.
    pub(super) fn is_enforced(&self) -> bool {
        !self.kind.is_of_files() && !super::is_sparse(self.start)
    }

    /// Whether something is not allowed any more with protection `prot`.
    pub(super) fn loses(&self, prot: u32) -> bool {
        self.is_enforced() && self.prot & !prot != 0
    }

    /// Whether pico cannot simply read and write there.
    pub(super) fn is_closed(&self) -> bool {
        self.is_enforced() && self.allowed() & DATA != DATA
    }
}

impl Mm {
    /// Sees to it that what is mapped in `start..end` can be protected: `ENOMEM` if there is no memory for tables. No flush: small
    /// pages allow what the large one did until they are closed.
    pub(super) fn split(&self, start: u64, end: u64) -> Result<()> {
        if self.pool.is_some() || super::is_sparse(start) {
            return Ok(());
        }
        for part in cut(start, end) {
            let is_shown = self.shown.borrow().page(part.start).is_some();
            if !is_shown && !self.linear.is_split(part.start) {
                // The processor forgets the large pages of those that were split before.
                let table = self.alloc_pages(1).inspect_err(|_| self.linear.flush())?;
                // Its place may be in a piece that had to become memory, and then all such pieces were protected: this one, too.
                if self.linear.is_split(part.start) {
                    self.free_pages(table);
                    continue;
                }
                let table = table.as_ptr().expose_provenance() as u64;
                self.linear.split(part.start / HUGE * HUGE, table);
            }
        }
        Ok(())
    }

    /// Protects the new mapping `area`, unless it can be read and written. A guard over what shows an image makes memory of it.
    pub(super) fn close_new(&self, area: &Area) -> Result<()> {
        if !area.is_closed() {
            return Ok(());
        }
        if area.prot == 0 {
            self.hide(area.start, area.end);
        }
        let split = self.split(area.start, area.end);
        if split.is_ok() {
            self.close(area.start, area.end, area.allowed());
        }
        self.close_memory();
        split
    }

    /// Lets the processor allow `prot` in `start..end` of linear memory, where that was split.
    pub(super) fn close(&self, start: u64, end: u64, prot: u32) {
        self.set_allowed(start, end, Some(prot));
    }

    /// Lets the processor allow everything in `start..end` of linear memory.
    pub(super) fn open(&self, start: u64, end: u64) {
        self.set_allowed(start, end, None);
    }

    fn set_allowed(&self, start: u64, end: u64, prot: Option<u32>) {
        let (start, end) = (start.max(self.base) / PAGE * PAGE, end.min(self.end()));
        if self.pool.is_some() {
            return;
        }
        let mut changed = false;
        for part in cut(start, end).filter(|part| self.linear.is_split(part.start)) {
            for va in part.step_by(PAGE_BYTES) {
                changed |= self.linear.allow(va, prot);
            }
        }
        if changed {
            self.linear.flush();
        }
    }

    /// Protects what is mapped in `start..end` and cannot be read and written. Without memory for tables it stays open: the
    /// program did not ask for anything that could fail.
    pub(super) fn close_again(&self, start: u64, end: u64) {
        let refused = self.refused.get();
        for area in self.closed(start, end) {
            let (from, to) = (area.start.max(start), area.end.min(end));
            let _ = self.split(from, to);
            self.close(from, to, area.allowed());
        }
        self.refused.set(refused);
    }

    /// Protects what is mapped in pieces that showed an image until now. The tables that takes may make more pieces memory:
    /// they come next, not deeper on the stack.
    pub(super) fn close_memory(&self) {
        if self.is_closing.replace(true) {
            return;
        }
        loop {
            let pieces = self.became_memory.take();
            if pieces.is_empty() {
                break;
            }
            for piece in pieces {
                self.close_again(piece, piece + HUGE);
            }
        }
        self.is_closing.set(false);
    }

    /// Opens what is closed in `start..end`, for pico to write to. Returns whether anything was.
    pub(super) fn open_closed(&self, start: u64, end: u64) -> bool {
        let closed = self.closed(start, end);
        for area in &closed {
            self.open(area.start.max(start), area.end.min(end));
        }
        !closed.is_empty()
    }

    fn closed(&self, start: u64, end: u64) -> Vec<Area> {
        if self.pool.is_some() {
            return Vec::new();
        }
        self.areas.borrow().overlapping(start, end).filter(|area| area.is_closed()).cloned().collect()
    }

    /// Lets pico write to the text in `start..end`, many times, until [`Mm::close_text`].
    pub(crate) fn open_text(&self, start: u64, end: u64) {
        self.open_closed(start, end);
        self.patching.set(true);
    }

    /// The end of that.
    pub(crate) fn close_text(&self, start: u64, end: u64) {
        self.patching.set(false);
        self.close_again(start, end);
    }

    /// pico itself touched `addr` and the processor refused: another thread has protected or unmapped what a system call uses.
    /// It harms that program alone, which has an open page there from now on. Returns whether that helps.
    pub fn open_for_pico(&self, addr: u64) -> bool {
        let va = addr / PAGE * PAGE;
        if self.is_inside(va, va.saturating_add(PAGE)) && self.is_paged(va) {
            self.strays.set(self.strays.get() || self.area_at(va).is_none());
            return self.give_to_pico(va).is_some();
        }
        let inside = (self.base..self.end()).contains(&addr) && self.pool.is_none();
        let closed = inside && self.linear.is_split(addr) && self.linear.allow(addr / PAGE * PAGE, None);
        if closed {
            self.linear.flush();
        }
        closed
    }

    /// Sees to it that there is a page behind `va`, taken page by page, that can be written to.
    fn give_to_pico(&self, va: u64) -> Option<()> {
        let mut sparse = self.sparse.try_borrow_mut().ok()?;
        if sparse.page(self, va).is_none() {
            return sparse.back(self, va, DATA);
        }
        sparse.own(self, va, DATA)?;
        sparse.refresh(self, va, DATA);
        Some(())
    }

    /// What the processor refused at `addr` of `area`, which allows it: a page that was closed before.
    pub(super) fn allow_again(&self, area: &Area, addr: u64) -> bool {
        let wrong = self.pool.is_none()
            && area.is_enforced()
            && self.linear.is_split(addr)
            && self.linear.allow(addr / PAGE * PAGE, Some(area.prot));
        if wrong {
            self.linear.flush();
        }
        wrong
    }
}

#[cfg(test)]
#[path = "enforce_tests.rs"]
mod tests;
