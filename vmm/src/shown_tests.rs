//! Pieces in tables as the host makes them.

use super::*;
use crate::boot_tables::{page_tables, ranges};
use crate::memory::Backing;
use abi::layout::{PACKAGE_GPA, ROOT_VA, kernel_area::PAGE_TABLES};

const SIZES: Sizes = Sizes { ram: KERNEL_SIZE + 8 * HUGE, root: 4 * HUGE, package: HUGE };

fn tables() -> Vec<u8> {
    page_tables(&ranges(SIZES), &[], &[], &[], PAGE_TABLES)
}

#[test]
fn pieces_are_put_in_found_and_taken_out() {
    let pieces =
        [(PROGRAM_VA, (ROOT_GPA + 3 * HUGE) | LEAF_FLAGS), (PROGRAM_VA + 7 * HUGE, ROOT_GPA | LEAF_FLAGS)];
    let mut with = tables();
    put_in(&mut with, PAGE_TABLES, &pieces);
    let mut ram = Mapping::new(size(SIZES.ram), Backing::Anonymous).unwrap();
    ram.write(size(PAGE_TABLES), &with).unwrap();
    assert_eq!(read(&ram, PAGE_TABLES, SIZES), pieces);
    assert_eq!(read(&ram, PAGE_TABLES, any_image(SIZES.ram)), pieces);
    assert_eq!(take_out(&mut with, PAGE_TABLES, SIZES), pieces);
    assert!(with == tables());
    assert!(hides(&pieces, PROGRAM_VA + HUGE - 1) && !hides(&pieces, PROGRAM_VA + HUGE));
}

#[test]
fn what_is_no_piece_stays() {
    for entry in [
        (ROOT_GPA + 4 * HUGE) | LEAF_FLAGS,
        (ROOT_GPA + 4096) | LEAF_FLAGS,
        ROOT_GPA | LEAF_FLAGS | WRITABLE,
        KERNEL_SIZE | LEAF_FLAGS,
        PACKAGE_GPA | LEAF_FLAGS,
        ROOT_GPA | PRESENT,
        0,
    ] {
        let mut with = tables();
        put_in(&mut with, PAGE_TABLES, &[(PROGRAM_VA + HUGE, entry)]);
        let before = with.clone();
        assert!(take_out(&mut with, PAGE_TABLES, SIZES).is_empty(), "{entry:#x}");
        assert!(with == before && with != tables());
    }
    // Only the program's memory has pieces; broken tables have none.
    let mut with = tables();
    put_in(&mut with, PAGE_TABLES, &[(ROOT_VA, (ROOT_GPA + HUGE) | LEAF_FLAGS)]);
    assert!(take_out(&mut with, PAGE_TABLES, SIZES).is_empty());
    with.fill(0xff);
    assert!(take_out(&mut with, PAGE_TABLES, SIZES).is_empty());
    assert!(take_out(&mut with[..9], PAGE_TABLES, SIZES).is_empty());
}
