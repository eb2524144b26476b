//! The program's memory: one linear region, handed out in pages.
//!
//! ```text
//! base                                                                                       end
//! | stack | program image | heap (brk) -> |         free          | <- mmap, libraries          |   position independent
//! |   | program image | heap (brk) -> |         free          | <- mmap, libraries |    stack   |   linked at an address
//! ```
//!
//! The host maps the whole region readable, writable and executable with 2 MiB pages, so protections are tracked
//! (for pointers given to system calls and for `/proc/self/maps`) but not enforced, and there are no guard pages
//! inside the region. A stack at its beginning that overflows leaves the region and faults; one at the end (where
//! the program's own addresses leave no other room) runs into the mapping below it. The size of the region is the
//! program's memory limit; reservations (`PROT_NONE`) take address space from the same region.

mod access;
pub mod areas;
mod dirty;
mod heap;
mod ops;
pub mod plain;
#[cfg(test)]
mod tests;

use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use alloc::rc::Rc;
use areas::{Area, Areas, EXEC, Kind, READ, WRITE};
use dirty::Dirty;
pub use ops::{Mapping, Placement};

/// Most bytes of stack. Small programs get an eighth of their memory.
pub const STACK_MAX: u64 = 8 << 20;

/// Most areas a program's memory can be split into; each costs pico some memory of its own.
pub const AREAS_MAX: usize = 16_384;

/// The program's memory.
pub struct Mm {
    base: u64,
    len: u64,
    areas: Areas,
    dirty: Dirty,
    brk_start: u64,
    brk: u64,
    refused: bool,
}

/// Rounds up to pages; `ENOMEM` if there is no such number.
pub fn round_up(len: u64) -> Result<u64> {
    len.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)
}

impl Mm {
    /// Takes over the region `base..base + len`.
    ///
    /// # Safety
    /// The region is page aligned, zeroed, valid for reads and writes for ever, and holds no Rust object; its
    /// provenance is exposed.
    pub unsafe fn new(base: u64, len: u64) -> Self {
        Self {
            base,
            len,
            areas: Areas::default(),
            dirty: Dirty::new(base, len),
            brk_start: base,
            brk: base,
            refused: false,
        }
    }

    /// The region has `len` bytes from now on, the new ones zeroed. It never becomes smaller.
    pub fn grow(&mut self, len: u64) -> Result<()> {
        if len < self.len {
            return Err(Errno::EINVAL);
        }
        self.dirty.grow(len);
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

    /// Bytes in use: what the mappings add up to, memory files included.
    pub fn used(&self) -> u64 {
        self.areas.charged()
    }

    /// Bytes there are: the program's memory limit.
    pub fn total(&self) -> u64 {
        self.len
    }

    /// All mappings in order.
    pub fn areas(&self) -> impl Iterator<Item = &Area> {
        self.areas.iter()
    }

    /// The mapping that holds `addr`.
    pub fn area_at(&self, addr: u64) -> Option<&Area> {
        self.areas.find(addr)
    }

    /// Whether memory was refused since the last call. The system-call layer tells the host.
    pub fn take_refused(&mut self) -> bool {
        core::mem::take(&mut self.refused)
    }

    /// Bytes of stack for the main thread.
    pub fn stack_size(&self) -> u64 {
        (self.len / 8).min(STACK_MAX) / PAGE * PAGE
    }

    /// Maps the main thread's stack, at the beginning or the end of the region, and returns the first address
    /// behind it.
    pub fn map_stack(&mut self, at_the_beginning: bool) -> Result<u64> {
        let start = if at_the_beginning { self.base } else { self.end() - self.stack_size() };
        let end = start + self.stack_size();
        self.place(Area { start, end, prot: READ | WRITE, kind: Kind::Stack, reserved: false, file: None })?;
        Ok(end)
    }

    /// `pages` zeroed pages for pico's own use, charged to the program.
    pub fn alloc_pages(&mut self, pages: usize) -> Result<&'static mut [u8]> {
        let len = (pages as u64).checked_mul(PAGE).filter(|&len| len > 0).ok_or(Errno::ENOMEM)?;
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
        let start = self.areas.gap_below(PAGE, low, high)?;
        let (prot, kind) = (READ | WRITE | EXEC, Kind::Kernel);
        self.place(Area { start, end: start + PAGE, prot, kind, reserved: false, file: None }).ok()?;
        Some(start)
    }

    /// Gives back pages from [`Mm::alloc_pages`], all or part of them.
    pub fn free_pages(&mut self, pages: &'static mut [u8]) {
        let start = pages.as_ptr().expose_provenance() as u64;
        self.discard(start, start + pages.len() as u64);
    }

    /// Lets the program see pages from [`Mm::alloc_pages`]: `start..end`, as contents of `file`.
    pub fn show_pages(&mut self, start: u64, end: u64, prot: u32, file: (Rc<str>, u64)) -> Result<()> {
        if self.is_crowded() {
            return Err(Errno::ENOMEM);
        }
        self.areas.remove(start, end);
        let file = Some(file);
        self.areas.insert(Area { start, end, prot, kind: Kind::SharedFile, reserved: false, file });
        Ok(())
    }

    /// Whether the program sees pages of a file in `start..end`.
    pub fn shows_pages(&self, start: u64, end: u64) -> bool {
        self.areas.overlapping(start, end).any(|area| area.kind == Kind::SharedFile)
    }

    /// The highest free range of `len` bytes, else `ENOMEM`, noted.
    fn find_gap(&mut self, len: u64) -> Result<u64> {
        let gap = self.areas.gap_below(len, self.base, self.end());
        self.refused |= gap.is_none();
        gap.ok_or(Errno::ENOMEM)
    }

    /// Maps a free range of the region, zeroed; `ENOMEM` outside of it or where something is mapped.
    fn place(&mut self, area: Area) -> Result<()> {
        let inside = area.start >= self.base && area.end <= self.end() && area.start < area.end;
        if !inside || self.is_crowded() || !self.areas.is_free(area.start, area.end) {
            self.refused |= inside;
            return Err(Errno::ENOMEM);
        }
        if !area.reserved {
            self.zero(area.start, area.end);
        }
        self.areas.insert(area);
        Ok(())
    }

    /// Whether no more areas may be made.
    fn is_crowded(&self) -> bool {
        self.areas.len() >= AREAS_MAX
    }

    /// Unmaps `start..end`. Reservations nobody touched stay clean; pages of files stay theirs.
    fn discard(&mut self, start: u64, end: u64) {
        for piece in self.areas.remove(start, end) {
            if piece.kind == Kind::SharedFile {
                self.areas.insert(Area { prot: DATA, kind: Kind::Kernel, file: None, ..piece });
            } else if !piece.reserved {
                self.dirty.mark(piece.start, piece.end);
            }
        }
    }

    /// Makes the pages of `start..end` that may hold old data zero.
    fn zero(&mut self, start: u64, end: u64) {
        let mut dirty = core::mem::replace(&mut self.dirty, Dirty::new(0, 0));
        dirty.sweep(start, end, |addr, len| self.raw(addr, len).fill(0));
        self.dirty = dirty;
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
        let layout = core::alloc::Layout::from_size_align(len, 2 << 20).expect("a valid layout");
        // SAFETY: the layout is not empty; the memory is zeroed, leaked and its provenance is exposed below.
        let region = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!region.is_null(), "no memory for a test region");
        // SAFETY: as above; nobody else knows the region.
        unsafe { Self::new(region.expose_provenance() as u64, len as u64) }
    }
}
