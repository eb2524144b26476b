//! The map of the program's memory: which ranges are mapped, as what.

use super::sparse::is_sparse;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// May be read.
pub const READ: u32 = linux_raw_sys::general::PROT_READ;
/// May be written.
pub const WRITE: u32 = linux_raw_sys::general::PROT_WRITE;
/// May be executed.
pub const EXEC: u32 = linux_raw_sys::general::PROT_EXEC;

/// What a range holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Private memory.
    Anonymous,
    /// Memory mapped shared and anonymous; `MADV_DONTNEED` keeps its content.
    Shared,
    /// A copy of a file.
    File,
    /// Pages of a memory file, mapped shared. They stay pico's own when they are unmapped.
    SharedFile,
    /// Below the program break.
    Heap,
    /// The main thread's stack.
    Stack,
    /// pico's own (memory files, trampolines); the program cannot name it.
    Kernel,
}

impl Kind {
    /// Whether memory files own it.
    pub fn is_of_files(self) -> bool {
        matches!(self, Self::SharedFile | Self::Kernel)
    }
}

/// One mapped range with uniform properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// First address behind.
    pub end: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// What it holds.
    pub kind: Kind,
    /// Inaccessible ever since it was mapped, or beyond the end of a file: takes address space but holds no data and costs nothing.
    pub reserved: bool,
    /// Path of the file it was copied from, and the offset of `start` in it.
    pub file: Option<(Rc<str>, u64)>,
}

impl Area {
    /// The part of this area inside `start..end`, which must not be empty.
    pub(super) fn cut(&self, start: u64, end: u64) -> Self {
        let (start, end) = (start.max(self.start), end.min(self.end));
        let file = self.file.as_ref().map(|(path, offset)| (path.clone(), offset + (start - self.start)));
        Self { start, end, file, ..*self }
    }

    /// Whether `next`, which starts where this ends, is more of the same.
    fn continues_in(&self, next: &Self) -> bool {
        let file = match (&self.file, &next.file) {
            (None, None) => true,
            (Some((a, offset)), Some((b, next_offset))) => {
                a == b && offset + (self.end - self.start) == *next_offset
            }
            _ => false,
        };
        let same = self.prot == next.prot && self.kind == next.kind && self.reserved == next.reserved;
        file && same && self.end == next.start
    }

    /// Whether `next` is more of the same mapping of a file, whatever lies beyond its end.
    pub fn is_continued_by(&self, next: &Self) -> bool {
        self.continues_in(&Self { reserved: self.reserved, ..next.clone() })
    }

    /// Bytes that count as memory in use. Pages behind the sparse area are pico's own, and count as such.
    fn charge(&self) -> u64 {
        if self.reserved || is_sparse(self.start) { 0 } else { self.end - self.start }
    }
}

/// Disjoint areas, ordered by address.
#[derive(Clone, Default)]
pub struct Areas {
    by_start: BTreeMap<u64, Area>,
    charged: u64,
}

impl Areas {
    /// Bytes in use.
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// Number of areas.
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// All areas in order.
    pub fn iter(&self) -> impl Iterator<Item = &Area> {
        self.by_start.values()
    }

    /// The area that holds `addr`.
    pub fn find(&self, addr: u64) -> Option<&Area> {
        self.by_start.range(..=addr).next_back().map(|(_, area)| area).filter(|area| addr < area.end)
    }

    /// The areas that overlap `start..end`, in order.
    pub fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Area> {
        let first = self.find(start).map_or(start, |area| area.start);
        self.by_start.range(first..end.max(first)).map(|(_, area)| area)
    }

    /// Whether nothing is mapped in `start..end`.
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).next().is_none()
    }

    /// End of the accessible memory that starts at `addr` and allows `prot`, looked at up to `limit`.
    pub fn extent(&self, addr: u64, limit: u64, prot: u32) -> u64 {
        let mut end = addr;
        while end < limit {
            match self.find(end) {
                Some(area) if area.allowed() & prot == prot && area.kind != Kind::Kernel => end = area.end,
                _ => break,
            }
        }
        end.min(limit)
    }

    /// Whether every byte of `start..end` is mapped.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        self.covered(start, end) == end
    }

    /// End of what is mapped from `start` on, looked at up to `end`.
    pub fn covered(&self, start: u64, end: u64) -> u64 {
        let mut at = start;
        while at < end {
            match self.find(at) {
                Some(area) if area.kind != Kind::Kernel => at = area.end,
                _ => return at,
            }
        }
        end
    }

    /// The highest free range of `len` bytes inside `low..high`.
    pub fn gap_below(&self, len: u64, low: u64, high: u64) -> Option<u64> {
        let mut top = high;
        for (_, area) in self.by_start.range(..high).rev() {
            if area.end < top && top - area.end >= len {
                break;
            }
            top = top.min(area.start);
        }
        top.checked_sub(len).filter(|&start| start >= low && self.is_free(start, start + len))
    }

    /// Adds an area; its range must be free.
    pub fn insert(&mut self, mut area: Area) {
        debug_assert!(area.start < area.end && self.is_free(area.start, area.end));
        self.charged += area.charge();
        if let Some(next) = self.by_start.get(&area.end)
            && area.continues_in(next)
        {
            let end = next.end;
            self.by_start.remove(&area.end);
            area.end = end;
        }
        if let Some((_, previous)) = self.by_start.range_mut(..area.start).next_back()
            && previous.continues_in(&area)
        {
            previous.end = area.end;
            return;
        }
        self.by_start.insert(area.start, area);
    }

    /// Removes what is mapped in `start..end` and returns the pieces.
    pub fn remove(&mut self, start: u64, end: u64) -> Vec<Area> {
        let hit: Vec<u64> = self.overlapping(start, end).map(|area| area.start).collect();
        let mut removed = Vec::with_capacity(hit.len());
        for key in hit {
            let Some(area) = self.by_start.remove(&key) else { continue };
            let piece = area.cut(start, end);
            self.charged -= piece.charge();
            if area.start < piece.start {
                self.by_start.insert(area.start, area.cut(area.start, piece.start));
            }
            if piece.end < area.end {
                self.by_start.insert(piece.end, area.cut(piece.end, area.end));
            }
            removed.push(piece);
        }
        removed
    }
}

#[cfg(test)]
#[path = "areas_tests.rs"]
mod tests;
