//! Trees of tables in memory, whole and broken.

use super::*;
use crate::boot_tables::page_tables;
use crate::memory::Backing;
use abi::layout::HUGE;

const RAM: u64 = KERNEL_SIZE + 4 * HUGE;
const ROOT: u64 = KERNEL_SIZE + HUGE;
const ENTRY: u64 = 0x67;

fn memory() -> Mapping {
    Mapping::new(size(RAM), Backing::Anonymous).unwrap()
}

/// Memory in which these pages are mapped.
fn mapped(pages: &[SparsePage]) -> Mapping {
    let mut ram = memory();
    ram.write(size(ROOT), &page_tables(&[], &[], pages, &[], ROOT)).unwrap();
    ram
}

fn page(number: u64) -> u64 {
    KERNEL_SIZE + number * PAGE
}

#[test]
fn what_was_mapped_is_found() {
    let pages = [
        (SPARSE_VA, page(3) | ENTRY),
        (SPARSE_VA + 511 * PAGE, page(1) | ENTRY),
        (0xc0_0000_0000, page(2) | ENTRY),
        (SPARSE_END - PAGE, page(4) | ENTRY | 1 << 63),
    ];
    let found = SparseTables::read(&mapped(&pages), ROOT).unwrap();
    assert_eq!(found.pages(|gpa| gpa), pages);
    // A table for each of 3 regions, below 2 directories and their pointers.
    assert_eq!(found.ranges().count(), 8);
    let moved = found.pages(|gpa| if gpa == page(4) { page(9) } else { gpa });
    assert_eq!(moved[3], (SPARSE_END - PAGE, page(9) | ENTRY | 1 << 63));
}

#[test]
fn what_is_no_tree_in_ram_is_refused() {
    let refuse = |at: u64, entry: u64| {
        let mut ram = mapped(&[(SPARSE_VA, page(3) | ENTRY)]);
        ram.write(size(at), &entry.to_le_bytes()).unwrap();
        assert!(SparseTables::read(&ram, ROOT).is_err(), "{entry:#x} at {at:#x}");
    };
    let (pointers, directory, table) = (ROOT + PAGE, ROOT + 2 * PAGE, ROOT + 3 * PAGE);
    for gpa in [0, KERNEL_SIZE - PAGE, RAM, ADDRESS] {
        for at in [ROOT + 16, pointers, directory + 8, table + 8] {
            refuse(at, gpa | ENTRY);
        }
    }
    // A large page, a table that is used twice, a loop.
    refuse(directory + 8, page(0) | ENTRY | LARGE);
    refuse(directory + 8, table | ENTRY);
    refuse(ROOT + 16, pointers | ENTRY);
    refuse(pointers + 8, pointers | ENTRY);
}

#[test]
fn differences_are_told_with_the_address_the_guest_sees_them_at() {
    let before = mapped(&[(SPARSE_VA + PAGE, page(3) | ENTRY)]);
    let mut now = mapped(&[(SPARSE_VA + PAGE, page(3) | ENTRY)]);
    let tables = SparseTables::read(&before, ROOT).unwrap();
    assert!(tables.differences(&now, &before).unwrap().is_empty());
    let table = ROOT + 3 * PAGE;
    now.write(size(table + 16), &(page(5) | ENTRY).to_le_bytes()).unwrap();
    now.write(size(table + 8), &0_u64.to_le_bytes()).unwrap();
    now.write(size(ROOT + 16), &(page(6) | ENTRY).to_le_bytes()).unwrap();
    let lowest = TABLES_VA + SPARSE_VA / PAGE * 8;
    let mut root = TABLES_VA;
    for _ in 0..3 {
        root = TABLES_VA + root / PAGE * 8;
    }
    let stores = tables.differences(&now, &before).unwrap();
    assert_eq!(stores, [(root + 16, 0), (lowest + 8, page(3) | ENTRY), (lowest + 16, 0)]);
    // What is not pico's cannot be put back.
    now.write(size(ROOT), &1_u64.to_le_bytes()).unwrap();
    assert!(tables.differences(&now, &before).is_err());
}

#[test]
fn tables_are_compared_but_for_what_is_picos() {
    let plain = page_tables(&[], &[], &[], &[], ROOT);
    let mut own = plain.clone();
    own[ROOT_ENTRIES.start * 8] = 7;
    own[ROOT_ENTRIES.end * 8 - 1] = 7;
    assert!(is_same_but_sparse(&own, &plain));
    own[ROOT_ENTRIES.end * 8] = 7;
    assert!(!is_same_but_sparse(&own, &plain) && !is_same_but_sparse(&plain[..8], &plain));
}
