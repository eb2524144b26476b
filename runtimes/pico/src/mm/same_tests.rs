//! A file over a part of itself.

use super::areas::{EXEC, Kind, READ};
use super::tables::fake::Fake;
use super::{Advice, DATA, Mapping, Mm, Placement};
use abi::layout::PAGE;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

const PATH: &str = "/lib/libx.so";
const LEN: u64 = 4 * PAGE;

/// Part of the file, from page `page` on, at `at`.
fn part(at: u64, page: u64, len: u64, prot: u32) -> Mapping {
    let file = Some((Rc::from(PATH), page * PAGE));
    Mapping { placement: Placement::Fixed(at), len, prot, kind: Kind::File, file }
}

/// Memory in which all of a file of less than four pages is mapped to be read, with its contents.
fn world() -> (Mm, Rc<Fake>, u64, Vec<u8>) {
    let tables = Rc::new(Fake::default());
    let mut mm = Mm::with_tables(8 << 20, tables.clone());
    let contents: Vec<u8> = (0..LEN - 100).map(|at| (at / 7).to_le_bytes()[0]).collect();
    let start = mm.map(Mapping { placement: Placement::Hint(0), ..part(0, 0, LEN, DATA) }).unwrap();
    mm.raw(start, contents.len() as u64).copy_from_slice(&contents);
    mm.protect_filled(start, LEN, READ).unwrap();
    (mm, tables, start, contents)
}

#[test]
fn the_same_part_only_changes_its_protection() {
    let (mut mm, tables, start, contents) = world();
    let (text, end) = (&contents[4096..8192], &contents[8192..]);
    let flushes = tables.flushes.get();
    let at = start + PAGE;
    assert_eq!(mm.map_same(&part(at, 1, PAGE, READ | EXEC), text), Ok(Some(at)));
    assert_eq!(tables.flushes.get(), flushes + 1);
    assert_eq!(tables.allowed.borrow().get(&at), Some(&(READ | EXEC)));
    let area = mm.area_at(at).unwrap();
    assert_eq!((area.start, area.end, area.prot), (at, at + PAGE, READ | EXEC));
    assert_eq!(area.file.unwrap().1, PAGE);
    // To its end, behind which there are zeros.
    let at = start + 2 * PAGE;
    assert_eq!(mm.map_same(&part(at, 2, 2 * PAGE - 100, READ), end), Ok(Some(at)));
    assert_eq!(tables.flushes.get(), flushes + 1);
}

#[test]
fn anything_else_is_mapped_anew() {
    let (mut mm, tables, start, contents) = world();
    let text = &contents[4096..8192];
    let at = start + PAGE;
    let other = Mapping { file: Some((Rc::from("/lib/liby.so"), PAGE)), ..part(at, 1, PAGE, READ) };
    let shared = Mapping { kind: Kind::SharedFile, ..part(at, 1, PAGE, READ) };
    let anywhere = Mapping { placement: Placement::Hint(at), ..part(at, 1, PAGE, READ) };
    for mapping in [
        part(at, 2, PAGE, READ),
        part(at, 1, PAGE, DATA),
        part(at, 1, LEN, READ),
        part(at, 1, u64::MAX, READ),
        other,
        shared,
        anywhere,
    ] {
        assert_eq!(mm.map_same(&mapping, text), Ok(None), "{mapping:?}");
    }
    assert_eq!(mm.map_same(&part(at, 1, PAGE, READ), &[]), Ok(None));
    assert_eq!(mm.map_same(&part(at, 1, PAGE, READ), &contents[4096..8193]), Ok(None));
    // Written to in between.
    tables.allowed.borrow_mut().clear();
    mm.protect(at, PAGE, DATA).unwrap();
    mm.raw(at, 1)[0] ^= 1;
    mm.protect(at, PAGE, READ).unwrap();
    assert_eq!(mm.map_same(&part(at, 1, PAGE, READ), text), Ok(None));
    // Not to be read, so it cannot be compared.
    mm.protect(at, PAGE, 0).unwrap();
    assert_eq!(mm.map_same(&part(at, 1, PAGE, READ), text), Ok(None));
    let behind = vec![0; 4096];
    assert_eq!(mm.map_same(&part(start + LEN, 4, PAGE, READ), &behind), Ok(None));
}

#[test]
fn the_same_part_is_a_new_mapping_without_advice() {
    let (mut mm, _, start, contents) = world();
    mm.advise(start, LEN, Advice::Absent, true).unwrap();
    let at = start + PAGE;
    assert_eq!(mm.map_same(&part(at, 1, PAGE, READ), &contents[4096..8192]), Ok(Some(at)));
    let child = mm.copy().unwrap();
    let is_mapped = |page| child.area_at(start + page * PAGE).is_some();
    assert_eq!([is_mapped(0), is_mapped(1), is_mapped(2)], [false, true, false]);
    child.release();
}
