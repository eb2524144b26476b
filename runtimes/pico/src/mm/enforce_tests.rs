//! What the processor is told of protections in linear memory.

use crate::mm::areas::{EXEC, Kind, READ, WRITE};
use crate::mm::fault::PageFault;
use crate::mm::tables::fake::Fake;
use crate::mm::{DATA, Mapping, Mm, Placement};
use abi::layout::{HUGE, PAGE};
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

const BY_WRITE: u64 = 2;

fn world() -> (Mm, Rc<Fake>) {
    let tables = Rc::new(Fake::default());
    (Mm::with_tables(8 << 20, tables.clone()), tables)
}

fn data(len: u64) -> Mapping {
    Mapping { placement: Placement::Hint(0), len, prot: DATA, kind: Kind::Anonymous, file: None }
}

#[test]
fn a_piece_is_split_when_a_part_of_it_is_protected() {
    let (mut mm, tables) = world();
    let start = mm.map(data(8 * PAGE)).unwrap();
    mm.protect(start, 8 * PAGE, DATA).unwrap();
    assert!(tables.splits.borrow().is_empty(), "nothing is lost");
    mm.protect(start + PAGE, PAGE, READ).unwrap();
    assert_eq!((tables.splits.borrow().len(), tables.flushes.get()), (1, 1));
    assert_eq!(
        tables.allowed.borrow().clone().into_iter().collect::<alloc::vec::Vec<_>>(),
        [(start + PAGE, READ)]
    );
    assert_eq!(mm.page_fault(start + PAGE + 3, BY_WRITE | 1), PageFault::Refused(linux::SEGV_ACCERR));
    mm.protect(start + PAGE, PAGE, DATA).unwrap();
    assert_eq!(tables.allowed.borrow().get(&(start + PAGE)), Some(&DATA));
    mm.protect(start, 8 * PAGE, 0).unwrap();
    assert_eq!(tables.allowed.borrow().len(), 8);
    // What is not mapped any more is pico's to use.
    mm.unmap(start, 8 * PAGE).unwrap();
    assert!(tables.allowed.borrow().is_empty());
    assert_eq!(mm.page_fault(start, BY_WRITE), PageFault::Refused(linux::SEGV_MAPERR));
}

#[test]
fn what_was_protected_once_is_open_when_it_is_unmapped() {
    let (mut mm, tables) = world();
    let start = mm.map(data(2 * PAGE)).unwrap();
    mm.protect(start, PAGE, READ).unwrap();
    mm.protect(start, PAGE, DATA).unwrap();
    assert_eq!(tables.allowed.borrow().get(&start), Some(&DATA), "it may not be executed");
    mm.unmap(start, 2 * PAGE).unwrap();
    assert!(tables.allowed.borrow().is_empty());
}

#[test]
fn what_the_processor_forgot_is_said_again() {
    let (mut mm, tables) = world();
    let start = mm.map(data(2 * PAGE)).unwrap();
    mm.protect(start, PAGE, 0).unwrap();
    // pico had a part of it in use and opened it.
    assert!(mm.open_for_pico(start + 9) && !mm.open_for_pico(start + 9) && !mm.open_for_pico(mm.end() + 9));
    mm.protect(start, PAGE, READ).unwrap();
    tables.allowed.borrow_mut().insert(start, 0);
    assert_eq!(mm.page_fault(start + 9, 0), PageFault::Resolved);
    assert_eq!(tables.allowed.borrow().get(&start), Some(&READ));
    assert_eq!(mm.page_fault(start + 9, 0), PageFault::Refused(linux::SEGV_ACCERR), "it was said already");
}

#[test]
fn what_a_call_of_pico_still_uses_is_there() {
    let (mut mm, tables) = world();
    let start = mm.map(Mapping { placement: Placement::Sparse(0), prot: 0, ..data(4 * PAGE) }).unwrap();
    mm.protect(start, 4 * PAGE, DATA).unwrap();
    assert!(mm.slice_mut(start, 8).is_ok());
    mm.protect(start, 4 * PAGE, 0).unwrap();
    assert!(mm.open_for_pico(start + 5));
    assert_eq!(tables.entries.borrow().get(&start).map(|&(_, prot)| prot), Some(DATA));
    mm.unmap(start, 4 * PAGE).unwrap();
    assert!(tables.entries.borrow().is_empty() && mm.open_for_pico(start + 5));
    assert!(tables.entries.borrow().contains_key(&start));
    // Nowhere else.
    assert!(
        ![0, mm.base() - PAGE, mm.end(), abi::layout::SPARSE_END, u64::MAX]
            .into_iter()
            .any(|at| mm.open_for_pico(at))
    );
}

#[test]
fn a_new_mapping_is_empty_where_a_call_of_pico_still_used_the_last_one() {
    let (mut mm, tables) = world();
    let start = mm.map(Mapping { placement: Placement::Sparse(0), prot: 0, ..data(4 * PAGE) }).unwrap();
    mm.protect(start, 4 * PAGE, DATA).unwrap();
    mm.unmap(start, 4 * PAGE).unwrap();
    assert!(mm.open_for_pico(start + PAGE) && tables.entries.borrow().len() == 1);
    mm.map(Mapping { placement: Placement::Fixed(start), ..data(4 * PAGE) }).unwrap();
    assert!(tables.entries.borrow().is_empty());
    mm.unmap(start, 4 * PAGE).unwrap();
    assert_eq!(mm.used(), PAGE, "what is left is a table");
}

#[test]
fn guards_in_the_middle_of_memory_and_moved_mappings_are_protected() {
    let (mut mm, tables) = world();
    let start = mm.map(data(8 * PAGE)).unwrap();
    let guard = Mapping { placement: Placement::Fixed(start + PAGE), len: PAGE, prot: 0, ..data(0) };
    mm.map(guard).unwrap();
    assert_eq!(tables.allowed.borrow().get(&(start + PAGE)), Some(&0));
    mm.protect(start + 4 * PAGE, 2 * PAGE, READ | EXEC).unwrap();
    let moved = mm.remap(start + 4 * PAGE, 2 * PAGE, 3 * HUGE, true, None).unwrap();
    let allowed = tables.allowed.borrow();
    assert_eq!((allowed.get(&(start + 4 * PAGE)), allowed.get(&moved)), (None, Some(&(READ | EXEC))));
    assert_eq!(allowed.get(&(moved + 3 * HUGE - PAGE)), Some(&(READ | EXEC)));
}

#[test]
fn another_space_finds_no_closed_pages_in_the_first_tables() {
    let (mut mm, tables) = world();
    let start = mm.map(data(4 * PAGE)).unwrap();
    mm.protect(start, 2 * PAGE, READ).unwrap();
    let child = mm.copy().unwrap();
    assert!(tables.allowed.borrow().is_empty());
    assert!(mm.slice_mut(start, 1).is_err() && child.slice_mut(start, 1).is_err());
    mm.protect(start, PAGE, DATA).unwrap();
    assert!(tables.allowed.borrow().is_empty(), "the tables of its space have it");
    child.release();
}

#[test]
fn no_memory_for_a_table_is_an_error_and_changes_nothing() {
    let (mut mm, tables) = world();
    let start = mm.map(data(8 << 20)).unwrap();
    assert_eq!(mm.protect(start, PAGE, READ), Err(crate::errno::Errno::ENOMEM));
    assert!(mm.slice_mut(start, 1).is_ok() && tables.allowed.borrow().is_empty());
    // What is opened needs none.
    assert_eq!(mm.protect(start, PAGE, READ | WRITE | EXEC), Ok(()));
}

#[test]
fn a_piece_split_in_vain_is_told_to_the_processor() {
    let (mut mm, tables) = world();
    let start = mm.map(data(mm.free() - PAGE)).unwrap();
    assert_eq!((mm.free(), tables.flushes.get()), (PAGE, 0));
    assert_eq!(mm.protect(start, 2 * HUGE, READ), Err(crate::errno::Errno::ENOMEM));
    assert_eq!((tables.splits.borrow().len(), tables.flushes.get()), (1, 1));
    assert_eq!(mm.area_at(start).map(|area| area.prot), Some(DATA));
}
