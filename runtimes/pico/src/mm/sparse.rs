//! What backs the sparse area: nothing, until a page is touched.
//!
//! The area is all address space between the linear memory and pico's own. A mapping there costs nothing. A page of
//! it that is touched gets a page of the linear memory ([`Frames`]) and an entry in page tables that are pico's own
//! ([`PageTables`]). Which page lies behind which address is noted here, by addresses in the linear memory: the host
//! may move pages about and changes the tables then.

mod spaces;

pub(super) use spaces::Owned;

use super::areas::{READ, WRITE};
use super::frames::Frames;
use super::tables::PageTables;
use super::{Mm, PAGE_BYTES};
use abi::layout::{HUGE, PAGE, SPARSE_END, SPARSE_VA};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::Range;

/// Whether `addr` lies in the sparse area.
pub(crate) fn is_sparse(addr: u64) -> bool {
    (SPARSE_VA..SPARSE_END).contains(&addr)
}

/// Most pieces of 2 MiB with a page in them: each costs pico some memory of its own.
const CHUNKS_MAX: usize = 32_768;

/// In a note: the page is a file's.
const BORROWED: u64 = 1;
/// In a note: the page was shared by address spaces that should not see each other's writes. It is not writable until
/// it is seen to that it is this one's alone.
const PROTECTED: u64 = 2;
/// In a note: the page is not memory but a part of an image. It is `PROTECTED`, too.
const IMAGE: u64 = 4;
const FLAGS: u64 = BORROWED | PROTECTED | IMAGE;

/// What the processor may do with a page of protection `prot`.
fn shown(note: u64, prot: u32) -> u32 {
    match note & PROTECTED {
        0 => prot,
        // What may be written to may be read.
        _ if prot == WRITE => READ,
        _ => prot & !WRITE,
    }
}

/// The pages behind 2 MiB of addresses.
struct Chunk {
    /// A page with a note for each address: that of the page behind it, 0 if there is none.
    list: u64,
    used: u32,
}

impl Chunk {
    fn slot(&self, va: u64) -> u64 {
        self.list + va % HUGE / PAGE * 8
    }

    fn page(&self, mm: &Mm, va: u64) -> Option<u64> {
        self.note(mm, va).map(|note| note & !FLAGS)
    }

    fn note(&self, mm: &Mm, va: u64) -> Option<u64> {
        let bytes = mm.raw(self.slot(va), 8).try_into().expect("8 bytes");
        Some(u64::from_le_bytes(bytes)).filter(|&note| note != 0)
    }

    fn set(&self, mm: &Mm, va: u64, note: u64) {
        mm.raw(self.slot(va), 8).copy_from_slice(&note.to_le_bytes());
    }
}

/// The pages behind the sparse area.
pub(super) struct Sparse {
    /// By address divided by 2 MiB.
    chunks: BTreeMap<u64, Chunk>,
    frames: Frames,
    tables: Rc<dyn PageTables>,
}

impl Sparse {
    pub(super) fn new(tables: Rc<dyn PageTables>) -> Self {
        Self { chunks: BTreeMap::new(), frames: Frames::default(), tables }
    }

    /// Bytes taken from the linear memory that nothing lies in yet.
    pub(super) fn free_bytes(&self) -> u64 {
        self.frames.free_bytes()
    }

    /// Where its pages came from as long as there was one address space.
    pub(super) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The page behind `va`.
    pub(super) fn page(&self, mm: &Mm, va: u64) -> Option<u64> {
        self.chunks.get(&(va / HUGE))?.page(mm, va)
    }

    fn note(&self, mm: &Mm, va: u64) -> Option<u64> {
        self.chunks.get(&(va / HUGE))?.note(mm, va)
    }

    /// The parts of `range` with pages behind them, each inside 2 MiB.
    pub(super) fn parts(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let numbers = self.chunks.range(range.start / HUGE..range.end.div_ceil(HUGE));
        let part = |number: u64| range.start.max(number * HUGE)..range.end.min((number + 1) * HUGE);
        numbers.map(|(&number, _)| part(number)).collect()
    }

    /// Addresses in `part`, inside 2 MiB, that a page lies behind.
    pub(super) fn backed(&self, mm: &Mm, part: &Range<u64>) -> Vec<u64> {
        let Some(chunk) = self.chunks.get(&(part.start / HUGE)) else { return Vec::new() };
        part.clone().step_by(PAGE_BYTES).filter(|&va| chunk.page(mm, va).is_some()).collect()
    }

    /// Puts a zeroed page behind `va`, which has none; `None` if there is no memory.
    pub(super) fn back(&mut self, mm: &Mm, va: u64, prot: u32) -> Option<()> {
        self.prepare(mm, va)?;
        match self.take_page(mm) {
            Some(page) => {
                self.put(mm, va, page, prot);
                Some(())
            }
            None => {
                self.tidy(mm, va);
                None
            }
        }
    }

    /// Whatever a page behind `va` needs beside itself.
    fn prepare(&mut self, mm: &Mm, va: u64) -> Option<()> {
        self.make_tables(mm, va)?;
        if !self.chunks.contains_key(&(va / HUGE)) {
            let list = Some(()).filter(|()| self.chunks.len() < CHUNKS_MAX).and_then(|()| self.take_page(mm));
            self.chunks.insert(va / HUGE, Chunk { list: list?, used: 0 });
        }
        Some(())
    }

    /// Whatever tables an entry for `va` needs.
    fn make_tables(&mut self, mm: &Mm, va: u64) -> Option<()> {
        while !self.tables.has_table(va) {
            let table = self.take_page(mm)?;
            self.tables.add_table(va, table);
        }
        Some(())
    }

    /// Puts `page`, which a file keeps where it is, behind `va`, which has none; `None` if there is no memory.
    pub(super) fn borrow(&mut self, mm: &Mm, va: u64, page: u64, prot: u32) -> Option<()> {
        self.prepare(mm, va)?;
        match &mm.pool {
            Some(pool) => {
                pool.retain(page, page + PAGE);
                self.put(mm, va, page, prot);
            }
            None => self.put(mm, va, page | BORROWED, prot),
        }
        Some(())
    }

    /// A zeroed page.
    fn take_page(&mut self, mm: &Mm) -> Option<u64> {
        match &mm.pool {
            Some(pool) => pool.take(mm),
            None => self.frames.take(mm),
        }
    }

    /// Takes a page back.
    fn give_page(&mut self, mm: &Mm, page: u64) {
        match &mm.pool {
            Some(pool) => pool.release(page, page + PAGE),
            None => self.frames.give(mm, page),
        }
    }

    /// Notes and maps a page behind `va`, which is prepared.
    fn put(&mut self, mm: &Mm, va: u64, note: u64, prot: u32) {
        if let Some(chunk) = self.chunks.get_mut(&(va / HUGE)) {
            chunk.set(mm, va, note);
            chunk.used += 1;
            self.set(va, note, prot);
        }
    }

    /// Maps what `note` says at `va`.
    fn set(&self, va: u64, note: u64, prot: u32) {
        let (page, prot) = (note & !FLAGS, shown(note, prot));
        if note & IMAGE == 0 {
            self.tables.set(va, page, prot)
        } else {
            self.tables.set_image(va, page, prot)
        }
    }

    /// Takes the page behind `va` away, without a flush, and leaves notes that may be empty. Returns the page's.
    fn take(&mut self, mm: &Mm, va: u64) -> Option<u64> {
        let chunk = self.chunks.get_mut(&(va / HUGE))?;
        let note = chunk.note(mm, va)?;
        chunk.set(mm, va, 0);
        chunk.used -= 1;
        self.tables.clear(va);
        Some(note)
    }

    /// Gives up the notes on the 2 MiB around `va` if they are empty.
    fn tidy(&mut self, mm: &Mm, va: u64) {
        if let Some(chunk) = self.chunks.get(&(va / HUGE))
            && chunk.used == 0
        {
            let list = chunk.list;
            self.chunks.remove(&(va / HUGE));
            self.give_page(mm, list);
        }
    }

    /// Gives back the pages behind `start..end`.
    pub(super) fn drop_pages(&mut self, mm: &Mm, start: u64, end: u64) {
        let mut changed = false;
        for part in self.parts(&(start..end)) {
            for va in self.backed(mm, &part) {
                let Some(note) = self.take(mm, va) else { continue };
                if note & (BORROWED | IMAGE) == 0 {
                    self.give_page(mm, note & !FLAGS);
                }
                changed = true;
            }
            self.tidy(mm, part.start);
        }
        if changed {
            self.tables.flush();
        }
    }

    /// The pages behind `start..end` have protection `prot` from now on, and had `before`. Without a flush where nothing
    /// is taken away: a processor that remembers less asks again.
    pub(super) fn protect(&mut self, mm: &Mm, start: u64, end: u64, (before, prot): (u32, u32)) {
        let mut lost = 0;
        for part in self.parts(&(start..end)) {
            for va in self.backed(mm, &part) {
                if let Some(note) = self.note(mm, va) {
                    self.set(va, note, prot);
                    lost |= shown(note, before) & !shown(note, prot);
                }
            }
        }
        if lost != 0 {
            self.tables.flush();
        }
    }

    /// What the processor believes about `va` is out of date: it has a page, and may use it.
    pub(super) fn refresh(&mut self, mm: &Mm, va: u64, prot: u32) {
        if let Some(note) = self.note(mm, va) {
            self.set(va, note, prot);
            self.tables.flush();
        }
    }

    /// Moves the pages behind `start..end` to `to`, which has none. `None`, and nothing has moved, if there is no
    /// memory for what they need there.
    pub(super) fn move_pages(&mut self, mm: &Mm, start: u64, end: u64, to: u64, prot: u32) -> Option<()> {
        let parts = self.parts(&(start..end));
        let target = |va: u64| to + (va - start);
        let ready = parts.iter().try_for_each(|part| {
            self.backed(mm, part).into_iter().try_for_each(|va| self.prepare(mm, target(va)))
        });
        for part in &parts {
            for va in self.backed(mm, part) {
                match ready {
                    Some(()) => self.move_page(mm, va, target(va), prot),
                    None => self.tidy(mm, target(va)),
                }
            }
        }
        // Not before all have moved: notes that are empty in between may be those the next page needs.
        for part in &parts {
            self.tidy(mm, part.start);
        }
        self.tables.flush();
        ready
    }

    fn move_page(&mut self, mm: &Mm, va: u64, to: u64, prot: u32) {
        if let Some(note) = self.take(mm, va) {
            self.put(mm, to, note, prot);
        }
    }
}
