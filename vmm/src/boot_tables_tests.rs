//! Tables are walked as a CPU walks them.

use super::*;
use abi::layout::{IMAGE_MAX, RAM_MAX, SPARSE_VA};
use zerocopy::FromZeros;

/// Walks the tables as a CPU does. Returns the leaf entry and the guest-physical address.
fn walk(tables: &[u8], at: u64, va: u64) -> Option<(u64, u64)> {
    let mut table = at;
    for shift in [39, 30, 21, 12] {
        let at = size(table - at + 8 * (va >> shift & 0x1ff));
        let entry = u64::from_le_bytes(tables[at..at + 8].try_into().unwrap());
        if entry & PRESENT == 0 {
            return None;
        }
        assert_eq!(entry & (USER | ACCESSED), USER | ACCESSED);
        let size = if shift == 12 { PAGE } else { HUGE };
        if shift == 12 || entry & LARGE != 0 {
            assert!(shift <= 21);
            return Some((entry, (entry & !(size - 1)) + va % size));
        }
        table = entry & !(PAGE - 1);
    }
    None
}

#[test]
fn every_range_maps_to_its_place_and_nothing_else_is_mapped() {
    let sizes = Sizes { ram: KERNEL_SIZE + 32 * HUGE, root: 3 * HUGE, package: HUGE };
    let tables = page_tables(&ranges(sizes), &[], &[], &[], kernel_area::PAGE_TABLES);
    let walk = |va| walk(&tables, kernel_area::PAGE_TABLES, va);
    let physical = |va| walk(va).map(|(_, gpa)| gpa);
    assert_eq!(physical(KERNEL_VA + 0x1234), Some(0x1234));
    assert_eq!(physical(KERNEL_VA + KERNEL_SIZE), None);
    assert_eq!(physical(PROGRAM_VA - 1), None);
    assert_eq!(physical(0), None);
    assert_eq!(physical(PROGRAM_VA + 31 * HUGE + 5), Some(KERNEL_SIZE + 31 * HUGE + 5));
    assert_eq!(physical(PROGRAM_VA + 32 * HUGE), None);
    assert_eq!(physical(MAILBOX_VA + MAILBOX_SIZE - 1), Some(MAILBOX_GPA + MAILBOX_SIZE - 1));
    assert_eq!(physical(MAILBOX_VA + MAILBOX_SIZE), None);
    assert_eq!(physical(ROOT_VA + 2 * HUGE), Some(ROOT_GPA + 2 * HUGE));
    assert_eq!(physical(PACKAGE_VA + HUGE), None);
    assert_eq!(walk(ROOT_VA).unwrap().0 & WRITABLE, 0);
    assert_ne!(walk(MAILBOX_VA).unwrap().0 & WRITABLE, 0);
}

#[test]
fn the_largest_machine_fits() {
    let at = kernel_area::PAGE_TABLES;
    let tables =
        page_tables(&ranges(Sizes { ram: RAM_MAX, root: IMAGE_MAX, package: IMAGE_MAX }), &[], &[], &[], at);
    assert_eq!(walk(&tables, at, PACKAGE_VA + IMAGE_MAX - 1).unwrap().1, PACKAGE_GPA + IMAGE_MAX - 1);
    assert!(tables.len() as u64 <= kernel_area::PAGE_TABLES_SIZE);
}

#[test]
fn moved_pages_are_found_where_they_went_and_their_neighbours_where_they_were() {
    let sizes = Sizes { ram: KERNEL_SIZE + 32 * HUGE, root: HUGE, package: 0 };
    let at = KERNEL_SIZE + 40 * HUGE;
    let moved = [
        (KERNEL_VA + 7 * PAGE, KERNEL_SIZE + 32 * HUGE),
        (PROGRAM_VA + 5 * HUGE - PAGE, KERNEL_SIZE + 32 * HUGE + PAGE),
        (PROGRAM_VA + 4 * HUGE, KERNEL_SIZE + 32 * HUGE + 2 * PAGE),
    ];
    let sparse = (SPARSE_VA + 5 * PAGE, (7 * HUGE) | (LEAF_FLAGS & !LARGE));
    let tables = page_tables(&ranges(sizes), &moved, &[sparse], &[], at);
    assert_eq!(walk(&tables, at, sparse.0 + 3), Some((sparse.1, 7 * HUGE + 3)));
    assert_eq!(walk(&tables, at, sparse.0 + PAGE), None);
    let walk = |va| walk(&tables, at, va).unwrap();
    for (va, gpa) in moved {
        let (entry, found) = walk(va + 9);
        assert_eq!(found, gpa + 9);
        assert_eq!(entry & (LARGE | WRITABLE | DIRTY), WRITABLE | DIRTY);
    }
    assert_eq!(walk(KERNEL_VA + 6 * PAGE + 1).1, 6 * PAGE + 1);
    assert_eq!(walk(KERNEL_VA + 8 * PAGE + 1).1, 8 * PAGE + 1);
    assert_eq!(walk(PROGRAM_VA + 4 * HUGE + PAGE).1, KERNEL_SIZE + 4 * HUGE + PAGE);
    let (entry, gpa) = walk(PROGRAM_VA + 5 * HUGE);
    assert_eq!((entry & LARGE, gpa), (LARGE, KERNEL_SIZE + 5 * HUGE));
}

#[test]
fn the_io_bitmap_allows_one_port() {
    let (_, tss) = tss(&KernelHeader::new_zeroed());
    let bitmap = usize::from(u16::from_le_bytes([tss[0x66], tss[0x67]]));
    for port in 0..=0xffff_usize {
        let denied = tss.get(bitmap + port / 8).is_none_or(|byte| byte >> (port % 8) & 1 == 1);
        let reachable = bitmap + port / 8 < usize::from(TSS_LIMIT) && !denied;
        assert_eq!(reachable, port == usize::from(DOORBELL_PORT), "port {port:#x}");
    }
}

#[test]
fn gates_point_to_their_stubs() {
    let mut header = KernelHeader::new_zeroed();
    header.exception_stubs = 0x7000_0012_3400;
    header.exception_stub_bytes = 16;
    let (_, idt) = idt(&header);
    assert_eq!(idt.len(), usize::from(IDT_LIMIT) + 1);
    let gate = &idt[14 * 16..15 * 16];
    assert_eq!(u16::from_le_bytes([gate[0], gate[1]]), 0x34e0);
    assert_eq!(u16::from_le_bytes([gate[6], gate[7]]), 0x0012);
    assert_eq!(u32::from_le_bytes(gate[8..12].try_into().unwrap()), 0x7000);
}

#[test]
fn strings_are_checked() {
    let info = BootInfo::new_zeroed();
    let (_, bytes) = boot_info(info, &[b"/bin/a".to_vec()], &[b"K=V".to_vec()]).unwrap();
    assert_eq!(&bytes[size_of::<BootInfo>()..], b"/bin/a\0K=V\0");
    assert_eq!(boot_info(info, &[vec![0]], &[]), Err(StringsError::Nul));
    assert!(boot_info(info, &[vec![b'a'; STRINGS_MAX - 1]], &[]).is_ok());
    assert_eq!(boot_info(info, &[vec![b'a'; STRINGS_MAX]], &[]), Err(StringsError::TooLong(STRINGS_MAX + 1)));
}
