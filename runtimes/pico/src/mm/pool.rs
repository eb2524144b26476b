//! The linear memory as a supply of pages for several address spaces: which are in use, and by how many.

use super::areas::Area;
use super::dirty::Dirty;
use super::tables::PageTables;
use super::{AREAS_OF_ALL_MAX, Mm, PAGE_BYTES};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use zerocopy::FromBytes;

/// A page that was once held by so many stays in use for ever.
const LOST: u16 = u16::MAX;

/// All pages of the linear memory, by their addresses in there.
pub(super) struct Pool {
    base: u64,
    /// How many hold each page: mappings of it, a file, pico itself. 0: it is free; [`LOST`]: too many to be counted.
    owners: RefCell<&'static mut [u16]>,
    /// Pages that may hold old data when they are taken.
    dirty: RefCell<Dirty>,
    free: Cell<u64>,
    /// All pages before this one are in use.
    first: Cell<usize>,
    last_space: Cell<u32>,
    /// Areas of all spaces, as each has counted its own when it made one last.
    areas: Cell<usize>,
    /// Pages pico keeps pointers to: at the same addresses in all spaces.
    pinned: Vec<Area>,
    spare: RefCell<Spare>,
}

/// Page tables of address spaces that are gone, for those to come. Who shadows page tables has what it made of these, so
/// that they cost far less than new ones.
#[derive(Default)]
struct Spare {
    tables: Vec<Rc<dyn PageTables>>,
    pages: u64,
}

/// Most tables of spaces that are gone, and most pages of each.
const SPARE_MAX: usize = 4;
const SPARE_PAGES_MAX: usize = 128;

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
            areas: Cell::new(0),
            pinned,
            spare: RefCell::default(),
        })
    }

    fn index(&self, page: u64) -> usize {
        usize::try_from((page - self.base) / PAGE).expect("usize is 64 bits wide")
    }

    /// Bytes nobody holds, or that would be given back if there were no others.
    pub(super) fn free_bytes(&self) -> u64 {
        (self.free.get() + self.spare.borrow().pages) * PAGE
    }

    /// Keeps `tables`, which nobody uses any more, for another space, or gives back their pages.
    pub(super) fn keep_spare(&self, tables: &Rc<dyn PageTables>) {
        let pages = tables.pages().len();
        let mut spare = self.spare.borrow_mut();
        if pages > SPARE_PAGES_MAX || spare.tables.len() >= SPARE_MAX {
            return self.drop_tables(&**tables);
        }
        spare.tables.push(tables.clone());
        spare.pages += pages as u64;
    }

    /// Tables in which all but what is pinned leads nowhere.
    pub(super) fn take_spare(&self) -> Option<Rc<dyn PageTables>> {
        let mut spare = self.spare.borrow_mut();
        let tables = spare.tables.pop()?;
        spare.pages -= tables.pages().len() as u64;
        Some(tables)
    }

    /// Gives back the pages of `tables`.
    pub(super) fn drop_tables(&self, tables: &dyn PageTables) {
        tables.pages().into_iter().for_each(|page| self.release(page, page + PAGE));
    }

    /// `count` free pages in one piece, at the cost of spare tables if there are no others.
    fn find_or_reclaim(&self, count: usize) -> Option<usize> {
        self.find(count).or_else(|| {
            let spare = self.spare.take();
            spare.tables.iter().for_each(|tables| self.drop_tables(&**tables));
            self.find(count)
        })
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

    /// A space has `own` areas, and had `counted`. Returns whether there may be more of them.
    pub(super) fn count_areas(&self, counted: &Cell<usize>, own: usize) -> bool {
        self.areas.set(self.areas.get() - counted.replace(own) + own);
        self.has_room_for(1)
    }

    /// Whether there may be `more` areas.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.areas.get() + more <= AREAS_OF_ALL_MAX
    }

    /// How many hold `page`.
    pub(super) fn owners(&self, page: u64) -> u16 {
        self.owners.borrow()[self.index(page)]
    }

    /// One more holds each page of `start..end`.
    pub(super) fn retain(&self, start: u64, end: u64) {
        for count in &mut self.owners.borrow_mut()[self.index(start)..self.index(end)] {
            self.free.set(self.free.get() - u64::from(*count == 0));
            *count = count.saturating_add(1);
        }
        self.dirty.borrow_mut().mark(start, end);
    }

    /// One less holds each page of `start..end`.
    pub(super) fn release(&self, start: u64, end: u64) {
        let (first, end) = (self.index(start), self.index(end));
        for (index, count) in (first..).zip(&mut self.owners.borrow_mut()[first..end]) {
            debug_assert!(*count > 0, "a page that nobody holds is given back");
            if *count == LOST {
                continue;
            }
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
        let start = self.find_or_reclaim(count)?;
        let (from, to) = (self.base + start as u64 * PAGE, self.base + (start + count) as u64 * PAGE);
        self.dirty.borrow_mut().sweep(from, to, |addr, len| mm.raw(addr, len).fill(0));
        self.retain(from, to);
        Some(from)
    }

    /// The first `count` free pages in one piece.
    fn find(&self, count: usize) -> Option<usize> {
        if self.free.get() < count as u64 {
            return None;
        }
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
        let start = self.find_or_reclaim(1)?;
        let copy = self.base + (start * PAGE_BYTES) as u64;
        self.retain(copy, copy + PAGE);
        mm.raw(copy, PAGE).copy_from_slice(bytes);
        Some(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_too_many_held_is_never_given_to_others() {
        let counts = alloc::vec![0; PAGE_BYTES].leak();
        let pool = Pool::new(0, 2 * PAGE, counts, Dirty::new(0, 2 * PAGE), Vec::new()).unwrap();
        let holders = usize::from(u16::MAX) + 9;
        (0..holders).for_each(|_| pool.retain(0, PAGE));
        (0..holders).for_each(|_| pool.release(0, PAGE));
        assert_eq!((pool.owners(0), pool.free_bytes(), pool.find(1)), (LOST, PAGE, Some(1)));
    }
}
