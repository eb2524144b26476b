//! The linear memory as a supply of pages for several address spaces: which are in use, and by how many.

use super::areas::Area;
use super::dirty::Dirty;
use super::{Mm, PAGE_BYTES};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use zerocopy::FromBytes;

/// All pages of the linear memory, by their addresses in there.
pub(super) struct Pool {
    base: u64,
    /// How many hold each page: mappings of it, a file, pico itself. 0: it is free.
    owners: RefCell<&'static mut [u16]>,
    /// Pages that may hold old data when they are taken.
    dirty: RefCell<Dirty>,
    free: Cell<u64>,
    /// All pages before this one are in use.
    first: Cell<usize>,
    last_space: Cell<u32>,
    /// Pages pico keeps pointers to: at the same addresses in all spaces.
    pinned: Vec<Area>,
}

impl Pool {
    /// How many pages the counts take for `len` bytes of memory.
    pub(super) fn own_pages(len: u64) -> usize {
        usize::try_from((len / PAGE * 2).div_ceil(PAGE)).expect("usize is 64 bits wide")
    }

    /// All of `len` bytes at `base` are free; `counts` is memory for the counts.
    pub(super) fn new(
        base: u64,
        len: u64,
        counts: &'static mut [u8],
        dirty: Dirty,
        pinned: Vec<Area>,
    ) -> Result<Self> {
        let owners = <[u16]>::mut_from_bytes(counts).map_err(|_| Errno::EINVAL)?;
        let pages = usize::try_from(len / PAGE).expect("usize is 64 bits wide");
        let owners = owners.get_mut(..pages).ok_or(Errno::EINVAL)?;
        Ok(Self {
            base,
            owners: RefCell::new(owners),
            dirty: RefCell::new(dirty),
            free: Cell::new(len / PAGE),
            first: Cell::new(0),
            last_space: Cell::new(0),
            pinned,
        })
    }

    fn index(&self, page: u64) -> usize {
        usize::try_from((page - self.base) / PAGE).expect("usize is 64 bits wide")
    }

    /// Bytes nobody holds.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free.get() * PAGE
    }

    /// What is at the same addresses in all spaces.
    pub(super) fn pinned(&self) -> &[Area] {
        &self.pinned
    }

    /// Whether what lies at `addr` is the same in all spaces.
    pub(super) fn is_pinned(&self, addr: u64) -> bool {
        let behind = self.pinned.partition_point(|area| area.start <= addr);
        behind > 0 && addr < self.pinned[behind - 1].end
    }

    /// Which pages may hold old data.
    pub(super) fn dirty(&self) -> Dirty {
        self.dirty.borrow().clone()
    }

    /// A number for a new address space.
    pub(super) fn next_space(&self) -> u32 {
        self.last_space.set(self.last_space.get().wrapping_add(1));
        self.last_space.get()
    }

    /// How many hold `page`.
    pub(super) fn owners(&self, page: u64) -> u16 {
        self.owners.borrow()[self.index(page)]
    }

    /// One more holds each page of `start..end`. Address spaces are fewer than what can be counted.
    pub(super) fn retain(&self, start: u64, end: u64) {
        for count in &mut self.owners.borrow_mut()[self.index(start)..self.index(end)] {
            self.free.set(self.free.get() - u64::from(*count == 0));
            *count += 1;
        }
        self.dirty.borrow_mut().mark(start, end);
    }

    /// One less holds each page of `start..end`.
    pub(super) fn release(&self, start: u64, end: u64) {
        let (first, end) = (self.index(start), self.index(end));
        for (index, count) in (first..).zip(&mut self.owners.borrow_mut()[first..end]) {
            debug_assert!(*count > 0, "a page that nobody holds is given back");
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.free.set(self.free.get() + 1);
                self.first.set(self.first.get().min(index));
            }
        }
    }

    /// A zeroed page, held once.
    pub(super) fn take(&self, mm: &Mm) -> Option<u64> {
        self.take_run(mm, 1)
    }

    /// `count` zeroed pages in one piece, held once.
    pub(super) fn take_run(&self, mm: &Mm, count: usize) -> Option<u64> {
        if self.free.get() < count as u64 {
            return None;
        }
        let start = self.find(count)?;
        let (from, to) = (self.base + start as u64 * PAGE, self.base + (start + count) as u64 * PAGE);
        self.dirty.borrow_mut().sweep(from, to, |addr, len| mm.raw(addr, len).fill(0));
        self.retain(from, to);
        Some(from)
    }

    /// The first `count` free pages in one piece.
    fn find(&self, count: usize) -> Option<usize> {
        let owners = self.owners.borrow();
        let is_free = |&(_, count): &(usize, &u16)| *count == 0;
        let first = owners.iter().enumerate().skip(self.first.get()).find(is_free)?.0;
        self.first.set(first);
        let mut start = first;
        while start + count <= owners.len() {
            match owners[start..start + count].iter().rposition(|&owners| owners != 0) {
                None => return Some(start),
                Some(used) => start += used + 1,
            }
        }
        None
    }

    /// A page with a copy of `bytes`, held once.
    pub(super) fn duplicate(&self, mm: &Mm, bytes: &[u8]) -> Option<u64> {
        let start = self.find(1).filter(|_| self.free.get() > 0)?;
        let copy = self.base + (start * PAGE_BYTES) as u64;
        self.retain(copy, copy + PAGE);
        mm.raw(copy, PAGE).copy_from_slice(bytes);
        Some(copy)
    }
}
