//! Images in linear memory, with tables that only remember: what shows what, and when it becomes memory.

#![expect(clippy::single_range_in_vec_init, reason = "what is told are lists of ranges")]

use super::fault::PageFault;
use super::tables::fake::Fake;
use super::*;
use abi::layout::HUGE;
use alloc::vec;

const BY_WRITE: u64 = 2;

fn world() -> (Mm, Rc<Fake>) {
    let tables = Rc::new(Fake::default());
    (Mm::with_tables(16 << 20, tables.clone()), tables)
}

/// `len` bytes of a file that begins at a large page of an image, no two pages the same.
fn image(len: u64) -> &'static [u8] {
    let len = usize::try_from(len).unwrap();
    let large = usize::try_from(HUGE).unwrap();
    let bytes: &'static mut [u8] = vec![0; len + large].leak();
    let start = bytes.as_ptr().addr().next_multiple_of(large) - bytes.as_ptr().addr();
    let bytes = &mut bytes[start..start + len];
    for (index, page) in bytes.chunks_mut(PAGE_BYTES).enumerate() {
        page.fill(u8::try_from(index % 251).unwrap() + 1);
    }
    bytes
}

fn file(placement: Placement, len: u64, prot: u32) -> Mapping {
    Mapping { placement, len, prot, kind: Kind::File, file: Some((Rc::from("/lib/large.so"), 0)) }
}

fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().addr() as u64
}

fn pieces(tables: &Fake) -> Vec<(u64, u64)> {
    tables.shown.borrow().iter().map(|(&va, &image)| (va, image)).collect()
}

/// Whether linear memory holds what `image` has there.
fn holds(mm: &Mm, at: u64, image: &[u8]) -> bool {
    mm.raw(at, image.len() as u64) == image
}

fn byte(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

#[test]
fn a_large_file_is_seen_where_addresses_agree() {
    let (mut mm, tables) = world();
    let image = image(5 << 20);
    mm.map(Mapping { kind: Kind::Anonymous, file: None, ..file(Placement::Hint(0), 5 * PAGE, DATA) })
        .unwrap();
    let start = mm.map_image(file(Placement::Hint(0), 5 << 20, READ), image).unwrap();
    assert!(start.is_multiple_of(HUGE));
    assert_eq!(pieces(&tables), [(start, address(image)), (start + HUGE, address(image) + HUGE)]);
    assert_eq!(mm.not_shown(start, start + (5 << 20)), [start + 2 * HUGE..start + (5 << 20)]);
    assert_eq!(tables.flushes.get(), 1);
    // A part of a file, too: the first whole piece is in the middle.
    let part = mm.map_image(file(Placement::Hint(0), 4 << 20, CODE), &image[0x5000..]).unwrap();
    assert_eq!(part % HUGE, 0x5000);
    assert_eq!(pieces(&tables).len(), 3);
    assert!(pieces(&tables).contains(&(part - 0x5000 + HUGE, address(image) + HUGE)));
}

#[test]
fn segments_of_the_same_file_keep_what_is_seen_and_others_get_memory() {
    let (mut mm, tables) = world();
    let image = image(6 << 20);
    let start = mm.map_image(file(Placement::Hint(0), 6 << 20, READ), image).unwrap();
    let text = &image[0x3000..0x30_0000];
    mm.map_image(file(Placement::Fixed(start + 0x3000), text.len() as u64, CODE), text).unwrap();
    assert_eq!((pieces(&tables).len(), tables.flushes.get()), (3, 1));
    let data = start + 2 * HUGE + 0x8000;
    mm.map(file(Placement::Fixed(data), 0x4000, DATA)).unwrap();
    assert_eq!(pieces(&tables).len(), 2);
    let (before, behind) = (&image[byte(2 * HUGE)..][..0x8000], &image[byte(2 * HUGE) + 0xc000..]);
    assert!(holds(&mm, start + 2 * HUGE, before) && holds(&mm, data + 0x4000, behind));
    assert!(mm.raw(data, 0x4000).iter().all(|&byte| byte == 0));
    // The same file, but not the same part of it.
    mm.map_image(file(Placement::Fixed(start + PAGE), PAGE, READ), &image[..PAGE_BYTES]).unwrap();
    assert_eq!(pieces(&tables), [(start + HUGE, address(image) + HUGE)]);
    assert!(holds(&mm, start + 2 * PAGE, &image[2 * PAGE_BYTES..byte(HUGE)]));
}

#[test]
fn what_loses_something_as_it_becomes_memory_is_split_once() {
    for prot in [0, DATA] {
        let (mut mm, tables) = world();
        let image = image(6 << 20);
        let start = mm.map_image(file(Placement::Hint(0), 6 << 20, CODE), image).unwrap();
        mm.protect(start + PAGE, PAGE, prot).unwrap();
        assert_eq!(pieces(&tables).len(), 2);
        assert!(tables.splits.borrow().contains_key(&(start / HUGE)));
        let allowed = |va| tables.allowed.borrow().get(&va).copied();
        assert_eq!((allowed(start), allowed(start + PAGE)), (Some(CODE), Some(prot)));
        assert!(holds(&mm, start, &image[..byte(HUGE)]));
    }
}

#[test]
fn a_guard_over_what_is_seen_is_enforced() {
    let (mut mm, tables) = world();
    let image = image(4 << 20);
    let start = mm.map_image(file(Placement::Hint(0), 4 << 20, CODE), image).unwrap();
    let guard =
        |at| Mapping { prot: 0, kind: Kind::Anonymous, file: None, ..file(Placement::Fixed(at), PAGE, 0) };
    mm.map(guard(start + 5 * PAGE)).unwrap();
    assert_eq!(pieces(&tables), [(start + HUGE, address(image) + HUGE)]);
    let allowed = |page: u64| tables.allowed.borrow().get(&(start + page * PAGE)).copied();
    assert_eq!([4, 5, 6].map(allowed), [Some(CODE), Some(0), Some(CODE)]);
    assert!(
        holds(&mm, start, &image[..5 * PAGE_BYTES])
            && holds(&mm, start + 6 * PAGE, &image[6 * PAGE_BYTES..byte(HUGE)])
    );
}

#[test]
fn without_memory_for_a_table_a_guard_is_refused_and_nothing_is_lost() {
    let (mut mm, tables) = world();
    let image = image(4 << 20);
    let start = mm.map_image(file(Placement::Hint(0), 4 << 20, CODE), image).unwrap();
    let page = Mapping { kind: Kind::Anonymous, file: None, ..file(Placement::Hint(0), PAGE, DATA) };
    while mm.free() > 0 {
        mm.map(page.clone()).unwrap();
    }
    let guard = Mapping { placement: Placement::Fixed(start), prot: 0, ..page };
    assert_eq!(mm.map(guard), Err(Errno::ENOMEM));
    assert!(tables.splits.borrow().is_empty());
    assert!(holds(&mm, start + PAGE, &image[PAGE_BYTES..byte(HUGE)]));
}

#[test]
fn what_lies_around_a_guard_is_kept_when_both_are_protected() {
    let (mut mm, _) = world();
    let image = image(HUGE);
    let start = mm.map_image(file(Placement::Hint(0), HUGE, READ), image).unwrap();
    let guard =
        Mapping { kind: Kind::Anonymous, file: None, ..file(Placement::Fixed(start + 8 * PAGE), PAGE, 0) };
    mm.map(guard).unwrap();
    mm.protect(start, HUGE, READ).unwrap();
    let (before, behind) = (&image[..8 * PAGE_BYTES], &image[9 * PAGE_BYTES..]);
    assert!(holds(&mm, start, before) && holds(&mm, start + 9 * PAGE, behind));
    assert!(mm.raw(start + 8 * PAGE, PAGE).iter().all(|&byte| byte == 0));
}

#[test]
fn what_is_to_be_changed_becomes_memory() {
    let (mut mm, tables) = world();
    let image = image(6 << 20);
    let start = mm.map_image(file(Placement::Hint(0), 6 << 20, CODE), image).unwrap();
    mm.protect(start + PAGE, PAGE, READ).unwrap();
    assert_eq!(pieces(&tables).len(), 3);
    mm.protect(start + PAGE, PAGE, DATA).unwrap();
    assert_eq!(pieces(&tables).len(), 2);
    assert!(holds(&mm, start, &image[..byte(HUGE)]));
    mm.patch(start + 2 * HUGE - 1, b"xy").unwrap();
    assert!(pieces(&tables).is_empty());
    assert_eq!(mm.peek(start + 2 * HUGE - 2, 2).unwrap(), [image[byte(2 * HUGE) - 2], b'x']);
    assert_eq!(mm.peek(start + 2 * HUGE, 2).unwrap(), [b'y', image[byte(2 * HUGE)]]);
    assert_eq!(
        mm.page_fault(start + HUGE, BY_WRITE),
        PageFault::Refused(linux_raw_sys::general::SEGV_ACCERR)
    );
}

#[test]
fn memory_behind_what_was_seen_is_zero_when_it_is_used() {
    let (mut mm, tables) = world();
    let anonymous =
        |placement| Mapping { kind: Kind::Anonymous, file: None, ..file(placement, 4 << 20, DATA) };
    let start = mm.map(anonymous(Placement::Hint(0))).unwrap();
    mm.raw(start, 4 << 20).fill(7);
    mm.unmap(start, 4 << 20).unwrap();
    let image = image(4 << 20);
    assert_eq!(mm.map_image(file(Placement::Fixed(start), 4 << 20, READ), image), Ok(start));
    mm.unmap(start, HUGE + PAGE).unwrap();
    assert_eq!(pieces(&tables), [(start + HUGE, address(image) + HUGE)]);
    mm.unmap(start, 4 << 20).unwrap();
    assert!(pieces(&tables).is_empty());
    assert_eq!(mm.map(anonymous(Placement::Fixed(start))), Ok(start));
    assert!(mm.raw(start, 4 << 20).iter().all(|&byte| byte == 0));
    // A reservation that takes its place, and is opened.
    mm.map_image(file(Placement::Fixed(start), 4 << 20, READ), image).unwrap();
    mm.map(Mapping { prot: 0, len: HUGE / 2, ..anonymous(Placement::Fixed(start)) }).unwrap();
    mm.protect(start, HUGE / 2, DATA).unwrap();
    assert!(mm.raw(start, HUGE / 2).iter().all(|&byte| byte == 0));
    assert!(holds(&mm, start + HUGE / 2, &image[byte(HUGE / 2)..byte(HUGE)]));
}

#[test]
fn what_moves_is_copied() {
    let (mut mm, tables) = world();
    let image = image(2 << 20);
    let start = mm.map_image(file(Placement::Hint(0), HUGE, READ), image).unwrap();
    // The tables of tests show nothing: what would be seen there.
    mm.raw(start, HUGE).copy_from_slice(image);
    let to = mm.remap(start, HUGE, 2 * HUGE, true, None).unwrap();
    assert!(to != start && holds(&mm, to, image) && pieces(&tables).is_empty());
}

#[test]
fn nothing_is_shown_where_it_cannot_be() {
    let (mut mm, tables) = world();
    let image = image(6 << 20);
    // Addresses that do not agree, the sparse area, files that are too small or whose last part is.
    let base = mm.base();
    mm.map_image(file(Placement::Fixed(base + PAGE), 5 << 20, READ), image).unwrap();
    mm.map_image(file(Placement::Fixed(0xc0_0000_0000), 6 << 20, READ), image).unwrap();
    mm.map_image(file(Placement::Hint(0), HUGE - PAGE, READ), &image[..byte(HUGE - PAGE)]).unwrap();
    mm.map_image(file(Placement::Hint(0), HUGE, READ), &image[..byte(HUGE) - 1]).unwrap();
    assert!(pieces(&tables).is_empty());
    assert_eq!(mm.not_shown(0xc0_0000_0000, 0xc0_0060_0000), [0xc0_0000_0000..0xc0_0060_0000]);
    // Over what is mapped, and outside of memory.
    mm.show_ahead(base, image);
    mm.show_ahead(base - HUGE, image);
    mm.show_ahead(mm.end() - HUGE, image);
    assert!(pieces(&tables).is_empty());
    mm.unmap(base, 6 << 20).unwrap();
    mm.show_ahead(base, image);
    assert_eq!(pieces(&tables).len(), 3);
}

#[test]
fn a_fork_leaves_the_tables_alone() {
    let (mut mm, tables) = world();
    let image = image(4 << 20);
    let start = mm.map_image(file(Placement::Hint(0), 4 << 20, READ), image).unwrap();
    mm.settle();
    mm.map_image(file(Placement::Hint(0), 4 << 20, READ), image).unwrap();
    mm.unmap(start, 4 << 20).unwrap();
    assert_eq!((pieces(&tables).len(), tables.flushes.get()), (2, 1));
    // Unless there is no other way.
    mm.map(file(Placement::Fixed(start), 4 << 20, DATA)).unwrap();
    assert!(pieces(&tables).is_empty());
    assert!(mm.raw(start, 4 << 20).iter().all(|&byte| byte == 0));
}

#[test]
fn address_spaces_share_the_image_page_by_page_and_copy_what_they_write() {
    let (mut mm, tables) = world();
    let image = image(5 << 20);
    let start = mm.map_image(file(Placement::Hint(0), 4 << 20, READ), image).unwrap();
    let child = mm.copy().unwrap();
    assert!(pieces(&tables).is_empty(), "linear memory is a supply of pages");
    let used = mm.used();
    assert!(used < 1 << 20, "{used:#x}: what is seen is no memory of the program's");
    let newest = tables.others.borrow().last().unwrap().clone();
    let page = start + 5 * PAGE;
    assert_eq!(newest.entries.borrow()[&page], (address(image) + 5 * PAGE, READ));
    assert_eq!(child.peek(page + 1, PAGE).unwrap(), image[5 * PAGE_BYTES + 1..][..PAGE_BYTES]);
    child.patch(page + 1, b"changed").unwrap();
    assert_eq!(child.peek(page, 9).unwrap(), [&[6][..], b"changed", &[6]].concat());
    assert_eq!(mm.peek(page, 9).unwrap(), [6; 9]);
    assert_eq!(mm.used(), used + PAGE);
    child.release();
    let mut other = mm.empty().unwrap();
    assert!(mm.used() < used);
    let at = other.map_image(file(Placement::Hint(0), 4 << 20, READ), &image[..0x2345]).unwrap();
    assert_eq!(other.not_shown(at, at + (4 << 20)), [at + 0x2000..at + (4 << 20)]);
    other.protect(at, PAGE, DATA).unwrap();
    assert_eq!(other.page_fault(at, BY_WRITE), PageFault::Resolved);
    assert_eq!(other.peek(at, 4).unwrap(), image[..4]);
    assert_eq!(other.not_shown(at, at + 2 * PAGE), [at..at + PAGE]);
    // What may be written to may be read, which needs no copy.
    other.protect(at + PAGE, PAGE, WRITE).unwrap();
    let newest = tables.others.borrow().last().unwrap().clone();
    assert_eq!(newest.entries.borrow()[&(at + PAGE)], (address(image) + PAGE, READ));
    assert_eq!(other.page_fault(at + PAGE, BY_WRITE), PageFault::Resolved);
    assert_eq!(newest.entries.borrow()[&(at + PAGE)].1, WRITE);
    other.unmap(at, 4 << 20).unwrap();
    other.release();
}

#[test]
fn without_memory_for_another_address_space_all_stays_as_it_was() {
    let (mut mm, tables) = world();
    let image = image(8 << 20);
    let start = mm.map_image(file(Placement::Hint(0), 8 << 20, READ), image).unwrap();
    let before = pieces(&tables);
    let free = mm.free();
    let rest = Mapping { kind: Kind::Anonymous, file: None, ..file(Placement::Hint(0), free, DATA) };
    let all = mm.map(rest).unwrap();
    assert_eq!(mm.copy().err(), Some(Errno::ENOMEM));
    assert_eq!(pieces(&tables), before);
    mm.unmap(all, free).unwrap();
    assert!(mm.copy().is_ok());
    assert_eq!(mm.peek(start + 7 * PAGE, 1).unwrap(), [8]);
}
