use super::areas::Kind;
use super::ops::{Mapping, Placement};
use super::*;

const MIB: u64 = 1 << 20;

fn anonymous(len: u64) -> Mapping {
    Mapping { placement: Placement::Hint(0), len, prot: DATA, kind: Kind::Anonymous, file: None }
}

fn at(placement: Placement, len: u64) -> Mapping {
    Mapping { placement, ..anonymous(len) }
}

#[test]
fn memory_that_comes_back_is_zero() {
    let mut mm = Mm::for_tests(4 << 20);
    let first = mm.map(anonymous(10_000)).unwrap();
    mm.slice_mut(first, 10_000).unwrap().fill(0xaa);
    mm.unmap(first, 10_000).unwrap();
    assert_eq!(mm.slice(first, 1), Err(Errno::EFAULT));
    let again = mm.map(anonymous(3 * MIB)).unwrap();
    assert!(again <= first);
    assert!(mm.slice(again, 3 << 20).unwrap().iter().all(|&byte| byte == 0));
}

#[test]
fn the_region_is_the_limit_and_a_refusal_is_noted() {
    let mut mm = Mm::for_tests(4 << 20);
    mm.map(anonymous(3 * MIB)).unwrap();
    assert!(!mm.take_refused());
    assert_eq!(mm.map(anonymous(MIB + 1)), Err(Errno::ENOMEM));
    assert!(mm.take_refused() && !mm.take_refused());
    assert_eq!(mm.used(), 3 * MIB);
    assert_eq!(mm.map(anonymous(u64::MAX)), Err(Errno::ENOMEM));
    assert_eq!(mm.map(anonymous(0)), Err(Errno::EINVAL));
}

#[test]
fn fixed_mappings_replace_and_free_ones_refuse() {
    let mut mm = Mm::for_tests(4 << 20);
    let base = mm.base();
    mm.map(at(Placement::Free(base + PAGE), 4 * PAGE)).unwrap();
    mm.slice_mut(base + PAGE, 8).unwrap().fill(1);
    assert_eq!(mm.map(at(Placement::Free(base + 2 * PAGE), PAGE)), Err(Errno::EEXIST));
    assert_eq!(mm.map(at(Placement::Fixed(base + PAGE), PAGE)), Ok(base + PAGE));
    assert_eq!(mm.slice(base + PAGE, 8).unwrap(), [0; 8]);
    assert_eq!(mm.map(at(Placement::Fixed(base + 1), PAGE)), Err(Errno::EINVAL));
    assert_eq!(mm.map(at(Placement::Fixed(base - PAGE), PAGE)), Err(Errno::ENOMEM));
    assert_eq!(mm.map(at(Placement::Hint(base + 64 * PAGE + 5), PAGE)), Ok(base + 64 * PAGE));
}

#[test]
fn reservations_cost_a_table_at_most_and_are_zero_when_opened() {
    let mut mm = Mm::for_tests(4 << 20);
    let old = mm.map(anonymous(MIB)).unwrap();
    mm.slice_mut(old, 1 << 20).unwrap().fill(7);
    mm.unmap(old, MIB).unwrap();
    let at = mm.map(Mapping { prot: 0, ..anonymous(MIB) }).unwrap();
    assert_eq!((at, mm.used()), (old, PAGE));
    assert_eq!(mm.slice(at, 1), Err(Errno::EFAULT));
    mm.protect(at, PAGE, DATA).unwrap();
    assert_eq!(mm.used(), 2 * PAGE);
    assert_eq!(mm.read::<u64>(at), Ok(0));
    mm.write(at, &5u64).unwrap();
    mm.protect(at, PAGE, 0).unwrap();
    assert_eq!(mm.read::<u64>(at), Err(Errno::EFAULT));
    mm.protect(at, PAGE, READ).unwrap();
    assert_eq!(mm.read::<u64>(at), Ok(5));
    assert_eq!(mm.write(at, &5u64), Err(Errno::EFAULT));
    assert_eq!(mm.protect(mm.end() - PAGE, 2 * PAGE, READ), Err(Errno::ENOMEM));
}

#[test]
fn a_page_closed_after_use_is_zeroed_for_the_next_owner() {
    let mut mm = Mm::for_tests(4 << 20);
    let at = mm.map(anonymous(PAGE)).unwrap();
    mm.write(at, &5u64).unwrap();
    mm.protect(at, PAGE, 0).unwrap();
    mm.unmap(at, PAGE).unwrap();
    assert_eq!(mm.map(anonymous(PAGE)), Ok(at));
    assert_eq!(mm.read::<u64>(at), Ok(0));
}

#[test]
fn the_break_moves_and_leaves_zeros() {
    let mut mm = Mm::for_tests(4 << 20);
    let start = mm.base() + 2 * PAGE;
    mm.start_heap(start - 5).unwrap();
    assert_eq!(mm.brk(0), start);
    assert_eq!(mm.brk(start + 100), start + 100);
    mm.slice_mut(start, 100).unwrap().fill(3);
    assert_eq!(mm.brk(start + 50), start + 50);
    assert_eq!(mm.brk(start + 5000), start + 5000);
    assert_eq!(mm.slice(start + 49, 2).unwrap(), [3, 0]);
    assert_eq!(mm.brk(mm.end() + 1), start + 5000);
    mm.map(at(Placement::Free(start + 2 * PAGE), PAGE)).unwrap();
    assert_eq!(mm.brk(start + 2 * PAGE), start + 2 * PAGE);
    assert_eq!(mm.brk(start + 2 * PAGE + 1), start + 2 * PAGE);
    assert_eq!(mm.brk(start), start);
    assert_eq!(mm.used(), PAGE);
}

#[test]
fn remap_grows_in_place_moves_and_shrinks() {
    let mut mm = Mm::for_tests(4 << 20);
    let base = mm.base();
    mm.map(at(Placement::Free(base), PAGE)).unwrap();
    mm.slice_mut(base, 4096).unwrap().fill(9);
    assert_eq!(mm.remap(base, PAGE, 3 * PAGE, false, None), Ok(base));
    assert_eq!(mm.slice(base + PAGE - 1, 2).unwrap(), [9, 0]);
    mm.map(at(Placement::Free(base + 3 * PAGE), PAGE)).unwrap();
    assert_eq!(mm.remap(base, 3 * PAGE, 4 * PAGE, false, None), Err(Errno::ENOMEM));
    let moved = mm.remap(base, 3 * PAGE, 4 * PAGE, true, None).unwrap();
    assert_ne!(moved, base);
    assert_eq!(mm.slice(moved + PAGE - 1, 2).unwrap(), [9, 0]);
    assert_eq!(mm.slice(base, 1), Err(Errno::EFAULT));
    assert_eq!(mm.remap(moved, 4 * PAGE, PAGE, false, None), Ok(moved));
    assert_eq!(mm.remap(moved, PAGE, PAGE, true, Some(base)), Ok(base));
    assert_eq!(mm.slice(base, 2).unwrap(), [9, 9]);
    assert_eq!(mm.remap(base, 8 * PAGE, 9 * PAGE, true, None), Err(Errno::EFAULT));
    assert_eq!(mm.remap(base, PAGE, PAGE, true, Some(base)), Err(Errno::EINVAL));
}

#[test]
fn dont_need_zeroes_private_memory_only() {
    let mut mm = Mm::for_tests(4 << 20);
    let private = mm.map(anonymous(PAGE)).unwrap();
    let shared = mm.map(Mapping { kind: Kind::Shared, ..anonymous(PAGE) }).unwrap();
    for addr in [private, shared] {
        mm.write(addr, &1u64).unwrap();
        mm.drop_contents(addr, 1).unwrap();
    }
    assert_eq!((mm.read::<u64>(private), mm.read::<u64>(shared)), (Ok(0), Ok(1)));
    assert_eq!(mm.drop_contents(mm.base(), PAGE), Err(Errno::ENOMEM));
}

#[test]
fn pointers_are_checked_at_both_ends() {
    let mut mm = Mm::for_tests(4 << 20);
    let base = mm.base();
    mm.map(at(Placement::Free(base), PAGE)).unwrap();
    let end = base + PAGE;
    assert!(mm.slice(base, 4096).is_ok());
    for (addr, len) in [(base - 1, 2), (end - 1, 2), (end, 1), (u64::MAX, 2), (0, 1), (base, usize::MAX)] {
        assert_eq!(mm.slice(addr, len), Err(Errno::EFAULT), "{addr:#x} {len}");
    }
    assert_eq!(mm.slice(0, 0), Ok(&[][..]));
    assert_eq!(mm.read::<u32>(end - 3), Err(Errno::EFAULT));
}

#[test]
fn strings_end_at_their_nul_or_not_at_all() {
    let mut mm = Mm::for_tests(4 << 20);
    let base = mm.base();
    mm.map(at(Placement::Free(base), PAGE)).unwrap();
    mm.slice_mut(base, 4096).unwrap().fill(b'x');
    assert_eq!(mm.c_str(base, 100), Err(Errno::ENAMETOOLONG));
    assert_eq!(mm.c_str(base + PAGE - 5, 100), Err(Errno::EFAULT));
    mm.write(base + 3, &0u8).unwrap();
    assert_eq!(mm.c_str(base, 100), Ok(&b"xxx"[..]));
    assert_eq!(mm.c_str(u64::MAX - 5, 100), Err(Errno::EFAULT));
}

#[test]
fn kernel_pages_are_charged_and_out_of_the_programs_reach() {
    let mut mm = Mm::for_tests(4 << 20);
    let pages = mm.alloc_pages(4).unwrap();
    pages.fill(1);
    let addr = pages.as_ptr() as u64;
    assert_eq!(mm.used(), 4 * PAGE);
    assert_eq!(mm.slice(addr, 1), Err(Errno::EFAULT));
    assert_eq!(mm.unmap(addr, PAGE), Err(Errno::EINVAL));
    assert_eq!(mm.map(at(Placement::Fixed(addr), PAGE)), Err(Errno::ENOMEM));
    assert_eq!(mm.protect(addr, PAGE, DATA), Err(Errno::ENOMEM));
    assert_eq!(mm.remap(addr, PAGE, 2 * PAGE, true, None), Err(Errno::EFAULT));
    mm.free_pages(pages);
    assert_eq!(mm.used(), 0);
    assert!(mm.alloc_pages(4).unwrap().iter().all(|&byte| byte == 0));
    assert_eq!(mm.alloc_pages(0).map(|p| p.len()), Err(Errno::ENOMEM));
}

#[test]
fn the_number_of_areas_is_limited() {
    let mut mm = Mm::for_tests(2 * (AREAS_MAX + 8) * 4096);
    let base = mm.map(anonymous(2 * (AREAS_MAX as u64 + 4) * PAGE)).unwrap();
    let mut holes = 0;
    while mm.unmap(base + (2 * holes + 1) * PAGE, PAGE).is_ok() {
        holes += 1;
    }
    assert_eq!(holes, AREAS_MAX as u64 - 1);
    assert_eq!(mm.map(anonymous(PAGE)), Err(Errno::ENOMEM));
    assert_eq!(mm.protect(base, PAGE, READ), Err(Errno::ENOMEM));
    assert_eq!(mm.unmap(base, 2 * PAGE), Ok(()), "what splits nothing is fine");
    assert!(mm.map(anonymous(PAGE)).is_ok());
}

#[test]
fn the_areas_of_all_address_spaces_have_a_limit_together() {
    let mut parent = Mm::for_tests(16 << 20);
    let reserve = |mm: &mut Mm, pages: u64| {
        let placement = Placement::Sparse(0);
        mm.map(Mapping { placement, len: pages * PAGE, prot: 0, kind: Kind::Anonymous, file: None })
    };
    /// Unmaps every second page, and returns how many it could.
    fn punch(mm: &mut Mm, base: u64, most: u64) -> u64 {
        (0..most).take_while(|hole| mm.unmap(base + (2 * hole + 1) * PAGE, PAGE).is_ok()).count() as u64
    }
    let pages = 2 * AREAS_MAX as u64;
    let mut children: Vec<Mm> = (0..3).map(|_| parent.copy().unwrap()).collect();
    for child in &mut children[..2] {
        let base = reserve(child, pages + 8).unwrap();
        assert!(punch(child, base, pages) > AREAS_MAX as u64 - 64);
    }
    let left = reserve(&mut children[2], pages + 8).map_or(0, |base| punch(&mut children[2], base, pages));
    assert!(left < 64, "the others have taken all there may be, not {left}");
    assert_eq!(children[0].copy().err(), Some(Errno::ENOMEM));
    for child in children {
        child.release();
    }
    let base = reserve(&mut parent, pages + 8).unwrap();
    assert!(punch(&mut parent, base, pages) > AREAS_MAX as u64 - 64, "what is gone counts no more");
}
