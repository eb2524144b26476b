//! Page faults, and everything else that puts memory behind the sparse area.

use super::areas::{Area, EXEC, Kind, WRITE};
use super::sparse::Owned;
use super::{Mm, PAGE_BYTES};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use linux_raw_sys::general as linux;

/// Bits of the processor's error code.
const BY_WRITE: u64 = 1 << 1;
const BY_FETCH: u64 = 1 << 4;

/// Bytes around a touched page that get memory along with it, while there is plenty.
const AROUND: u64 = 16 * PAGE;
/// The most, where as much before them has memory: a program that goes through new memory takes an exception for each part.
const AROUND_MAX: u64 = 256 * PAGE;

/// What became of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFault {
    /// The instruction can be tried again.
    Resolved,
    /// The program may not do that: `SEGV_*`.
    Refused(u32),
    /// The file that is mapped there has ended before.
    Beyond,
    /// There is no memory left.
    OutOfMemory,
}

impl Mm {
    /// The program touched `addr` and the processor refused; `error` is its reason.
    pub fn page_fault(&mut self, addr: u64, error: u64) -> PageFault {
        let Some(area) = self.area_at(addr).filter(|area| area.kind != Kind::Kernel) else {
            return PageFault::Refused(linux::SEGV_MAPERR);
        };
        // Whatever may be touched at all may be read.
        let allowed = match error & (BY_WRITE | BY_FETCH) {
            0 => area.prot != 0,
            BY_WRITE => area.prot & WRITE != 0,
            _ => area.prot & EXEC != 0,
        };
        if allowed && area.is_beyond() {
            return PageFault::Beyond;
        }
        if allowed && !self.is_paged(addr) && self.allow_again(&area, addr) {
            return PageFault::Resolved;
        }
        if !allowed || !self.is_paged(addr) {
            return PageFault::Refused(linux::SEGV_ACCERR);
        }
        let va = addr / PAGE * PAGE;
        if self.sparse.borrow().page(self, va).is_none() {
            return self.back_around(&area, va);
        }
        if error & BY_WRITE != 0 && self.pool.is_some() {
            return self.own_around(&area, va);
        }
        self.sparse.borrow_mut().refresh(self, va, area.prot);
        PageFault::Resolved
    }

    /// Makes the page behind `va` this space's alone and, if there is plenty of memory, its neighbours.
    fn own_around(&self, area: &Area, va: u64) -> PageFault {
        let mut sparse = self.sparse.borrow_mut();
        let Some(first) = sparse.own(self, va, area.prot) else { return PageFault::OutOfMemory };
        if first != Owned::Before {
            self.written.note(va);
        }
        let start = va / AROUND * AROUND;
        let near = start.max(area.start)..(start + AROUND).min(area.end);
        let mut copied = first == Owned::Copied;
        for near in near.step_by(PAGE_BYTES) {
            let plenty = self.free() > self.len / 8;
            let Some(owned) = plenty.then(|| sparse.own(self, near, area.prot)).flatten() else { break };
            copied |= owned == Owned::Copied;
        }
        // After a fault the processor has forgotten the page: without a copy it finds what is allowed now by itself.
        if copied || first == Owned::Before {
            sparse.refresh(self, va, area.prot);
        }
        PageFault::Resolved
    }

    /// Puts memory behind `va` and, if there is plenty, behind its neighbours.
    fn back_around(&self, area: &Area, va: u64) -> PageFault {
        if self.back(area, va).is_err() {
            return PageFault::OutOfMemory;
        }
        let start = va / AROUND * AROUND;
        let mut len = AROUND;
        while len < AROUND_MAX && self.is_backed(area, start.saturating_sub(len)) {
            len *= 2;
        }
        for near in (start..start + len).step_by(PAGE_BYTES) {
            let plenty = self.free() > self.len / 8;
            if near >= area.end || !plenty || near >= area.start && self.back(area, near).is_err() {
                break;
            }
        }
        PageFault::Resolved
    }

    /// Whether memory lies behind `va`, as a page of `area`.
    fn is_backed(&self, area: &Area, va: u64) -> bool {
        (area.start..area.end).contains(&va) && self.sparse.borrow().page(self, va).is_some()
    }

    /// Puts memory behind the page at `va` of `area`, if there is none.
    fn back(&self, area: &Area, va: u64) -> Result<()> {
        let mut sparse = self.sparse.borrow_mut();
        if sparse.page(self, va).is_some() {
            return Ok(());
        }
        sparse.back(self, va, area.prot).ok_or(Errno::ENOMEM)
    }

    /// Puts memory behind `start..end`, as far as it is sparse and may be touched: `ENOMEM` if there is not enough.
    pub fn populate(&self, start: u64, end: u64) -> Result<()> {
        let mut at = start / PAGE * PAGE;
        while at < end && (self.has_spaces() || self.is_paged(at)) {
            let area = self.area_at(at).filter(|area| area.allowed() != 0).ok_or(Errno::ENOMEM)?;
            for va in (at..area.end.min(end)).step_by(PAGE_BYTES).filter(|&va| self.is_paged(va)) {
                self.back(&area, va)?;
            }
            at = area.end;
        }
        Ok(())
    }

    /// Puts memory behind `start..end`, which is mapped, as far as it is not in linear memory.
    pub(super) fn back_all(&self, start: u64, end: u64) -> Result<()> {
        for va in (start / PAGE * PAGE..end).step_by(PAGE_BYTES).filter(|&va| self.is_paged(va)) {
            let area = self.area_at(va).ok_or(Errno::EFAULT)?;
            self.back(&area, va)?;
        }
        Ok(())
    }

    /// Lets the program see `page`, which a file keeps where it is, at `va`, where nothing is behind its mapping yet.
    pub fn show_page(&self, va: u64, page: u64, prot: u32) -> Result<()> {
        self.sparse.borrow_mut().borrow(self, va, self.page_at(page), prot).ok_or_else(|| self.refuse())
    }

    /// Whether each page of `start..end` is in memory: mincore(2).
    pub fn residency(&self, start: u64, end: u64) -> impl Iterator<Item = bool> {
        let resident = move |va: u64| {
            if self.is_paged(va) {
                self.sparse.borrow().page(self, va).is_some()
            } else {
                self.area_at(va).is_some_and(|area| !area.reserved)
            }
        };
        (start..end).step_by(PAGE_BYTES).map(resident)
    }
}
