//! The page tables of the sparse area, seen through the entry of the root that leads to the root itself.
//!
//! Following that entry once shows the lowest tables as pages, twice those above, and so on. Entries are written from
//! ring 3; only forgetting old ones takes ring 0, which a deliberate `ud2` enters ([`super::exceptions`]).

use super::address;
use crate::mm::areas::{EXEC, WRITE};
use crate::mm::tables::PageTables;
use abi::layout::{HUGE, PAGE, TABLES_VA};
use core::arch::naked_asm;
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

/// The tables there are.
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
    // SAFETY: as above; the entry belongs to the sparse area, where nothing of pico's lies.
    unsafe { entry_at(va, height).write_volatile(value) };
}

/// The guest-physical address of a page of linear memory.
fn physical(page: u64) -> u64 {
    let large = entry(page, 1);
    if large & LARGE != 0 { (large & ADDRESS & !(HUGE - 1)) + page % HUGE } else { entry(page, 0) & ADDRESS }
}

/// The highest table that `va` lacks, as the height of the entry that should lead to it.
fn missing(va: u64) -> Option<u32> {
    [3, 2, 1].into_iter().find(|&height| entry(va, height) & PRESENT == 0)
}

/// Reloads CR3, in the exception stub of `ud2`.
#[unsafe(naked)]
extern "C" fn reload() {
    naked_asm!(".globl pico_flush_at", "pico_flush_at:", "ud2", "ret")
}

impl PageTables for Paging {
    fn has_table(&self, va: u64) -> bool {
        missing(va).is_none()
    }

    fn add_table(&self, va: u64, page: u64) {
        let table: *mut u64 = with_exposed_provenance_mut(address(page));
        for index in 0..address(PAGE) / 8 {
            // Whether or not it is zero: whoever shadows a table that was one before must see it being emptied.
            // SAFETY: the page is linear memory that was given to the tables.
            unsafe { table.add(index).write_volatile(0) };
        }
        if let Some(height) = missing(va) {
            set_entry(va, height, physical(page) | TABLE);
        }
    }

    fn set(&self, va: u64, page: u64, prot: u32) {
        let writable = if prot & WRITE != 0 { WRITABLE } else { 0 };
        let no_exec = if prot & EXEC == 0 { NO_EXEC } else { 0 };
        let value = physical(page) | PRESENT | USER | TOUCHED | writable | no_exec;
        set_entry(va, 0, if prot == 0 { 0 } else { value });
    }

    fn clear(&self, va: u64) {
        set_entry(va, 0, 0);
    }

    fn flush(&self) {
        reload();
    }
}
