use super::super::areas::READ;
use super::super::fault::PageFault;
use super::super::{DATA, Mapping, Placement};
use super::*;
use abi::layout::PAGE;

fn world(pages: u64) -> (Mm, u64) {
    let mut mm = Mm::for_tests(8 << 20);
    let placement = Placement::Hint(0);
    let mapping = Mapping { placement, len: pages * PAGE, prot: DATA, kind: Kind::Anonymous, file: None };
    let start = mm.map(mapping).unwrap();
    (mm, start)
}

/// What is mapped and what has a page behind it, page by page.
fn state(mm: &mut Mm, start: u64, pages: u64) -> Vec<(bool, bool)> {
    let vas = (0..pages).map(|page| start + page * PAGE);
    vas.map(|va| (mm.area_at(va).is_some(), mm.residency(va, va + PAGE).next() == Some(true))).collect()
}

const COPIED: (bool, bool) = (true, true);
const ZEROS: (bool, bool) = (true, false);
const NOTHING: (bool, bool) = (false, false);

#[test]
fn a_child_gets_what_was_advised_and_hands_zeros_on() {
    let (mut mm, start) = world(6);
    mm.advise(start + PAGE, 2 * PAGE, Advice::Absent, true).unwrap();
    mm.advise(start + 3 * PAGE, 2 * PAGE, Advice::Wiped, true).unwrap();
    mm.advise(start + 2 * PAGE, PAGE, Advice::Absent, false).unwrap();
    let mut child = mm.copy().unwrap();
    assert_eq!(state(&mut child, start, 6), [COPIED, NOTHING, COPIED, ZEROS, ZEROS, COPIED]);
    assert_eq!(child.page_fault(start + PAGE, 0), PageFault::Refused(linux_raw_sys::general::SEGV_MAPERR));
    assert_eq!(child.page_fault(start + 3 * PAGE, 2), PageFault::Resolved);
    let mut grandchild = child.copy().unwrap();
    assert_eq!(state(&mut grandchild, start, 6), [COPIED, NOTHING, COPIED, ZEROS, ZEROS, COPIED]);
    assert_eq!(state(&mut mm, start, 6), [COPIED; 6]);
    grandchild.release();
    child.release();
}

#[test]
fn advice_goes_with_the_mapping() {
    let (mut mm, start) = world(6);
    mm.advise(start, 6 * PAGE, Advice::Absent, true).unwrap();
    mm.unmap(start + 2 * PAGE, PAGE).unwrap();
    let placement = Placement::Fixed(start + 2 * PAGE);
    mm.map(Mapping { placement, len: PAGE, prot: DATA, kind: Kind::Anonymous, file: None }).unwrap();
    let moved = mm.remap(start + 4 * PAGE, 2 * PAGE, 3 * PAGE, true, None).unwrap();
    mm.protect(start, PAGE, READ).unwrap();
    let mut child = mm.copy().unwrap();
    assert_eq!(state(&mut child, start, 4), [NOTHING, NOTHING, COPIED, NOTHING]);
    assert_eq!(state(&mut child, moved, 3), [NOTHING; 3]);
    child.release();
}

#[test]
fn advice_is_limited_and_for_what_is_mapped() {
    let (mut mm, start) = world(2 * RANGES_MAX as u64 - 1);
    let advise = |mm: &mut Mm, page: u64| mm.advise(start + page * PAGE, PAGE, Advice::Wiped, true);
    for page in 0..RANGES_MAX as u64 - 1 {
        advise(&mut mm, 2 * page).unwrap();
    }
    assert_eq!((advise(&mut mm, 2044), advise(&mut mm, 2046)), (Ok(()), Ok(())));
    assert_eq!(advise(&mut mm, 1), Err(Errno::ENOMEM));
    mm.unmap(start, PAGE).unwrap();
    assert_eq!((advise(&mut mm, 1), advise(&mut mm, 0)), (Ok(()), Err(Errno::ENOMEM)));
    let shared =
        Mapping { placement: Placement::Hint(0), len: PAGE, prot: DATA, kind: Kind::Shared, file: None };
    let shared = mm.map(shared).unwrap();
    assert_eq!(mm.advise(shared, PAGE, Advice::Wiped, true), Err(Errno::EINVAL));
    assert_eq!(mm.advise(shared, PAGE, Advice::Absent, true), Ok(()));
}

#[test]
fn a_child_maps_nothing_over_pages_of_a_file_that_it_does_not_get() {
    let mut mm = Mm::for_tests(8 << 20);
    let pages = mm.alloc_pages(2).unwrap();
    let start = pages.as_ptr().expose_provenance() as u64;
    let end = start + 2 * PAGE;
    mm.show_pages(start, end, DATA, (alloc::rc::Rc::from("/tmp/file"), 0)).unwrap();
    mm.advise(start, 2 * PAGE, Advice::Absent, true).unwrap();
    let mut child = mm.copy().unwrap();
    assert_eq!(child.area_at(start).map(|area| area.kind), Some(Kind::Kernel));
    assert_eq!(child.slice(start, 1), Err(Errno::EFAULT));
    let anonymous =
        |placement| Mapping { placement, len: PAGE, prot: DATA, kind: Kind::Anonymous, file: None };
    for placement in [Placement::Hint(0), Placement::Hint(start), Placement::Hint(start + PAGE)] {
        let at = child.map(anonymous(placement)).unwrap();
        assert!(at + PAGE <= start || end <= at, "{at:x} is in {start:x}..{end:x}");
    }
    assert!(child.map(anonymous(Placement::Fixed(start))).is_err());
    assert!(child.advise(start, PAGE, Advice::Absent, true).is_err(), "pico's own");
    let grandchild = child.copy().unwrap();
    assert_eq!(grandchild.area_at(start).map(|area| area.kind), Some(Kind::Kernel));
    grandchild.release();
    child.release();
}

#[test]
fn advice_for_a_part_goes_with_that_part() {
    let (mut mm, start) = world(4);
    mm.advise(start + PAGE, PAGE, Advice::Absent, true).unwrap();
    mm.advise(start + 3 * PAGE, PAGE, Advice::Wiped, true).unwrap();
    let moved = mm.remap(start, 4 * PAGE, 5 * PAGE, true, Some(start - 16 * PAGE)).unwrap();
    let mut child = mm.copy().unwrap();
    // It grows by more of its end.
    assert_eq!(state(&mut child, moved, 5), [COPIED, NOTHING, COPIED, ZEROS, ZEROS]);
    child.release();
    // As pages, and smaller.
    let moved = mm.remap(moved, 5 * PAGE, 2 * PAGE, true, Some(start - 32 * PAGE)).unwrap();
    let mut child = mm.copy().unwrap();
    assert_eq!(state(&mut child, moved, 2), [COPIED, NOTHING]);
    child.release();
}
