//! The page tables that pico makes for itself, as the host finds them in guest memory.
//!
//! The entries of the root from [`SPARSE_VA`] to [`SPARSE_END`] are pico's. They lead to tables in the program's memory
//! or, in a function's parent, to tables the host has made of them. So are the directories of linear memory: pico gives
//! pieces with protected parts tables of their own. Nothing here relies on what a guest writes there:
//! what is not a tree of tables in RAM is refused.

use crate::boot_tables::{ADDRESS, ENTRIES, LARGE, PRESENT, SparsePage, WRITABLE};
use crate::memory::{Mapping, OutOfBounds};
use crate::size::{PAGE_BYTES, size};
use abi::layout::{DIRECT_VA, KERNEL_SIZE, PAGE, ROOT_ENTRY, SPARSE_END, SPARSE_VA, TABLES_VA};
use std::collections::BTreeSet;
use std::ops::Range;

/// The entries of the root that are pico's.
const ROOT_ENTRIES: Range<usize> = size(SPARSE_VA / ROOT_ENTRY)..size(SPARSE_END / ROOT_ENTRY);

/// The guest's tables are not what pico makes.
#[derive(Debug)]
pub(crate) struct Malformed;

impl From<OutOfBounds> for Malformed {
    fn from(_: OutOfBounds) -> Malformed {
        Malformed
    }
}

/// One page of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    gpa: u64,
    /// The first address it translates.
    va: u64,
    /// How many tables are below it: 3 for the root.
    height: u32,
}

/// A tree of tables.
#[derive(Debug)]
pub(crate) struct SparseTables {
    /// All tables, the root first, each before those below it.
    tables: Vec<Table>,
    pages: Vec<SparsePage>,
    /// Pages of linear memory that the program may not write to, or not touch.
    closed: Vec<SparsePage>,
}

type Entries = [u64; ENTRIES];

fn entries(ram: &Mapping, gpa: u64) -> Result<Entries, Malformed> {
    let mut bytes = [0; PAGE_BYTES];
    ram.read(size(gpa), &mut bytes)?;
    let mut entries = [0; ENTRIES];
    for (entry, bytes) in entries.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *entry = u64::from_le_bytes(*bytes);
    }
    Ok(entries)
}

impl Table {
    /// Bytes that one of its entries stands for.
    fn step(self) -> u64 {
        PAGE << (9 * self.height)
    }

    /// Which of its entries are pico's.
    fn own(self) -> Range<usize> {
        match self.height {
            3 => ROOT_ENTRIES,
            2 if self.is_linear() => 0..0,
            _ => 0..ENTRIES,
        }
    }

    /// Whether it is one of linear memory.
    fn is_linear(self) -> bool {
        self.height < 3 && self.va < SPARSE_VA
    }

    /// Which of its entries lead to what is looked at.
    fn followed(self) -> impl Iterator<Item = usize> {
        let linear = if self.height == 3 { 0..1 } else { 0..0 };
        linear.chain(if self.height == 3 { ROOT_ENTRIES } else { 0..ENTRIES })
    }

    /// Where the guest sees entry `index`.
    fn entry_va(self, index: usize) -> u64 {
        // Each round through the root's own entry goes up one table.
        let mut at = self.va + index as u64 * self.step();
        for _ in 0..=self.height {
            at = TABLES_VA + (at & 0xffff_ffff_ffff) / PAGE * 8;
        }
        at
    }
}

impl SparseTables {
    /// Reads the tree below the root at `root`.
    pub(crate) fn read(ram: &Mapping, root: u64) -> Result<SparseTables, Malformed> {
        let tables = vec![Table { gpa: root, va: 0, height: 3 }];
        let mut found = SparseTables { tables, pages: Vec::new(), closed: Vec::new() };
        let mut seen = BTreeSet::new();
        let mut next = 0;
        while let Some(&table) = found.tables.get(next) {
            next += 1;
            let entries = entries(ram, table.gpa)?;
            for index in table.followed() {
                let (entry, va) = (entries[index], table.va + index as u64 * table.step());
                if table.is_linear() && table.height == 0 {
                    if entry & (PRESENT | WRITABLE) != PRESENT | WRITABLE {
                        found.closed.push((va, entry));
                    }
                    continue;
                }
                if entry & PRESENT == 0 || (table.is_linear() && table.height == 1 && entry & LARGE != 0) {
                    continue;
                }
                let gpa = entry & ADDRESS;
                let is_linear = table.is_linear() || va < SPARSE_VA;
                if (gpa < KERNEL_SIZE && !is_linear)
                    || size(gpa) >= ram.len()
                    || (table.height > 0 && entry & LARGE != 0)
                {
                    return Err(Malformed);
                }
                if table.height == 0 && found.pages.len() < ram.len() / PAGE_BYTES {
                    found.pages.push((va, entry));
                } else if table.height > 0 && seen.insert(gpa) {
                    found.tables.push(Table { gpa, va, height: table.height - 1 });
                } else {
                    return Err(Malformed);
                }
            }
        }
        Ok(found)
    }

    /// Guest-physical ranges of the tables, without the root.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.tables.iter().skip(1).map(|table| (table.gpa, table.gpa + PAGE))
    }

    /// The pages they map, each where `place` says it has gone.
    pub(crate) fn pages(&self, place: impl Fn(u64) -> u64) -> Vec<SparsePage> {
        let moved = |&(va, entry): &SparsePage| (va, entry & !ADDRESS | place(entry & ADDRESS));
        self.pages.iter().map(moved).collect()
    }

    /// Pages of linear memory that the program may not write to, or not touch, with their entries; in order.
    pub(crate) fn into_closed(self) -> Vec<SparsePage> {
        self.closed
    }

    /// What the guest has to store, and where, so that the tables in `now` become what they are in `before`, from
    /// which these were read. The host may not do it: KVM would not see it.
    pub(crate) fn differences(&self, now: &Mapping, before: &Mapping) -> Result<Vec<(u64, u64)>, Malformed> {
        let mut stores = Vec::new();
        for table in &self.tables {
            if now.is_same(before, size(table.gpa), PAGE_BYTES)? {
                continue;
            }
            let (now, before) = (entries(now, table.gpa)?, entries(before, table.gpa)?);
            for index in (0..ENTRIES).filter(|&index| now[index] != before[index]) {
                if !table.own().contains(&index) {
                    return Err(Malformed);
                }
                stores.push((table.entry_va(index), before[index]));
            }
        }
        Ok(stores)
    }
}

/// Takes out of page tables, their root first, what pico puts there when it makes a second address space. Whether that was
/// there.
pub(crate) fn remove_second_view(tables: &mut [u8]) -> bool {
    let at = size(DIRECT_VA / ROOT_ENTRY) * 8;
    let entry = tables.get_mut(at..at + 8).unwrap_or_default();
    let found = entry.iter().any(|&byte| byte != 0);
    entry.fill(0);
    found
}

/// Whether page tables with their root at guest-physical address `root` have what pico puts there when it makes a second
/// address space, or cannot be read.
pub(crate) fn has_second_view(ram: &Mapping, root: u64) -> bool {
    let mut entry = [0; 8];
    let read = ram.read(size(root) + size(DIRECT_VA / ROOT_ENTRY) * 8, &mut entry);
    read.is_err() || entry != [0; 8]
}

/// Whether `found` and `expected`, page tables with their root first, differ in nothing but what is pico's.
pub(crate) fn is_same_but_sparse(found: &[u8], expected: &[u8]) -> bool {
    let (start, end) = (ROOT_ENTRIES.start * 8, ROOT_ENTRIES.end * 8);
    let parts = |bytes: &[u8]| -> Option<(Vec<u8>, Vec<u8>)> {
        Some((bytes.get(..start)?.to_vec(), bytes.get(end..)?.to_vec()))
    };
    found.len() == expected.len() && parts(found) == parts(expected)
}

/// Gives page tables the entries of the root that are pico's in other ones.
pub(crate) fn take_over(tables: &mut [u8], ram: &Mapping, root: u64) -> Result<(), Malformed> {
    let (start, end) = (ROOT_ENTRIES.start * 8, ROOT_ENTRIES.end * 8);
    Ok(ram.read(size(root) + start, &mut tables[start..end])?)
}

#[cfg(test)]
#[path = "sparse_tables_tests.rs"]
mod tests;
