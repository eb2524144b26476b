//! The page tables of the sparse area, seen through the entry of the root that leads to the root itself.
//!
//! Following that entry once shows the lowest tables as pages, twice those above, and so on. Entries are written from
//! ring 3; only forgetting old ones takes ring 0, which a deliberate `int3` enters ([`super::exceptions`]).
//!
//! Tables of other address spaces are not seen that way. Those are pages of the linear memory, which [`DIRECT_VA`] shows in
//! every space.

use super::address;
use crate::mm::areas::{EXEC, WRITE};
use crate::mm::tables::PageTables;
use abi::layout::{
    DIRECT_VA, HUGE, IMAGE_MAX, KERNEL_SIZE, PAGE, PROGRAM_VA, ROOT_ENTRY, ROOT_VA, SPARSE_END, TABLES_VA,
};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::arch::asm;
use core::cell::RefCell;
use core::ptr::with_exposed_provenance_mut;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Accessed and dirty, set ahead, so that the processor has no reason to write to tables.
const TOUCHED: u64 = 3 << 5;
const LARGE: u64 = 1 << 7;
const NO_EXEC: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const TABLE: u64 = PRESENT | WRITABLE | USER | TOUCHED;
/// The flags of a page of linear memory that was never protected.
const OPEN: u64 = PRESENT | WRITABLE | USER | TOUCHED;

/// Entries of one table.
const ENTRIES: u64 = PAGE / 8;

/// The tables the host made, as long as there are no others.
pub(super) struct Paging;

/// Where the entry for `va` is seen, in the table with `height` tables below it.
fn entry_at(va: u64, height: u32) -> *mut u64 {
    let lowest = |va: u64| TABLES_VA + va / PAGE * 8;
    with_exposed_provenance_mut(address((0..height).fold(lowest(va), |at, _| lowest(at)) & !7))
}

/// The entry for `va`; the tables above it must exist.
fn entry(va: u64, height: u32) -> u64 {
    // SAFETY: the callers have seen that the table exists, so it is mapped there.
    unsafe { entry_at(va, height).read_volatile() }
}

fn set_entry(va: u64, height: u32, value: u64) {
    // SAFETY: as above; the entry belongs to the program's addresses, where pico knows what it protects.
    unsafe { entry_at(va, height).write_volatile(value) };
}

/// The guest-physical address of a page of linear memory.
fn physical(page: u64) -> u64 {
    let large = entry(page, 1);
    if large & LARGE != 0 { (large & ADDRESS & !(HUGE - 1)) + page % HUGE } else { entry(page, 0) & ADDRESS }
}

/// The entry of a lowest table for what lies at guest-physical address `at`.
fn leaf(at: u64, prot: u32) -> u64 {
    let writable = if prot & WRITE != 0 { WRITABLE } else { 0 };
    let no_exec = if prot & EXEC == 0 { NO_EXEC } else { 0 };
    if prot == 0 { 0 } else { at | PRESENT | USER | TOUCHED | writable | no_exec }
}

/// Writes entry `index` of the table that is page `table` of linear memory, wherever it is seen.
fn store(table: u64, index: u64, value: u64) {
    let at: *mut u64 = with_exposed_provenance_mut(address(DIRECT_VA + table + 8 * index));
    // SAFETY: the page is linear memory that was given to the tables; the second view was made before them.
    unsafe { at.write_volatile(value) };
}

/// Makes the page that is seen at `at` a table without entries.
fn empty(at: u64) {
    let table: *mut u64 = with_exposed_provenance_mut(address(at));
    for index in 0..address(ENTRIES) {
        // Whether or not it is zero: whoever shadows a table that was one before must see it being emptied.
        // SAFETY: the page is linear memory that was given to the tables.
        unsafe { table.add(index).write_volatile(0) };
    }
}

/// The highest table that `va` lacks, as the height of the entry that should lead to it.
fn missing(va: u64) -> Option<u32> {
    [3, 2, 1].into_iter().find(|&height| entry(va, height) & PRESENT == 0)
}

/// Puts the root at guest-physical address `root` into CR3, whether or not it is there.
fn load(root: u64) {
    // SAFETY: the stub of `int3` knows this one by the address in `rcx`. All roots have the same entries for everything that is
    // pico's own; what they map beyond that is memory to the compiler like any other.
    unsafe { asm!("lea rcx, [rip + 2f]", "int3", "2:", in("rax") root, out("rcx") _) };
}

/// Loads CR3 with what is there.
fn reload() {
    load(entry(TABLES_VA, 3) & ADDRESS);
}

impl PageTables for Paging {
    fn has_table(&self, va: u64) -> bool {
        missing(va).is_none()
    }

    fn add_table(&self, va: u64, page: u64) {
        empty(page);
        if let Some(height) = missing(va) {
            set_entry(va, height, physical(page) | TABLE);
        }
    }

    fn set(&self, va: u64, page: u64, prot: u32) {
        set_entry(va, 0, leaf(physical(page), prot));
    }

    fn set_image(&self, va: u64, image: u64, prot: u32) {
        set_entry(va, 0, leaf(physical(image), prot & !WRITE));
    }

    fn show_image(&self, va: u64, image: u64) -> bool {
        if !image.is_multiple_of(HUGE) || !(ROOT_VA..ROOT_VA + IMAGE_MAX).contains(&image) {
            return false;
        }
        // The host has mapped images with large pages, to be read.
        set_entry(va, 1, entry(image, 1));
        true
    }

    fn show_memory(&self, va: u64) {
        set_entry(va, 1, (va - PROGRAM_VA + KERNEL_SIZE) | TABLE | LARGE);
    }

    fn clear(&self, va: u64) {
        set_entry(va, 0, 0);
    }

    fn is_split(&self, va: u64) -> bool {
        entry(va, 1) & LARGE == 0
    }

    fn split(&self, va: u64, page: u64) {
        let (large, table) = (entry(va, 1), with_exposed_provenance_mut::<u64>(address(page)));
        for index in 0..ENTRIES {
            let small = (large & ADDRESS & !(HUGE - 1)) + index * PAGE;
            // SAFETY: the page is linear memory that was given to the tables.
            unsafe { table.add(address(index)).write_volatile(small | OPEN) };
        }
        set_entry(va, 1, physical(page) | TABLE);
    }

    fn allow(&self, va: u64, prot: Option<u32>) -> bool {
        let before = entry(va, 0);
        // Where a page lies is found here even if it may not be touched.
        let flags = match prot {
            None => OPEN,
            Some(0) => USER | TOUCHED,
            Some(prot) => leaf(0, prot),
        };
        let after = before & ADDRESS | flags;
        if before != after {
            set_entry(va, 0, after);
        }
        before != after
    }

    fn flush(&self) {
        reload();
    }

    fn show_again(&self) -> u64 {
        set_entry(DIRECT_VA, 3, entry(PROGRAM_VA, 3));
        DIRECT_VA
    }

    fn another(&self, root: u64) -> Rc<dyn PageTables> {
        Tree::new(root)
    }

    fn activate(&self) {
        reload();
    }

    fn pages(&self) -> Vec<u64> {
        Vec::new()
    }
}

/// The tables of one of several address spaces.
struct Tree {
    root: u64,
    /// By height and by the part of the address that leads to them.
    tables: RefCell<BTreeMap<(u32, u64), u64>>,
}

/// What leads to the table with `height` tables below it.
fn key(va: u64, height: u32) -> (u32, u64) {
    (height, va >> (21 + 9 * height))
}

impl Tree {
    /// Empty tables, except for what is pico's in the current ones.
    fn new(root: u64) -> Rc<Self> {
        empty(DIRECT_VA + root);
        for number in SPARSE_END / ROOT_ENTRY..ENTRIES / 2 {
            store(root, number, entry(number * ROOT_ENTRY, 3));
        }
        store(root, TABLES_VA / ROOT_ENTRY, physical(DIRECT_VA + root) | TABLE);
        Rc::new(Self { root, tables: RefCell::default() })
    }

    /// The lowest table for `va`, which exists.
    fn lowest(&self, va: u64) -> u64 {
        self.tables.borrow().get(&key(va, 0)).copied().expect("its table was added")
    }
}

impl PageTables for Tree {
    fn has_table(&self, va: u64) -> bool {
        self.tables.borrow().contains_key(&key(va, 0))
    }

    fn add_table(&self, va: u64, page: u64) {
        empty(DIRECT_VA + page);
        let mut tables = self.tables.borrow_mut();
        let mut above = self.root;
        for height in [2, 1, 0] {
            let (_, number) = key(va, height);
            match tables.get(&key(va, height)) {
                Some(&table) => above = table,
                None => {
                    store(above, number % ENTRIES, physical(DIRECT_VA + page) | TABLE);
                    tables.insert(key(va, height), page);
                    return;
                }
            }
        }
    }

    fn set(&self, va: u64, page: u64, prot: u32) {
        store(self.lowest(va), va / PAGE % ENTRIES, leaf(physical(DIRECT_VA + page), prot));
    }

    fn set_image(&self, va: u64, image: u64, prot: u32) {
        store(self.lowest(va), va / PAGE % ENTRIES, leaf(physical(image), prot & !WRITE));
    }

    fn show_image(&self, _: u64, _: u64) -> bool {
        false
    }

    fn show_memory(&self, _: u64) {}

    fn clear(&self, va: u64) {
        store(self.lowest(va), va / PAGE % ENTRIES, 0);
    }

    fn is_split(&self, _: u64) -> bool {
        false
    }

    fn split(&self, _: u64, _: u64) {}

    fn allow(&self, _: u64, _: Option<u32>) -> bool {
        false
    }

    fn flush(&self) {
        reload();
    }

    fn show_again(&self) -> u64 {
        DIRECT_VA
    }

    fn another(&self, root: u64) -> Rc<dyn PageTables> {
        Self::new(root)
    }

    fn activate(&self) {
        load(physical(DIRECT_VA + self.root));
    }

    fn pages(&self) -> Vec<u64> {
        self.tables.borrow().values().copied().chain([self.root]).collect()
    }
}
