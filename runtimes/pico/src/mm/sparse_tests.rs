//! The sparse area against a model of it: which pages there are, what they hold, what the processor is told.

use super::fault::PageFault;
use super::tables::fake::Fake;
use super::*;
use abi::layout::HUGE;
use alloc::collections::BTreeMap;
use linux_raw_sys::general as linux;
use proptest::prelude::*;

const BY_WRITE: u64 = 2;
const GIB: u64 = 1 << 30;
const RESERVED: u32 = 0;

fn world(len: usize) -> (Mm, Rc<Fake>) {
    let tables = Rc::new(Fake::default());
    (Mm::with_tables(len, tables.clone()), tables)
}

fn at(placement: Placement, len: u64, prot: u32) -> Mapping {
    Mapping { placement, len, prot, kind: Kind::Anonymous, file: None }
}

#[test]
fn a_reservation_costs_nothing_and_is_used_page_by_page() {
    let (mut mm, tables) = world(4 << 20);
    let cage = mm.map(at(Placement::Sparse(0), 1 << 40, RESERVED)).unwrap();
    let hinted = mm.map(at(Placement::Sparse(0xc0_0000_0000), 64 << 20, RESERVED)).unwrap();
    assert_eq!((hinted, mm.used()), (0xc0_0000_0000, 0));
    assert!(cage >= SPARSE_VA && cage + (1 << 40) <= SPARSE_END);
    assert_eq!(mm.page_fault(hinted, 0), PageFault::Refused(linux::SEGV_ACCERR));
    mm.protect(hinted, 64 << 20, DATA).unwrap();
    assert_eq!(mm.page_fault(hinted + GIB, 0), PageFault::Refused(linux::SEGV_MAPERR));
    assert_eq!(mm.page_fault(hinted + 5 * PAGE + 9, BY_WRITE), PageFault::Resolved);
    // Neighbours, a table, and the list of pages.
    assert_eq!((tables.entries.borrow().len(), mm.used()), (16, 18 * PAGE));
    assert_eq!(
        mm.residency(hinted + 14 * PAGE, hinted + 18 * PAGE).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    mm.drop_contents(hinted, 64 << 20).unwrap();
    assert_eq!((tables.entries.borrow().len(), mm.used(), tables.flushes.get()), (0, PAGE, 1));
    mm.unmap(cage, 1 << 40).unwrap();
    assert_eq!(tables.flushes.get(), 1, "nothing was there to forget");
}

#[test]
fn memory_that_runs_out_is_told_and_comes_back() {
    let (mut mm, tables) = world(2 << 20);
    let start = mm.map(at(Placement::Sparse(0), GIB, DATA)).unwrap();
    let touch = |mm: &mut Mm, page: u64| mm.page_fault(start + page * PAGE, BY_WRITE);
    let last = (0..1024).find(|&page| touch(&mut mm, page) == PageFault::OutOfMemory).unwrap();
    assert!((500..512).contains(&last), "{last}");
    assert_eq!(mm.populate(start, start + GIB), Err(Errno::ENOMEM));
    assert!(mm.is_exhausted(PAGE) && mm.map(at(Placement::Hint(0), PAGE, DATA)).is_err());
    assert!(mm.take_refused());
    mm.drop_contents(start, 256 * PAGE).unwrap();
    assert!(mm.free() >= 256 * PAGE);
    assert_eq!(touch(&mut mm, last), PageFault::Resolved);
    mm.unmap(start, GIB).unwrap();
    assert!(tables.entries.borrow().is_empty());
    mm.map(at(Placement::Hint(0), MIB, DATA)).unwrap();
}

const MIB: u64 = 1 << 20;

#[test]
fn who_goes_through_memory_takes_ever_fewer_faults() {
    let (mut mm, _) = world(8 << 20);
    let start = mm.map(at(Placement::Sparse(0), 1008 * PAGE, DATA)).unwrap();
    let resident =
        |mm: &Mm, page: u64| mm.residency(start + page * PAGE, start + (page + 1) * PAGE).all(|it| it);
    let mut faults = Vec::new();
    for page in 0..1008 {
        if !resident(&mm, page) {
            assert_eq!(mm.page_fault(start + page * PAGE, BY_WRITE), PageFault::Resolved);
            faults.push(page);
        }
    }
    assert_eq!(faults, [0, 16, 48, 112, 240, 496, 752]);
    // Here and there it is what it was at first.
    let other = mm.map(at(Placement::Sparse(0), 96 * PAGE, DATA)).unwrap();
    assert_eq!(mm.page_fault(other + 64 * PAGE, BY_WRITE), PageFault::Resolved);
    let backed: Vec<bool> = mm.residency(other, other + 96 * PAGE).collect();
    assert!(backed.iter().enumerate().all(|(page, &it)| it == (64..80).contains(&page)));
}

#[test]
fn pages_move_to_where_others_moved_away_from() {
    let (mut mm, tables) = world(4 << 20);
    let low = SPARSE_VA + HUGE - PAGE;
    // The page behind the boundary goes before it, and the next one to where it was.
    let start = mm.map(at(Placement::Fixed(SPARSE_VA + 2 * HUGE - PAGE), 2 * PAGE, DATA)).unwrap();
    mm.populate(start, start + 2 * PAGE).unwrap();
    let before: Vec<u64> = tables.entries.borrow().values().map(|entry| entry.0).collect();
    assert_eq!(mm.remap(start, 2 * PAGE, 2 * PAGE, true, Some(low)), Ok(low));
    let after: Vec<u64> = tables.entries.borrow().values().map(|entry| entry.0).collect();
    assert_eq!((before.len(), after), (2, before));
}

#[test]
fn the_only_page_of_its_2_mib_moves_inside_them() {
    let (mut mm, tables) = world(2 << 20);
    let start = mm.map(at(Placement::Fixed(SPARSE_VA), PAGE, DATA)).unwrap();
    mm.populate(start, start + PAGE).unwrap();
    assert_eq!(mm.remap(start, PAGE, PAGE, true, Some(start + 9 * PAGE)), Ok(start + 9 * PAGE));
    assert!(tables.entries.borrow().keys().eq(&[start + 9 * PAGE]));
    assert!(mm.residency(start + 9 * PAGE, start + 10 * PAGE).all(|resident| resident));
    mm.unmap(start, 10 * PAGE).unwrap();
    assert_eq!(mm.used(), PAGE, "a table");
}

#[test]
fn linear_memory_in_pieces_serves_a_large_mapping() {
    let (mut mm, _) = world(4 << 20);
    let pieces: Vec<u64> = (0..16).map(|_| mm.map(at(Placement::Hint(0), MIB / 4, DATA)).unwrap()).collect();
    assert!(mm.map(at(Placement::Hint(0), PAGE, DATA)).is_err());
    mm.take_refused();
    for piece in pieces.iter().step_by(2) {
        mm.unmap(*piece, MIB / 4).unwrap();
    }
    let large = mm.map(at(Placement::Hint(0), MIB, DATA)).unwrap();
    assert!(large >= SPARSE_VA && !mm.take_refused());
    assert!(mm.residency(large, large + MIB).all(|resident| resident));
    // What is promised is there: with the rest all memory is in use.
    assert!((0..).any(|_| mm.map(at(Placement::Hint(0), 16 * PAGE, DATA)).is_err()));
    assert!(mm.take_refused() && mm.free() < 16 * PAGE);
}

#[test]
fn ranges_across_the_edges_of_memory_are_refused() {
    let (mut mm, _) = world(2 << 20);
    for start in [SPARSE_VA - PAGE, SPARSE_END - PAGE, SPARSE_END, mm.end()] {
        assert_eq!(mm.map(at(Placement::Fixed(start), 2 * PAGE, DATA)), Err(Errno::ENOMEM), "{start:#x}");
        let hinted = mm.map(at(Placement::Hint(start), 2 * PAGE, DATA)).unwrap();
        assert!(hinted < mm.end());
    }
    assert_eq!(mm.map(at(Placement::Sparse(0), SPARSE_END, RESERVED)), Err(Errno::ENOMEM));
}

/// Pages the operations of the property test deal in: two regions, so that tables come and go.
const PAGES: u64 = 24;

fn address(page: u64) -> u64 {
    SPARSE_VA + 3 * HUGE + page % PAGES * PAGE + if page >= PAGES { 2 * GIB - 8 * PAGE } else { 0 }
}

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, u32),
    Unmap(u64, u64),
    Protect(u64, u64, u32),
    Drop(u64, u64),
    Touch(u64),
    Move(u64, u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let page = || 0..2 * PAGES;
    let prot = || prop_oneof![Just(0), Just(READ), Just(DATA), Just(CODE)];
    let step = prop_oneof![
        (page(), 1..9u64, prot()).prop_map(|(at, len, prot)| Step::Map(at, len, prot)),
        (page(), 1..9u64).prop_map(|(at, len)| Step::Unmap(at, len)),
        (page(), 1..9u64, prot()).prop_map(|(at, len, prot)| Step::Protect(at, len, prot)),
        (page(), 1..9u64).prop_map(|(at, len)| Step::Drop(at, len)),
        page().prop_map(Step::Touch),
        page().prop_map(Step::Touch),
        (page(), 1..5u64, page()).prop_map(|(from, len, to)| Step::Move(from, len, to)),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Protection of each mapped page, and what was written to it.
type Model = BTreeMap<u64, (u32, u64)>;

fn pages(start: u64, len: u64) -> impl Iterator<Item = u64> {
    (start..start + len * PAGE).step_by(PAGE_BYTES)
}

fn apply(mm: &mut Mm, model: &mut Model, step: &Step, stamp: u64) {
    match *step {
        Step::Map(page, len, prot) => {
            let start = address(page);
            assert_eq!(mm.map(at(Placement::Fixed(start), len * PAGE, prot)), Ok(start));
            model.extend(pages(start, len).map(|va| (va, (prot, 0))));
        }
        Step::Unmap(page, len) => {
            mm.unmap(address(page), len * PAGE).unwrap();
            pages(address(page), len).for_each(|va| {
                model.remove(&va);
            });
        }
        Step::Protect(page, len, prot) => {
            let whole = pages(address(page), len).all(|va| model.contains_key(&va));
            assert_eq!(mm.protect(address(page), len * PAGE, prot).is_ok(), whole);
            // What comes before a hole is protected.
            for va in pages(address(page), len) {
                let Some(page) = model.get_mut(&va) else { break };
                page.0 = prot;
            }
        }
        Step::Drop(page, len) => {
            let whole = pages(address(page), len).all(|va| model.contains_key(&va));
            assert_eq!(mm.drop_contents(address(page), len * PAGE).is_ok(), whole);
            for va in pages(address(page), len).filter(|_| whole) {
                model.entry(va).and_modify(|page| page.1 = 0);
            }
        }
        Step::Touch(page) => {
            let va = address(page);
            let prot = model.get(&va).map_or(0, |page| page.0);
            let resolved = mm.page_fault(va + 1, BY_WRITE) == PageFault::Resolved;
            assert_eq!(resolved, prot & WRITE != 0);
            if resolved {
                let page = mm.sparse.borrow().page(mm, va).unwrap();
                mm.raw(page, 8).copy_from_slice(&stamp.to_le_bytes());
                model.insert(va, (prot, stamp));
            }
        }
        Step::Move(from, len, to) => {
            let (from, to) = (address(from), address(to));
            let area = mm.area_at(from).filter(|area| area.end >= from + len * PAGE);
            let apart = from + len * PAGE <= to || to + len * PAGE <= from;
            let moved = mm.remap(from, len * PAGE, len * PAGE, true, Some(to));
            assert_eq!(moved.is_ok(), area.is_some() && apart);
            if moved.is_ok() {
                let old: Vec<_> = pages(from, len).filter_map(|va| Some((va, model.remove(&va)?))).collect();
                model.extend(old.into_iter().map(|(va, page)| (va - from + to, page)));
            }
        }
    }
}

fn compare(mm: &Mm, tables: &Fake, model: &Model) {
    let mapped: Vec<u64> = mm
        .areas()
        .filter(|area| is_sparse(area.start))
        .flat_map(|a| pages(a.start, (a.end - a.start) / PAGE))
        .collect();
    assert!(mapped.iter().eq(model.keys()));
    let mut seen = alloc::collections::BTreeSet::new();
    for (&va, &(prot, stamp)) in model {
        assert_eq!(mm.area_at(va).unwrap().prot, prot);
        let page = mm.sparse.borrow().page(mm, va);
        let holds = page.map_or(0, |page| u64::from_le_bytes(mm.raw(page, 8).try_into().unwrap()));
        assert_eq!(holds, stamp, "{va:#x}");
        let told = page.filter(|_| prot != 0).map(|page| (page, prot));
        assert_eq!(tables.entries.borrow().get(&va).copied(), told, "{va:#x}");
        assert!(page.is_none_or(|page| seen.insert(page)), "one page behind two addresses");
    }
    assert!(tables.entries.borrow().keys().all(|va| model.contains_key(va)));
}

proptest! {
    #[test]
    fn the_area_is_what_the_model_says(steps in steps()) {
        let (mut mm, tables) = world(2 << 20);
        let mut model = Model::new();
        for (stamp, step) in (1..).zip(&steps) {
            apply(&mut mm, &mut model, step, stamp);
            compare(&mm, &tables, &model);
        }
        mm.unmap(SPARSE_VA, SPARSE_END - SPARSE_VA).unwrap();
        assert!(tables.entries.borrow().is_empty());
        // Only tables stay: two regions, the second of which may be two pieces of 2 MiB.
        assert!(mm.used() <= 3 * PAGE, "{}", mm.used());
    }
}
