//! The program's memory: one linear region, handed out in pages.
//!
//! ```text
//! base                                                                                       end
//! | stack | program image | heap (brk) -> |         free          | <- mmap, libraries          |   position independent
//! |   | program image | heap (brk) -> |         free          | <- mmap, libraries |    stack   |   linked at an address
//! ```
//!
//! The host maps the whole region readable, writable and executable with 2 MiB pages. Where the program protects a part of
//! one, it becomes 4 KiB pages ([`enforce`]). A stack at the beginning of the region
//! that overflows leaves the region and faults; one at the end (where the program's own addresses leave no other room)
//! runs into the mapping below it. The size of the region is the program's memory limit.
//!
//! Large files of images are seen in there without a copy ([`shown`]).
//!
//! All other address space is the sparse area ([`sparse`]): mappings at addresses the program chose there, and
//! whatever it maps inaccessible or without reserving memory (reservations, stacks of threads with their guard pages).
//! It takes memory of the region page by page, when it is touched, and protections are enforced there.

mod access;
pub mod areas;
mod beyond;
mod dirty;
mod enforce;
mod fault;
mod frames;
mod heap;
mod inherit;
mod ops;
pub mod plain;
mod pool;
mod remap;
mod same;
#[cfg(test)]
mod same_tests;
mod shown;
#[cfg(test)]
mod shown_tests;
mod space;
#[cfg(test)]
mod space_tests;
mod sparse;
#[cfg(test)]
mod sparse_tests;
pub mod tables;
#[cfg(test)]
mod tests;
mod written;

use crate::errno::{Errno, Result};
use abi::layout::{PAGE, SPARSE_END, SPARSE_VA};
use alloc::rc::Rc;
use alloc::vec::Vec;
use areas::{Area, Areas, EXEC, Kind, READ, WRITE};
use core::cell::{Cell, RefCell};
use dirty::Dirty;
pub use fault::PageFault;
pub use inherit::Advice;
use inherit::Inherited;
pub use ops::{Mapping, Placement};
use pool::Pool;
use shown::Shown;
use sparse::Sparse;
pub(crate) use sparse::is_sparse;
use tables::PageTables;
use written::Written;

/// Most bytes of stack. Small programs get an eighth of their memory.
pub const STACK_MAX: u64 = 8 << 20;

/// With less memory than this left, no more of it is promised.
const EXHAUSTED: u64 = 16 * PAGE;

/// Most areas a program's memory can be split into; each costs pico some memory of its own.
pub const AREAS_MAX: usize = 16_384;
/// Most areas of all address spaces together.
pub const AREAS_OF_ALL_MAX: usize = 32_768;

/// The program's memory.
pub struct Mm {
    base: u64,
    len: u64,
    areas: RefCell<Areas>,
    dirty: RefCell<Dirty>,
    sparse: RefCell<Sparse>,
    /// The page tables of linear memory as the host mapped it.
    linear: Rc<dyn PageTables>,
    /// Where linear memory shows images; nowhere once there was more than one address space.
    shown: RefCell<Shown>,
    /// Pieces that showed an image, and whose protections are to be enforced now.
    became_memory: RefCell<Vec<u64>>,
    /// They are being protected.
    is_closing: Cell<bool>,
    /// Whether texts stay open that pico writes to.
    patching: Cell<bool>,
    /// Whether page tables should stay as they are.
    settled: bool,
    brk_start: u64,
    brk: u64,
    refused: Cell<bool>,
    /// What children do not get.
    inherited: RefCell<Inherited>,
    /// Whether pages may lie where nothing is mapped: a call of pico used them when they were unmapped.
    strays: Cell<bool>,
    /// How many of its areas the pool knows of.
    counted: Cell<usize>,
    /// The linear memory as a supply of pages, once there was more than one address space.
    pool: Option<Rc<Pool>>,
    /// What is added to the address of a page to reach it, whatever lies in linear memory.
    direct: u64,
    /// Which of the address spaces it is.
    number: u32,
    /// What is written to soon after a copy.
    written: Written,
}

/// Bytes in a page.
pub(crate) const PAGE_BYTES: usize = 4096;
const _: () = assert!(PAGE_BYTES as u64 == PAGE);

/// Rounds up to pages; `ENOMEM` if there is no such number.
pub fn round_up(len: u64) -> Result<u64> {
    len.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)
}

impl Mm {
    /// Takes over the region `base..base + len`.
    ///
    /// # Safety
    /// The region is page aligned, zeroed, valid for reads and writes for ever, and holds no Rust object; its
    /// provenance is exposed. What `tables` lead to can be accessed there.
    pub unsafe fn new(base: u64, len: u64, tables: Rc<dyn PageTables>) -> Self {
        Self {
            base,
            len,
            areas: RefCell::default(),
            dirty: RefCell::new(Dirty::new(base, len)),
            sparse: RefCell::new(Sparse::new(tables.clone())),
            linear: tables,
            shown: RefCell::default(),
            became_memory: RefCell::default(),
            is_closing: Cell::default(),
            patching: Cell::new(false),
            settled: false,
            brk_start: base,
            brk: base,
            refused: Cell::new(false),
            inherited: RefCell::default(),
            strays: Cell::default(),
            counted: Cell::default(),
            pool: None,
            direct: 0,
            number: 0,
            written: Written::default(),
        }
    }

    /// The region has `len` bytes from now on, the new ones zeroed. It never becomes smaller, and not larger once there
    /// was more than one address space.
    pub fn grow(&mut self, len: u64) -> Result<()> {
        if len < self.len || self.pool.is_some() {
            return Err(Errno::EINVAL);
        }
        self.dirty.get_mut().grow(len);
        self.len = len;
        Ok(())
    }

    /// First address of the region.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// First address behind the region.
    pub fn end(&self) -> u64 {
        self.base + self.len
    }

    /// Bytes in use: what the mappings in linear memory add up to, memory files and pages behind the sparse area
    /// included.
    pub fn used(&self) -> u64 {
        match &self.pool {
            Some(pool) => self.len - pool.free_bytes(),
            None => self.areas.borrow().charged() - self.sparse.borrow().free_bytes(),
        }
    }

    /// Bytes not in use.
    pub fn free(&self) -> u64 {
        self.len - self.used().min(self.len)
    }

    /// Bytes there are: the program's memory limit.
    pub fn total(&self) -> u64 {
        self.len
    }

    /// All mappings in order.
    pub fn areas(&self) -> impl Iterator<Item = Area> + use<> {
        let areas: Vec<Area> = self.areas.borrow().iter().cloned().collect();
        areas.into_iter()
    }

    /// Shows `look` all mappings in order.
    pub fn each_area(&self, look: impl FnMut(&Area)) {
        self.areas.borrow().iter().for_each(look);
    }

    /// The mapping that holds `addr`.
    pub fn area_at(&self, addr: u64) -> Option<Area> {
        self.areas.borrow().find(addr).cloned()
    }

    /// Whether there is so little memory left that a mapping of `len` bytes to write to should not be made.
    pub fn is_exhausted(&self, len: u64) -> bool {
        self.free() < len.min(EXHAUSTED)
    }

    /// Notes that memory was refused.
    pub fn note_refused(&self) {
        self.refused.set(true);
    }

    /// Whether memory was refused since the last call. The system-call layer tells the host.
    pub fn take_refused(&mut self) -> bool {
        self.refused.take()
    }

    /// Bytes of stack for the main thread.
    pub fn stack_size(&self) -> u64 {
        (self.len / 8).min(STACK_MAX) / PAGE * PAGE
    }

    /// Maps the main thread's stack, at the beginning or the end of the region, and returns the first address
    /// behind it.
    pub fn map_stack(&mut self, at_the_beginning: bool) -> Result<u64> {
        let mut start = if at_the_beginning { self.base } else { self.end() - self.stack_size() };
        if self.pool.is_some() && !self.areas.borrow().is_free(start, start + self.stack_size()) {
            start = self.find_gap(self.stack_size())?;
        }
        let end = start + self.stack_size();
        self.place(Area { start, end, prot: READ | WRITE, kind: Kind::Stack, reserved: false, file: None })?;
        Ok(end)
    }

    /// `pages` zeroed pages for pico's own use, charged to the program.
    pub fn alloc_pages(&self, pages: usize) -> Result<&'static mut [u8]> {
        let len = (pages as u64).checked_mul(PAGE).filter(|&len| len > 0).ok_or(Errno::ENOMEM)?;
        if let Some(pool) = &self.pool {
            let start = pool.take_run(self, pages).ok_or_else(|| self.refuse())?;
            return Ok(self.raw(start, len));
        }
        let start = self.find_gap(len)?;
        self.place(Area {
            start,
            end: start + len,
            prot: READ | WRITE,
            kind: Kind::Kernel,
            reserved: false,
            file: None,
        })?;
        Ok(self.raw(start, len))
    }

    /// A zeroed page for code of pico's own inside `low..high`, charged to the program, which cannot name it.
    pub fn code_page(&mut self, low: u64, high: u64) -> Option<u64> {
        let (low, high) = (low.max(self.base), high.min(self.end()));
        let start = self.areas.borrow().gap_below(PAGE, low, high)?;
        let (prot, kind) = (READ | WRITE | EXEC, Kind::Kernel);
        self.place(Area { start, end: start + PAGE, prot, kind, reserved: false, file: None }).ok()?;
        if self.back_all(start, start + PAGE).is_err() {
            self.discard(start, start + PAGE);
            return None;
        }
        Some(start)
    }

    /// Gives back pages from [`Mm::alloc_pages`], all or part of them.
    pub fn free_pages(&self, pages: &'static mut [u8]) {
        let start = pages.as_ptr().expose_provenance() as u64;
        match &self.pool {
            Some(pool) => {
                let page = self.page_at(start);
                pool.release(page, page + pages.len() as u64);
            }
            None => self.discard(start, start + pages.len() as u64),
        }
    }

    /// Lets the program see pages from [`Mm::alloc_pages`]: `start..end`, as contents of `file`.
    pub fn show_pages(&mut self, start: u64, end: u64, prot: u32, file: (Rc<str>, u64)) -> Result<()> {
        if self.is_crowded() || self.has_spaces() {
            return Err(Errno::ENOMEM);
        }
        let file = Some(file);
        let mut areas = self.areas.borrow_mut();
        areas.remove(start, end);
        areas.insert(Area { start, end, prot, kind: Kind::SharedFile, reserved: false, file });
        Ok(())
    }

    /// Whether the program sees pages of a file in `start..end`.
    pub fn shows_pages(&self, start: u64, end: u64) -> bool {
        self.areas.borrow().overlapping(start, end).any(|area| area.kind == Kind::SharedFile)
    }

    /// The highest free range of `len` bytes of linear memory, else `ENOMEM`, noted.
    fn find_gap(&self, len: u64) -> Result<u64> {
        let gap = self.areas.borrow().gap_below(len, self.base, self.end());
        gap.ok_or_else(|| self.refuse())
    }

    /// The highest free range of `len` bytes of the sparse area, else `ENOMEM`, noted.
    fn find_sparse_gap(&self, len: u64) -> Result<u64> {
        let gap = self.areas.borrow().gap_below(len, SPARSE_VA, SPARSE_END);
        gap.ok_or_else(|| self.refuse())
    }

    /// Notes that memory was refused.
    fn refuse(&self) -> Errno {
        self.note_refused();
        Errno::ENOMEM
    }

    /// Whether `start..end` lies in the linear memory or in the sparse area.
    fn is_inside(&self, start: u64, end: u64) -> bool {
        let linear = start >= self.base && end <= self.end();
        linear || (start >= SPARSE_VA && end <= SPARSE_END)
    }

    /// Maps a free range, zeroed; `ENOMEM` outside of all memory or where something is mapped.
    fn place(&self, area: Area) -> Result<()> {
        self.place_image(area, &[])
    }

    /// The same, with the beginning of `image` there as far as that needs no copy.
    fn place_image(&self, area: Area, image: &'static [u8]) -> Result<()> {
        let inside = self.is_inside(area.start, area.end) && area.start < area.end;
        let scarce = self.pool.is_some() && !area.reserved && !is_sparse(area.start);
        let fits = !scarce || area.end - area.start <= self.free();
        if !inside || !fits || self.is_crowded() || !self.areas.borrow().is_free(area.start, area.end) {
            self.refused.set(self.refused.get() || inside);
            return Err(Errno::ENOMEM);
        }
        if !area.reserved && !self.is_paged(area.start) {
            for memory in self.show(area.start, area.end, image) {
                self.zero(memory.start, memory.end);
            }
        }
        if self.strays.get() && self.is_paged(area.start) {
            self.sparse.borrow_mut().drop_pages(self, area.start, area.end);
        }
        self.areas.borrow_mut().insert(area);
        self.close_memory();
        Ok(())
    }

    /// Whether no more areas may be made.
    fn is_crowded(&self) -> bool {
        let own = self.areas.borrow().len();
        own >= AREAS_MAX || self.pool.as_ref().is_some_and(|pool| !pool.count_areas(&self.counted, own))
    }

    /// Unmaps `start..end`. Reservations nobody touched stay clean; pages of files stay theirs.
    fn discard(&self, start: u64, end: u64) {
        let pieces = self.areas.borrow_mut().remove(start, end);
        self.inherited.borrow_mut().forget(start, end);
        for piece in pieces {
            // Also what can be read and written: it may not be executed if it was protected before.
            if piece.is_enforced() {
                self.open(piece.start, piece.end);
            }
            if self.is_paged(piece.start) {
                self.sparse.borrow_mut().drop_pages(self, piece.start, piece.end);
            } else if piece.kind == Kind::SharedFile {
                let own = Area { prot: DATA, kind: Kind::Kernel, file: None, ..piece };
                self.areas.borrow_mut().insert(own);
            } else if !piece.reserved || piece.is_beyond() {
                self.dirty.borrow_mut().mark(piece.start, piece.end);
            }
        }
    }

    /// Makes the pages of `start..end` that may hold old data zero.
    fn zero(&self, start: u64, end: u64) {
        self.dirty.borrow_mut().sweep(start, end, |addr, len| self.raw(addr, len).fill(0));
    }
}

/// Protection of ordinary data.
pub const DATA: u32 = READ | WRITE;
/// Protection of code.
pub const CODE: u32 = READ | EXEC;

#[cfg(test)]
impl Mm {
    /// A region of `len` bytes from the test process's own memory.
    pub fn for_tests(len: usize) -> Self {
        Self::with_tables(len, Rc::new(tables::fake::Fake::default()))
    }

    /// The same, with page tables that can be looked at. Nothing can be read or written in the sparse area.
    pub fn with_tables(len: usize, tables: Rc<dyn PageTables>) -> Self {
        // Straight from the kernel, which places it far above the sparse area; an allocator's heap can lie inside.
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let align = 2 << 20;
        // SAFETY: a new mapping, at no particular address. It is zeroed and never unmapped.
        let region = unsafe { libc::mmap(core::ptr::null_mut(), len + align, prot, flags, -1, 0) };
        assert_ne!(region, libc::MAP_FAILED, "no memory for a test region");
        let base = region.expose_provenance().next_multiple_of(align) as u64;
        assert!(!is_sparse(base), "the region lies in the sparse area");
        // SAFETY: as above; nobody else knows the region.
        unsafe { Self::new(base, len as u64, tables) }
    }
}
