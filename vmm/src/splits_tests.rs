//! Split pieces in tables as the host makes them, and what is none.

use super::*;
use crate::boot_tables::{Sizes, page_tables, ranges};
use crate::memory::Backing;
use abi::layout::kernel_area::PAGE_TABLES;

const SIZES: Sizes = Sizes { ram: KERNEL_SIZE + 8 * HUGE, root: HUGE, package: 0 };
const TABLE: u64 = KERNEL_SIZE + 5 * HUGE + 3 * PAGE;
const PIECE: u64 = PROGRAM_VA + 2 * HUGE;

/// The host's tables, with a table of pico's for one piece whose entries `change` has seen.
fn split(change: impl Fn(usize, u64) -> u64) -> (Mapping, Vec<u8>) {
    let mut tables = page_tables(&ranges(SIZES), &[], &[], &[], PAGE_TABLES);
    set_entry(&mut tables, PAGE_TABLES, PIECE, TABLE | TABLE_FLAGS);
    let small = |index: usize| (KERNEL_SIZE + 2 * HUGE + index as u64 * PAGE) | OPEN_FLAGS;
    let entries: Vec<u8> = (0..ENTRIES).flat_map(|index| change(index, small(index)).to_le_bytes()).collect();
    let mut ram = Mapping::new(size(SIZES.ram), Backing::Anonymous).unwrap();
    ram.write(size(TABLE), &entries).unwrap();
    ram.write(size(PAGE_TABLES), &tables).unwrap();
    (ram, tables)
}

#[test]
fn a_split_piece_is_taken_out_and_its_protections_are_kept() {
    let read_only = OPEN_FLAGS & !WRITABLE | 1 << 63;
    let (ram, mut tables) = split(|index, entry| match index {
        7 => entry & ADDRESS | read_only,
        511 => entry & !PRESENT,
        _ => entry,
    });
    let plain = page_tables(&ranges(SIZES), &[], &[], &[], PAGE_TABLES);
    let before = tables.clone();
    let found = take_out(&mut tables, PAGE_TABLES, &ram);
    assert_eq!(found, read(&ram, PAGE_TABLES, SIZES.ram));
    assert!(tables == plain);
    put_in(&mut tables, PAGE_TABLES, &found);
    assert!(tables == before);
    let protected = closed(&found);
    assert_eq!(protected, [(PIECE + 7 * PAGE, read_only), (PIECE + 511 * PAGE, OPEN_FLAGS & !PRESENT)]);

    // A function's tables have them, whether or not the page was moved.
    let at = KERNEL_SIZE;
    let made = page_tables(&ranges(SIZES), &[(PIECE + 7 * PAGE, 0x1234_5000)], &[], &protected, at);
    let table = entry_at(at, PIECE, |gpa| entry_of(&made, at, gpa)).and_then(|gpa| entry_of(&made, at, gpa));
    let entry = |index: u64| entry_of(&made, at, (table.unwrap() & ADDRESS) + 8 * index);
    assert_eq!(entry(7), Some(0x1234_5000 | read_only));
    assert_eq!(entry(8), Some((KERNEL_SIZE + 2 * HUGE + 8 * PAGE) | OPEN_FLAGS));
    assert_eq!(entry(511), Some((KERNEL_SIZE + 2 * HUGE + 511 * PAGE) | OPEN_FLAGS & !PRESENT));
}

#[test]
fn what_is_no_split_piece_stays() {
    let changes: [fn(usize, u64) -> u64; 4] = [
        |index, entry| if index == 3 { entry + PAGE } else { entry },
        |index, entry| if index == 3 { entry | 1 << 9 } else { entry },
        |index, entry| if index == 3 { 0 } else { entry },
        |_, entry| entry & !(1 << 5),
    ];
    for change in changes {
        let (ram, mut tables) = split(change);
        let before = tables.clone();
        assert!(take_out(&mut tables, PAGE_TABLES, &ram).is_empty());
        assert!(tables == before);
    }
    // Nor is a table of pico's own memory, one outside of RAM, or another kind of entry.
    for entry in
        [PAGE | TABLE_FLAGS, SIZES.ram | TABLE_FLAGS, 0x000f_ffff_ffff_f000 | TABLE_FLAGS, TABLE | PRESENT, 0]
    {
        let (ram, mut tables) = split(|_, entry| entry);
        set_entry(&mut tables, PAGE_TABLES, PIECE, entry);
        assert!(take_out(&mut tables, PAGE_TABLES, &ram).is_empty(), "{entry:#x}");
    }
}
