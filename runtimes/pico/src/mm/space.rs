//! Several address spaces.
//!
//! A program that never makes a second process has the linear memory for itself, as the host mapped it. The first wish
//! for another space makes that memory a supply of pages ([`Pool`]) for all of them: every mapping, in linear memory too,
//! is then one of pages, with page tables of pico's own, as in the sparse area. Pages keep the addresses they have in linear memory as
//! their names, and pico reaches them through a second view of that memory, which all spaces have.
//!
//! What pico holds pointers to at that moment (stacks, contents of files, code) is pinned: it stays at its addresses, in all
//! spaces, and is treated as linear memory always was.
//!
//! A copy has entries for all its pages at once: to write one costs far less than a page fault.
//! The host never uses a VM with several spaces for another request: the second view is an entry in the root the host
//! made, which it finds changed.

use super::areas::{Area, Areas, Kind};
use super::dirty::Dirty;
use super::pool::Pool;
use super::shown::Shown;
use super::sparse::{Owned, Sparse};
use super::{DATA, Mm, round_up};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// With more address spaces than this, nothing is copied ahead: who makes many of them wants them small.
const FEW: usize = 8;

impl Mm {
    /// A copy of this address space, copy on write (fork). This one must be the processor's.
    pub fn copy(&mut self) -> Result<Mm> {
        self.convert()?;
        self.populate_shared()?;
        let mut child = self.empty()?;
        let Some(pool) = self.pool.clone() else { return Err(Errno::EINVAL) };
        let mut kept = self.areas.borrow().clone();
        let of_child = self.inherited.borrow().of_child(&mut kept, |va| !self.is_paged(va));
        child.inherited = RefCell::new(of_child);
        if self.is_crowded() || !pool.has_room_for(kept.len()) {
            child.release();
            return Err(Errno::ENOMEM);
        }
        if self.sparse.borrow().make_room_in(&child).is_none() {
            child.release();
            return Err(self.refuse());
        }
        let (areas, sparse) = (self.areas.borrow(), self.sparse.borrow());
        // Each space has the pool, and so has this function.
        let ahead = Rc::strong_count(&pool) <= 1 + FEW && self.free() > self.len / 8;
        let inherited = self.inherited.borrow();
        inherited.each_shared(&areas, |area| sparse.share(self, &child, &pool, area, ahead));
        sparse.tables().flush();
        drop(sparse);
        pool.count_areas(&child.counted, kept.len());
        child.areas = RefCell::new(kept);
        drop((areas, inherited));
        (child.brk_start, child.brk) = (self.brk_start, self.brk);
        Ok(child)
    }

    /// An address space in which nothing of a program is mapped (execve). This one must be the processor's.
    pub fn empty(&mut self) -> Result<Mm> {
        self.convert()?;
        let Some(pool) = self.pool.clone() else { return Err(Errno::EINVAL) };
        let sparse = Sparse::of_new_space(self, &pool, &**self.sparse.borrow().tables());
        let sparse = sparse.ok_or_else(|| self.refuse())?;
        let mut areas = Areas::default();
        pool.pinned().iter().for_each(|area| areas.insert(area.clone()));
        Ok(Mm {
            base: self.base,
            len: self.len,
            areas: RefCell::new(areas),
            dirty: RefCell::new(Dirty::new(self.base, 0)),
            sparse: RefCell::new(sparse),
            linear: self.linear.clone(),
            shown: RefCell::default(),
            became_memory: RefCell::default(),
            is_closing: Cell::default(),
            patching: Cell::new(false),
            settled: self.settled,
            brk_start: self.base,
            brk: self.base,
            refused: Cell::new(false),
            inherited: RefCell::default(),
            strays: Cell::default(),
            counted: Cell::default(),
            direct: self.direct,
            number: pool.next_space(),
            written: self.written.clone(),
            pool: Some(pool),
        })
    }

    /// Gives back all that only this address space holds. It must not be the processor's: another one was activated.
    pub fn release(self) {
        if let Some(pool) = &self.pool {
            pool.count_areas(&self.counted, 0);
            self.sparse.borrow_mut().release(&self, pool);
        }
    }

    /// Identity of the address space among those that exist.
    pub fn space(&self) -> u32 {
        self.number
    }

    /// Identity of the memory at `addr` for futexes: the same in all address spaces that share it.
    pub fn futex_key(&self, addr: u64) -> (u32, u64) {
        let area = self.area_at(addr).filter(|area| matches!(area.kind, Kind::Shared | Kind::SharedFile));
        let Some(area) = area.filter(|_| self.pool.is_some()) else { return (self.number, addr) };
        if !self.is_paged(addr) {
            return (u32::MAX, addr);
        }
        let page = match self.populate(addr, addr + 1) {
            Ok(()) if area.prot != 0 => self.sparse.borrow().page(self, addr / PAGE * PAGE),
            _ => None,
        };
        page.map_or((self.number, addr), |page| (u32::MAX, page + addr % PAGE))
    }

    /// The processor goes on in this address space.
    pub fn activate(&self) {
        if self.pool.is_some() {
            self.sparse.borrow().tables().activate();
        }
    }

    /// Whether the memory at `addr` is taken page by page.
    pub(super) fn is_paged(&self, addr: u64) -> bool {
        super::is_sparse(addr) || self.pool.as_ref().is_some_and(|pool| !pool.is_pinned(addr))
    }

    /// Whether there is or was more than one address space.
    pub(crate) fn has_spaces(&self) -> bool {
        self.pool.is_some()
    }

    /// What is mapped to be shared has all its memory before it is.
    fn populate_shared(&self) -> Result<()> {
        let shared = |area: &&Area| area.kind == Kind::Shared && area.prot != 0;
        let areas: Vec<Area> = self.areas.borrow().iter().filter(shared).cloned().collect();
        areas.iter().try_for_each(|area| self.populate(area.start, area.end))
    }

    /// Makes the linear memory a supply of pages, unless it is. On failure nothing has changed.
    fn convert(&mut self) -> Result<()> {
        if self.pool.is_some() {
            return Ok(());
        }
        let counts = self.alloc_pages(Pool::own_pages(self.len))?;
        let counts_at = counts.as_ptr().expose_provenance() as u64;
        let counts_len = counts.len() as u64;
        let mut areas = self.areas.borrow().clone();
        for (start, end, _) in self.sparse.borrow().frames().blocks() {
            areas.remove(start, end);
        }
        let is_pinned = |area: &&Area| area.kind.is_of_files() && !super::is_sparse(area.start);
        let pinned = areas.iter().filter(is_pinned).map(|area| Area {
            kind: Kind::Kernel,
            file: None,
            ..area.clone()
        });
        let pinned = pinned.collect();
        let pool = Pool::new(self.base, self.len, counts, self.dirty.borrow().clone(), pinned)?;
        // Pages are closed in the tables of the new spaces.
        self.open(self.base, self.end());
        let shown = self.take_shown();
        self.count_pages(&pool, &areas, &shown);
        self.direct = self.sparse.borrow().tables().show_again();
        self.pool = Some(Rc::new(pool));
        let Some(sparse) = self.paged(&areas, &shown) else {
            if let Some(pool) = self.pool.take() {
                self.dirty.replace(pool.dirty());
            }
            self.direct = 0;
            self.show_again(shown);
            self.close_again(self.base, self.end());
            self.discard(counts_at, counts_at + counts_len);
            return Err(self.refuse());
        };
        self.areas.replace(areas);
        self.sparse.replace(sparse);
        self.activate();
        Ok(())
    }

    /// Tells the new `pool` which pages are in use. `areas` are all but the blocks of pages for the sparse area.
    fn count_pages(&self, pool: &Pool, areas: &Areas, shown: &Shown) {
        let linear = |area: &&Area| !super::is_sparse(area.start) && !area.reserved;
        for area in areas.iter().filter(linear) {
            for memory in shown.memory(area.start, area.end) {
                pool.retain(memory.start, memory.end);
            }
        }
        for (_, _, used) in self.sparse.borrow().frames().blocks() {
            used.for_each(|page| pool.retain(page, page + PAGE));
        }
    }

    /// Notes and page tables for what is mapped now.
    fn paged(&self, areas: &Areas, shown: &Shown) -> Option<Sparse> {
        let pool = self.pool.as_ref()?;
        let old = self.sparse.borrow();
        let mut sparse = Sparse::of_new_space(self, pool, &**old.tables())?;
        sparse.take_notes(self, &old, areas, shown)?;
        sparse.hold_borrowed(self, pool);
        Some(sparse)
    }

    /// The page that pico sees at `addr`, an address from [`Mm::alloc_pages`].
    pub(super) fn page_at(&self, addr: u64) -> u64 {
        if addr >= self.base && addr < self.end() { addr } else { addr - self.direct }
    }

    /// Sees to it that pages of `start..end`, which have memory, are this space's alone before pico writes to them.
    pub(super) fn own(&self, start: u64, end: u64) -> Result<()> {
        let mut changed = false;
        let mut at = start / PAGE * PAGE;
        while at < end && self.pool.is_some() {
            let prot = self.area_at(at).map_or(DATA, |area| area.prot);
            let owned = self.sparse.borrow_mut().own(self, at, prot);
            if owned.ok_or_else(|| self.refuse())? == Owned::Copied {
                self.written.note(at);
                changed = true;
            }
            at += PAGE;
        }
        if changed {
            self.sparse.borrow().tables().flush();
        }
        Ok(())
    }

    /// Whether [`Mm::patch`] can write at `addr`, which is mapped: not where all address spaces have the same.
    pub(crate) fn can_patch(&self, addr: u64) -> bool {
        self.pool.is_none() || self.is_paged(addr)
    }

    /// Makes all pages of `start..end`, which is mapped, this space's own, for [`Mm::patch`].
    pub(crate) fn own_text(&self, start: u64, end: u64) -> Result<()> {
        self.back_all(start, end)?;
        self.own(start, end)
    }

    /// Writes `bytes` at `addr`, which is mapped, whatever its protection.
    pub(crate) fn patch(&self, addr: u64, bytes: &[u8]) -> Result<()> {
        if self.pool.is_none() {
            let end = addr + bytes.len() as u64;
            self.hide(addr, end);
            self.close_memory();
            let closed = self.open_closed(addr / PAGE * PAGE, end);
            self.raw(addr, bytes.len() as u64).copy_from_slice(bytes);
            if closed && !self.patching.get() {
                self.close_again(addr / PAGE * PAGE, round_up(end)?);
            }
            return Ok(());
        }
        let end = addr + bytes.len() as u64;
        self.back_all(addr, end)?;
        self.own(addr, end)?;
        for (part, page) in self.pieces(addr, end)? {
            let from = usize::try_from(part.start - addr).map_err(|_| Errno::EFAULT)?;
            let target = self.raw(page, part.end - part.start);
            target.copy_from_slice(&bytes[from..from + target.len()]);
        }
        Ok(())
    }

    /// The `len` bytes at `addr`, which is mapped, whatever its protection.
    pub(crate) fn peek(&self, addr: u64, len: u64) -> Result<Vec<u8>> {
        if self.pool.is_none() {
            return Ok(self.raw(addr, len).to_vec());
        }
        self.back_all(addr, addr + len)?;
        let mut bytes = Vec::new();
        for (part, page) in self.pieces(addr, addr + len)? {
            bytes.extend_from_slice(match self.sparse.borrow().image(self, part.start / PAGE * PAGE) {
                Some(image) => {
                    let from = part.start % PAGE;
                    &self.image_page(image)
                        [super::shown::index(from)..super::shown::index(from + part.end - part.start)]
                }
                None => self.raw(page, part.end - part.start),
            });
        }
        Ok(bytes)
    }

    /// `start..end` page by page, with where the bytes lie.
    fn pieces(&self, start: u64, end: u64) -> Result<Vec<(core::ops::Range<u64>, u64)>> {
        let sparse = self.sparse.borrow();
        let (mut at, mut pieces) = (start, Vec::new());
        while at < end {
            let next = end.min(at / PAGE * PAGE + PAGE);
            let page = sparse.page(self, at / PAGE * PAGE).ok_or(Errno::EFAULT)?;
            pieces.push((at..next, page + at % PAGE));
            at = next;
        }
        Ok(pieces)
    }
}
