//! Pieces of 2 MiB of the program's linear memory with a table of small pages: pico makes one where the program
//! protects a part of a piece.
//!
//! The tables lie in the program's memory. Nothing here relies on what a guest writes there: a table that does not lead
//! every page to where the host has put it is left as it is, and refused where tables are compared.

use crate::boot_tables::{
    ADDRESS, ENTRIES, LEAF_FLAGS, OPEN_FLAGS, PRESENT, SparsePage, TABLE_FLAGS, WRITABLE,
};
use crate::memory::Mapping;
use crate::shown::{entry_at, entry_of, set_entry};
use crate::size::{PAGE_BYTES, size};
use abi::layout::{HUGE, KERNEL_SIZE, PAGE, PROGRAM_VA};

/// What a protection changes in the entry of a page.
const PROTECTION: u64 = PRESENT | WRITABLE | 1 << 63;

/// A piece with small pages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    va: u64,
    /// Its entry in the directory.
    entry: u64,
    /// Those of its pages that do not allow everything, with flags in place of an entry.
    closed: Vec<SparsePage>,
}

impl Split {
    /// Reads the table that `entry` of the directory for `va` leads to, if it is one.
    fn read(ram: &Mapping, va: u64, entry: u64) -> Option<Split> {
        let gpa = entry & ADDRESS;
        let is_table = entry == gpa | TABLE_FLAGS && gpa >= KERNEL_SIZE;
        let mut bytes = [0; PAGE_BYTES];
        ram.read(size(Some(gpa).filter(|_| is_table)?), &mut bytes).ok()?;
        let mut closed = Vec::new();
        for (index, bytes) in (0..ENTRIES as u64).zip(bytes.as_chunks::<8>().0) {
            let (entry, va) = (u64::from_le_bytes(*bytes), va + index * PAGE);
            if entry & !PROTECTION != (va - PROGRAM_VA + KERNEL_SIZE) | OPEN_FLAGS & !PROTECTION {
                return None;
            }
            let flags = entry & !ADDRESS;
            if flags != OPEN_FLAGS {
                closed.push((va, flags));
            }
        }
        Some(Split { va, entry, closed })
    }
}

fn find(ram: &Mapping, root: u64, len: u64, read: impl Fn(u64) -> Option<u64>) -> Vec<Split> {
    let pieces = (0..len.saturating_sub(KERNEL_SIZE) / HUGE).map(|piece| PROGRAM_VA + piece * HUGE);
    let found = pieces.filter_map(|va| Split::read(ram, va, read(entry_at(root, va, &read)?)?));
    found.collect()
}

/// The split pieces of `len` bytes of RAM in the tables below the root at `root`.
pub(crate) fn read(ram: &Mapping, root: u64, len: u64) -> Vec<Split> {
    find(ram, root, len, |gpa| {
        let mut bytes = [0; 8];
        ram.read(usize::try_from(gpa).ok()?, &mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    })
}

/// Takes split pieces out of `tables`, which lie at `at`: memory is mapped there in large pages, as the host did. Returns them.
pub(crate) fn take_out(tables: &mut [u8], at: u64, ram: &Mapping) -> Vec<Split> {
    let found = find(ram, at, ram.len() as u64, |gpa| entry_of(tables, at, gpa));
    for split in &found {
        set_entry(tables, at, split.va, (split.va - PROGRAM_VA + KERNEL_SIZE) | LEAF_FLAGS | WRITABLE);
    }
    found
}

/// Puts split pieces into `tables`, which lie at `at` and map all of the program's memory.
pub(crate) fn put_in(tables: &mut [u8], at: u64, splits: &[Split]) {
    for split in splits {
        set_entry(tables, at, split.va, split.entry);
    }
}

/// The pages of split pieces that do not allow everything, each with its flags.
pub(crate) fn closed(splits: &[Split]) -> Vec<SparsePage> {
    splits.iter().flat_map(|split| split.closed.iter().copied()).collect()
}

#[cfg(test)]
#[path = "splits_tests.rs"]
mod tests;
