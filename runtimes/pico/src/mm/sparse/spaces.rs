//! What backs several address spaces: notes that are copied, pages that are shared until they are written to.

use super::{BORROWED, Chunk, FLAGS, IMAGE, PROTECTED, Sparse, shown};
use crate::mm::areas::{Area, Areas, EXEC, Kind};
use crate::mm::pool::Pool;
use crate::mm::shown::Shown;
use crate::mm::tables::PageTables;
use crate::mm::{DATA, Mm, PAGE_BYTES};
use abi::layout::{HUGE, PAGE};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// How a page became an address space's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mm) enum Owned {
    /// It was, or is shared on purpose.
    Before,
    /// Nobody else holds it any more: more is allowed now than the processor may remember.
    Alone,
    /// By a copy: the processor may remember the other page.
    Copied,
}

impl Sparse {
    /// Page tables with nothing in them but what all spaces have. `None`, and nothing was taken, if there is no memory.
    pub(in crate::mm) fn of_new_space(mm: &Mm, pool: &Pool, tables: &dyn PageTables) -> Option<Self> {
        if let Some(tables) = pool.take_spare() {
            return Some(Self::new(tables));
        }
        let root = pool.take(mm)?;
        let mut new = Self::new(tables.another(root));
        if new.map_pinned(mm, pool).is_none() {
            pool.drop_tables(&*new.tables);
            return None;
        }
        Some(new)
    }

    fn map_pinned(&mut self, mm: &Mm, pool: &Pool) -> Option<()> {
        for area in pool.pinned() {
            for va in (area.start..area.end).step_by(PAGE_BYTES) {
                self.make_tables(mm, va)?;
                self.tables.set(va, va, DATA | EXEC);
            }
        }
        Some(())
    }

    /// The page tables.
    pub(in crate::mm) fn tables(&self) -> &Rc<dyn PageTables> {
        &self.tables
    }

    /// Takes the notes of `old`, whose pages it had from its own blocks, and makes notes on the linear memory that `areas`
    /// and `images` say is in use. `None` if there is no memory.
    pub(in crate::mm) fn take_notes(
        &mut self,
        mm: &Mm,
        old: &Self,
        areas: &Areas,
        images: &Shown,
    ) -> Option<()> {
        for (&number, chunk) in &old.chunks {
            self.make_tables(mm, number * HUGE)?;
            self.chunks.insert(number, Chunk { ..*chunk });
        }
        for area in areas.iter() {
            let linear = !crate::mm::is_sparse(area.start);
            if linear && !area.reserved && !area.kind.is_of_files() {
                for va in (area.start..area.end).step_by(PAGE_BYTES) {
                    self.prepare(mm, va)?;
                    let note = images.page(va).map_or(va, |image| image | IMAGE | PROTECTED);
                    self.put(mm, va, note, area.prot);
                }
            } else if !linear {
                for va in self.all_backed(mm, area) {
                    let page = self.page(mm, va)?;
                    self.tables.set(va, page, area.prot);
                }
            }
        }
        Some(())
    }

    /// Addresses in `area` with pages behind them.
    fn all_backed(&self, mm: &Mm, area: &Area) -> Vec<u64> {
        let parts = self.parts(&(area.start..area.end));
        parts.iter().flat_map(|part| self.backed(mm, part)).collect()
    }

    /// From now on a mapping of a file's page holds it, as the file does.
    pub(in crate::mm) fn hold_borrowed(&mut self, mm: &Mm, pool: &Pool) {
        for (&number, chunk) in &self.chunks {
            for va in (number * HUGE..(number + 1) * HUGE).step_by(PAGE_BYTES) {
                if let Some(note) = chunk.note(mm, va).filter(|note| note & BORROWED != 0) {
                    let page = note & !FLAGS;
                    pool.retain(page, page + PAGE);
                    chunk.set(mm, va, page);
                }
            }
        }
    }

    /// Makes room in the new space `child` for notes on all that has notes here. `None` if there is no memory.
    pub(in crate::mm) fn make_room_in(&self, child: &Mm) -> Option<()> {
        let mut sparse = child.sparse.borrow_mut();
        self.chunks.keys().try_for_each(|number| sparse.prepare(child, number * HUGE))
    }

    /// Shares the pages behind `area` with `child`, which has room for the notes. `ahead`: what both would write to at once
    /// is copied now.
    pub(in crate::mm) fn share(&self, mm: &Mm, child: &Mm, pool: &Pool, area: &Area, ahead: bool) {
        let mut sparse = child.sparse.borrow_mut();
        let tables = sparse.tables.clone();
        let flag = if matches!(area.kind, Kind::Shared | Kind::SharedFile) { 0 } else { PROTECTED };
        for part in self.parts(&(area.start..area.end)) {
            let number = part.start / HUGE;
            let (Some(own), Some(new)) = (self.chunks.get(&number), sparse.chunks.get_mut(&number)) else {
                continue;
            };
            for va in part.step_by(PAGE_BYTES) {
                let Some(note) = own.note(mm, va) else { continue };
                let (page, shared) = (note & !FLAGS, note | flag);
                new.used += 1;
                if ahead
                    && note & IMAGE == 0
                    && flag != 0
                    && mm.written.has(va)
                    && let Some(copy) = pool.duplicate(mm, mm.raw(page, PAGE))
                {
                    tables.set(va, copy, area.prot);
                    new.set(child, va, copy);
                    continue;
                }
                if note & IMAGE != 0 {
                    tables.set_image(va, page, shown(shared, area.prot));
                } else {
                    pool.retain(page, page + PAGE);
                    tables.set(va, page, shown(shared, area.prot));
                }
                new.set(child, va, shared);
                own.set(mm, va, shared);
                if shown(note, area.prot) != shown(shared, area.prot) {
                    self.set(va, shared, area.prot);
                }
            }
        }
    }

    /// Lets `va`, which has nothing behind it, lead to the page `image` of an image. `None` if there is no memory for tables.
    pub(in crate::mm) fn show_image(&mut self, mm: &Mm, va: u64, image: u64, prot: u32) -> Option<()> {
        self.prepare(mm, va)?;
        self.put(mm, va, image | IMAGE | PROTECTED, prot);
        Some(())
    }

    /// The page of an image behind `va`, if there is one.
    pub(in crate::mm) fn image(&self, mm: &Mm, va: u64) -> Option<u64> {
        self.note(mm, va).filter(|note| note & IMAGE != 0).map(|note| note & !FLAGS)
    }

    /// Sees to it that the page behind `va` is this space's alone, unless it is shared on purpose: what that took,
    /// without a flush. `None` if there is no memory for a copy.
    pub(in crate::mm) fn own(&mut self, mm: &Mm, va: u64, prot: u32) -> Option<Owned> {
        let note = self.note(mm, va).filter(|note| note & PROTECTED != 0);
        let (Some(note), Some(pool)) = (note, &mm.pool) else { return Some(Owned::Before) };
        let (mut page, mut owned) = (note & !FLAGS, Owned::Alone);
        if note & IMAGE != 0 {
            (page, owned) = (pool.duplicate(mm, mm.image_page(page))?, Owned::Copied);
        } else if pool.owners(page) > 1 {
            let copy = pool.duplicate(mm, mm.raw(page, PAGE))?;
            pool.release(page, page + PAGE);
            (page, owned) = (copy, Owned::Copied);
        }
        self.chunks.get(&(va / HUGE))?.set(mm, va, page);
        self.tables.set(va, page, prot);
        Some(owned)
    }

    /// Gives back all that this space holds. It is not used any more; another one may get its tables, which lead nowhere
    /// then but to what is pinned.
    pub(in crate::mm) fn release(&mut self, mm: &Mm, pool: &Pool) {
        for (number, chunk) in core::mem::take(&mut self.chunks) {
            for va in (number * HUGE..(number + 1) * HUGE).step_by(PAGE_BYTES) {
                let Some(note) = chunk.note(mm, va) else { continue };
                self.tables.clear(va);
                if note & IMAGE == 0 {
                    let page = note & !FLAGS;
                    pool.release(page, page + PAGE);
                }
            }
            pool.release(chunk.list, chunk.list + PAGE);
        }
        pool.keep_spare(&self.tables);
    }
}
