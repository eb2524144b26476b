//! Shared mappings of files in memory: the program gets the very pages the file's contents lie in.
//!
//! A mapping is a run of contiguous pages, so what is mapped is made one first, and stays where it is until it is
//! unmapped. What the program wants at an address, or what is mapped already (compilers write code through one mapping and
//! run it through another), lies in the sparse area and leads to the pages wherever they are.

use super::{Data, EXTENT_COST_BYTES, Inode, Pool};
use crate::errno::{Errno, Result};
use crate::mm::areas::Kind;
use crate::mm::{Mapping, Mm, PAGE_BYTES, Placement, is_sparse};
use abi::layout::PAGE;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// One mapping.
#[derive(Clone)]
struct Mapped {
    start: u64,
    end: u64,
    /// Where in the file it begins.
    offset: u64,
    inode: Rc<Inode>,
}

/// All shared mappings of files there are. Each keeps its file alive.
#[derive(Default)]
pub struct SharedMappings(Vec<Mapped>);

impl SharedMappings {
    /// Maps `len` bytes of `inode` at `offset`, both whole pages, and returns where.
    pub fn map(
        &mut self,
        mm: &mut Mm,
        inode: &Rc<Inode>,
        (offset, len): (u64, u64),
        prot: u32,
        path: Rc<str>,
        placement: Placement,
    ) -> Result<u64> {
        let end = super::data::checked_end(offset, len)?;
        if !matches!(placement, Placement::Hint(0)) {
            return self.map_apart(mm, inode, (offset, len), prot, path, placement);
        }
        if mm.has_spaces() || inode.data()?.borrow().is_pinned(offset, end) {
            return self.map_apart(mm, inode, (offset, len), prot, path, Placement::Sparse(0));
        }
        let start = inode.data()?.borrow_mut().pin(mm, &inode.pool, offset, end)?;
        if let Err(errno) = mm.show_pages(start, start + len, prot, (path, offset)) {
            inode.data()?.borrow_mut().unpin(offset, end);
            return Err(errno);
        }
        self.0.push(Mapped { start, end: start + len, offset, inode: inode.clone() });
        Ok(start)
    }

    /// The same in the sparse area: `ENODEV` if the program wants it elsewhere.
    fn map_apart(
        &mut self,
        mm: &mut Mm,
        inode: &Rc<Inode>,
        (offset, len): (u64, u64),
        prot: u32,
        path: Rc<str>,
        placement: Placement,
    ) -> Result<u64> {
        let placement = match placement {
            Placement::Hint(hint) if is_sparse(hint) => Placement::Sparse(hint),
            Placement::Hint(_) => Placement::Sparse(0),
            Placement::Fixed(at) | Placement::Free(at) if !is_sparse(at) => return Err(Errno::ENODEV),
            wanted => wanted,
        };
        let data = inode.data()?;
        let added = data.borrow_mut().hold(mm, &inode.pool, offset, offset + len)?;
        let file = Some((path, offset));
        let mapping = Mapping { placement, len, prot, kind: Kind::SharedFile, file };
        let shown = mm.map(mapping).and_then(|start| {
            let pages = (0..len).step_by(PAGE_BYTES);
            let mut shown = pages.map(|at| mm.show_page(start + at, data.borrow().page(offset + at)?, prot));
            match shown.find(Result::is_err) {
                None => Ok(start),
                Some(failed) => {
                    drop(shown);
                    mm.unmap(start, len)?;
                    failed.map(|()| start)
                }
            }
        });
        match shown {
            Ok(start) => self.0.push(Mapped { start, end: start + len, offset, inode: inode.clone() }),
            Err(_) => {
                data.borrow_mut().unpin(offset, offset + len);
                data.borrow_mut().give_back(mm, &inode.pool, added);
            }
        }
        shown
    }

    /// How often `inode` is mapped.
    pub fn count_of(&self, inode: &Rc<Inode>) -> u64 {
        self.0.iter().filter(|mapped| Rc::ptr_eq(&mapped.inode, inode)).count() as u64
    }

    /// The mapping that starts at `start`: its file, and where it ends.
    pub fn starting_at(&self, start: u64) -> Option<(&Rc<Inode>, u64)> {
        let found = self.0.iter().find(|mapped| mapped.start == start)?;
        Some((&found.inode, found.end))
    }

    /// The file that `start..end` shows, and where in it that begins; `None` if there are several.
    pub fn file_at(&self, start: u64, end: u64) -> Option<(Rc<Inode>, u64)> {
        let mut shown = self.0.iter().filter(|mapped| mapped.start < end && start < mapped.end);
        let first = shown.clone().find(|mapped| mapped.start <= start)?;
        let is_one = shown.all(|mapped| Rc::ptr_eq(&mapped.inode, &first.inode));
        is_one.then(|| (first.inode.clone(), first.offset + (start - first.start)))
    }

    /// The mappings of a copy of the address space.
    pub fn copy(&self) -> Self {
        for mapped in &self.0 {
            if let Ok(data) = mapped.inode.data() {
                data.borrow_mut().pins.push((mapped.offset, mapped.offset + (mapped.end - mapped.start)));
            }
        }
        Self(self.0.clone())
    }

    /// Forgets all mappings: their address space is gone.
    pub fn release_all(&mut self) {
        for mapped in self.0.drain(..) {
            if let Ok(data) = mapped.inode.data() {
                data.borrow_mut().unpin(mapped.offset, mapped.offset + (mapped.end - mapped.start));
            }
        }
    }

    /// Forgets the mappings of which nothing is left.
    pub fn release(&mut self, mm: &Mm) {
        self.0.retain(|mapped| {
            let lives = mm.shows_pages(mapped.start, mapped.end);
            if !lives && let Ok(data) = mapped.inode.data() {
                data.borrow_mut().unpin(mapped.offset, mapped.offset + (mapped.end - mapped.start));
            }
            lives
        });
    }
}

impl Data {
    /// Whether a mapped page lies in `start..end`.
    pub(super) fn is_pinned(&self, start: u64, end: u64) -> bool {
        self.pins.iter().any(|&(from, to)| from < end && start < to)
    }

    /// Sees to it that `start..end`, whole pages, has pages, which stay where they are. Returns the runs it added.
    fn hold(&mut self, mm: &mut Mm, pool: &Pool, start: u64, end: u64) -> Result<Vec<u64>> {
        let added = self.reserve_all(mm, pool, start, end).map_err(|_| Errno::ENOMEM)?;
        self.pins.push((start, end));
        Ok(added)
    }

    /// Where the page at `offset` lies.
    fn page(&self, offset: u64) -> Result<u64> {
        let run = self.extents.range(..=offset).next_back();
        let run = run.filter(|(at, pages)| *at + pages.len() as u64 > offset);
        run.map(|(at, pages)| address_of(pages) + (offset - at)).ok_or(Errno::ENOMEM)
    }

    /// Makes `start..end`, whole pages, one run that stays where it is, and returns its address. `ENODEV` if part of
    /// it is mapped already.
    fn pin(&mut self, mm: &mut Mm, pool: &Pool, start: u64, end: u64) -> Result<u64> {
        if self.is_pinned(start, end) {
            return Err(Errno::ENODEV);
        }
        let run = self.extents.range(..=start).next_back();
        let run = run.filter(|(at, pages)| *at + pages.len() as u64 >= end);
        let address = match run {
            Some((at, pages)) => address_of(pages) + (start - at),
            None => self.make_one_run(mm, pool, start, end)?,
        };
        self.pins.push((start, end));
        Ok(address)
    }

    fn unpin(&mut self, start: u64, end: u64) {
        if let Some(index) = self.pins.iter().position(|&pin| pin == (start, end)) {
            self.pins.swap_remove(index);
        }
    }

    fn make_one_run(&mut self, mm: &mut Mm, pool: &Pool, start: u64, end: u64) -> Result<u64> {
        let count = usize::try_from((end - start) / PAGE).map_err(|_| Errno::ENOMEM)?;
        pool.charge(EXTENT_COST_BYTES)?;
        let pages = mm.alloc_pages(count).inspect_err(|_| pool.refund(EXTENT_COST_BYTES))?;
        self.read(start, pages);
        let runs: Vec<u64> = self.extents.keys().copied().collect();
        for at in runs {
            if let Err(errno) = self.cut(mm, pool, at, start, end) {
                mm.free_pages(pages);
                pool.refund(EXTENT_COST_BYTES);
                return Err(errno);
            }
        }
        let address = address_of(pages);
        self.allocated += pages.len() as u64;
        self.extents.insert(start, pages);
        Ok(address)
    }
}

fn address_of(pages: &[u8]) -> u64 {
    pages.as_ptr().expose_provenance() as u64
}
