//! The contents of a file in memory: runs of pages, with holes between them.
//!
//! Bytes behind the size that lie in a run are always zero, so a file can grow without looking at them.

use super::{EXTENT_COST_BYTES, Pool};
use crate::errno::{Errno, Result};
use crate::mm::Mm;
use abi::layout::PAGE;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Most pages taken ahead for a file that grows at its end.
const AHEAD_MAX_PAGES: u64 = 64;

/// The contents of one file.
#[derive(Default)]
pub struct Data {
    size: u64,
    pub(super) allocated: u64,
    /// Ranges that are mapped into the program: their pages stay where they are.
    pub(super) pins: Vec<(u64, u64)>,
    /// Offset to pages; disjoint, page aligned.
    pub(super) extents: BTreeMap<u64, &'static mut [u8]>,
}

/// `offset + len`, which must be a size a file can have.
pub(super) fn checked_end(offset: u64, len: u64) -> Result<u64> {
    let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
    if i64::try_from(end).is_ok() { Ok(end) } else { Err(Errno::EFBIG) }
}

fn usize_of(value: u64) -> usize {
    usize::try_from(value).expect("usize is 64 bits wide")
}

impl Data {
    /// Bytes of contents.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of memory that hold contents.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// The run that holds `offset`, else the next one: its offset and end.
    fn run_at_or_after(&self, offset: u64) -> Option<(u64, u64)> {
        let run = |(&start, pages): (&u64, &&'static mut [u8])| (start, start + pages.len() as u64);
        let before = self.extents.range(..=offset).next_back().map(run).filter(|&(_, end)| end > offset);
        before.or_else(|| self.extents.range(offset..).next().map(run))
    }

    /// Copies what lies at `offset` to `buf` and returns how much there was.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let len = usize_of(self.size.saturating_sub(offset).min(buf.len() as u64));
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let rest = &mut buf[done..len];
            done += match self.run_at_or_after(at) {
                Some((start, _)) if start <= at => {
                    let pages = &self.extents[&start][usize_of(at - start)..];
                    let count = pages.len().min(rest.len());
                    rest[..count].copy_from_slice(&pages[..count]);
                    count
                }
                next => {
                    let hole = next.map_or(u64::MAX, |(start, _)| start - at);
                    let count = usize_of(hole.min(rest.len() as u64));
                    rest[..count].fill(0);
                    count
                }
            };
        }
        len
    }

    /// Writes `buf` at `offset`, as far as there is room ([`Data::reserve`]), and returns how much.
    pub fn write(&mut self, offset: u64, buf: &[u8]) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let Some((start, _)) = self.run_at_or_after(at).filter(|&(start, _)| start <= at) else { break };
            let Some(pages) = self.extents.get_mut(&start) else { break };
            let target = &mut pages[usize_of(at - start)..];
            let count = target.len().min(buf.len() - done);
            target[..count].copy_from_slice(&buf[done..done + count]);
            done += count;
        }
        self.size = self.size.max(offset + done as u64);
        if done == 0 && !buf.is_empty() { Err(Errno::ENOSPC) } else { Ok(done) }
    }

    /// Makes room for `len` bytes at `offset`; returns for how many there is room, `ENOSPC` if for none.
    pub(super) fn reserve(&mut self, mm: &mut Mm, pool: &Pool, offset: u64, len: usize) -> Result<usize> {
        let end = checked_end(offset, len as u64)?;
        let at = self.fill_holes(mm, pool, offset, end, |_| ());
        let room = usize_of(at.min(end).saturating_sub(offset));
        if room == 0 && len > 0 { Err(Errno::ENOSPC) } else { Ok(room) }
    }

    /// Makes room for all of `start..end` and returns which runs that added; `ENOSPC`, and all is as before, if there
    /// is not enough.
    pub(super) fn reserve_all(&mut self, mm: &mut Mm, pool: &Pool, start: u64, end: u64) -> Result<Vec<u64>> {
        // What can only fail is not begun: it would take all memory there is, if only for a moment.
        if self.missing(start, end) > mm.free() {
            mm.note_refused();
            return Err(Errno::ENOSPC);
        }
        let mut added = Vec::new();
        if self.fill_holes(mm, pool, start, end, |run| added.push(run)) < end {
            self.give_back(mm, pool, added);
            return Err(Errno::ENOSPC);
        }
        Ok(added)
    }

    /// Bytes of the pages that hold `start..end` which lie in no run.
    fn missing(&self, start: u64, end: u64) -> u64 {
        let (start, end) = (start / PAGE * PAGE, end.next_multiple_of(PAGE));
        let held = self.extents.range(..end).map(|(&at, pages)| {
            let behind = at + pages.len() as u64;
            end.clamp(at, behind) - start.clamp(at, behind)
        });
        end - start - held.sum::<u64>()
    }

    /// Gives back whole runs that [`Data::reserve_all`] added.
    pub(super) fn give_back(&mut self, mm: &mut Mm, pool: &Pool, added: Vec<u64>) {
        for pages in added.into_iter().filter_map(|at| self.extents.remove(&at)) {
            self.allocated -= pages.len() as u64;
            mm.free_pages(pages);
            pool.refund(EXTENT_COST_BYTES);
        }
    }

    /// Puts runs into the holes of `start..end`, tells `added` where, and returns how far it got.
    fn fill_holes(
        &mut self,
        mm: &mut Mm,
        pool: &Pool,
        start: u64,
        end: u64,
        mut added: impl FnMut(u64),
    ) -> u64 {
        let mut at = start / PAGE * PAGE;
        while at < end {
            let next = self.run_at_or_after(at);
            if let Some((start, run_end)) = next
                && start <= at
            {
                at = run_end;
                continue;
            }
            let hole_end = next.map_or(u64::MAX, |(start, _)| start);
            let need = (end.min(hole_end) - at).div_ceil(PAGE);
            let ahead = if next.is_none() { (self.allocated / PAGE / 4).min(AHEAD_MAX_PAGES) } else { 0 };
            let Some(pages) = take_pages(mm, pool, need, need.max(ahead)) else { break };
            let start = at;
            at += pages.len() as u64;
            self.allocated += pages.len() as u64;
            self.extents.insert(start, pages);
            added(start);
        }
        at
    }

    /// Changes the size; what is cut off is given back, and so is what lies behind a size that stays.
    pub(super) fn resize(&mut self, mm: &mut Mm, pool: &Pool, size: u64) -> Result<()> {
        checked_end(size, 0)?;
        if size <= self.size {
            self.punch(mm, pool, size, u64::MAX)?;
        }
        self.size = size;
        Ok(())
    }

    /// Makes `start..end` zero and gives whole pages back.
    pub(super) fn punch(&mut self, mm: &mut Mm, pool: &Pool, start: u64, end: u64) -> Result<()> {
        let first_page = start.checked_next_multiple_of(PAGE).ok_or(Errno::EFBIG)?;
        let last_page = end / PAGE * PAGE;
        if first_page > last_page {
            self.zero(start, end);
            return Ok(());
        }
        self.zero(start, first_page);
        self.zero(last_page, end);
        if self.is_pinned(first_page, last_page) {
            // Programs can see these pages: they stay.
            self.zero(first_page, last_page);
            return Ok(());
        }
        let runs: Vec<u64> = self.extents.keys().copied().collect();
        for at in runs {
            self.cut(mm, pool, at, first_page, last_page)?;
        }
        Ok(())
    }

    /// Fills the part of `start..end` that lies in runs with zeros.
    fn zero(&mut self, start: u64, end: u64) {
        for (&at, pages) in &mut self.extents {
            let len = pages.len() as u64;
            let from = start.clamp(at, at + len) - at;
            let to = end.clamp(at, at + len) - at;
            if from < to {
                pages[usize_of(from)..usize_of(to)].fill(0);
            }
        }
    }

    /// Gives back the part of the run at `at` that lies in `start..end`, all page aligned.
    pub(super) fn cut(&mut self, mm: &mut Mm, pool: &Pool, at: u64, start: u64, end: u64) -> Result<()> {
        let Some(pages) = self.extents.get(&at) else { return Ok(()) };
        let run_end = at + pages.len() as u64;
        let (from, to) = (start.clamp(at, run_end), end.clamp(at, run_end));
        if from >= to {
            return Ok(());
        }
        let parts = usize::from(from > at) + usize::from(to < run_end);
        if parts == 2 {
            pool.charge(EXTENT_COST_BYTES)?;
        }
        let Some(pages) = self.extents.remove(&at) else { return Ok(()) };
        let (before, rest) = pages.split_at_mut(usize_of(from - at));
        let (middle, after) = rest.split_at_mut(usize_of(to - from));
        self.allocated -= middle.len() as u64;
        mm.free_pages(middle);
        if !before.is_empty() {
            self.extents.insert(at, before);
        }
        if !after.is_empty() {
            self.extents.insert(to, after);
        }
        if parts == 0 {
            pool.refund(EXTENT_COST_BYTES);
        }
        Ok(())
    }

    /// The file is gone: its pages go to the trash.
    pub(super) fn discard(&mut self, pool: &Pool) {
        let extents = core::mem::take(&mut self.extents);
        pool.refund(EXTENT_COST_BYTES * extents.len());
        pool.trash.borrow_mut().extend(extents.into_values());
    }

    /// First offset at or behind `offset` that has contents (`SEEK_DATA`) or has none (`SEEK_HOLE`).
    pub fn seek(&self, offset: u64, hole: bool) -> Result<u64> {
        if offset >= self.size {
            return Err(Errno::ENXIO);
        }
        let mut at = offset;
        while let Some((start, end)) = self.run_at_or_after(at) {
            if !hole {
                let data = start.max(at);
                return if data < self.size { Ok(data) } else { Err(Errno::ENXIO) };
            }
            if start > at || end >= self.size {
                return Ok(if start > at { at } else { self.size });
            }
            at = end;
        }
        if hole { Ok(at.min(self.size)) } else { Err(Errno::ENXIO) }
    }
}

/// Between 1 and `want` pages: `want` if possible, else `need`, else as many as there are in one piece.
fn take_pages(mm: &mut Mm, pool: &Pool, need: u64, want: u64) -> Option<&'static mut [u8]> {
    pool.charge(EXTENT_COST_BYTES).ok()?;
    let mut count = want;
    while count > 0 {
        if let Ok(pages) = mm.alloc_pages(usize_of(count)) {
            // What was tried before was more than is needed in one piece: no refusal to the program.
            mm.take_refused();
            return Some(pages);
        }
        count = if count > need { need } else { count / 2 };
    }
    pool.refund(EXTENT_COST_BYTES);
    None
}
