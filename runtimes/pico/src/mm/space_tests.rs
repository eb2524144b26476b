//! Several address spaces against a model of them: what each holds, who sees whose writes, that all comes back.

use super::fault::PageFault;
use super::tables::fake::Fake;
use super::*;
use alloc::collections::BTreeMap;
use alloc::vec;
use proptest::prelude::*;

const BY_WRITE: u64 = 2;
const MIB: u64 = 1 << 20;

fn world(len: usize) -> (Mm, Rc<Fake>) {
    let tables = Rc::new(Fake::default());
    (Mm::with_tables(len, tables.clone()), tables)
}

fn mapping(placement: Placement, len: u64, prot: u32, kind: Kind) -> Mapping {
    Mapping { placement, len, prot, kind, file: None }
}

fn anywhere(mm: &mut Mm, len: u64) -> u64 {
    mm.map(mapping(Placement::Hint(0), len, DATA, Kind::Anonymous)).unwrap()
}

/// The page behind `va`: one entry of the tables.
fn page(mm: &Mm, va: u64) -> Option<u64> {
    mm.sparse.borrow().page(mm, va / PAGE * PAGE)
}

/// As pico writes for a system call: the test cannot follow page tables, so it looks behind them.
fn poke(mm: &Mm, va: u64, value: u64) -> Result<()> {
    mm.slice_mut(va, 8).map(drop)?;
    mm.raw(page(mm, va).unwrap() + va % PAGE, 8).copy_from_slice(&value.to_le_bytes());
    Ok(())
}

fn look(mm: &Mm, va: u64) -> Result<u64> {
    mm.slice(va, 8).map(drop)?;
    Ok(u64::from_le_bytes(mm.raw(page(mm, va).unwrap() + va % PAGE, 8).try_into().unwrap()))
}

/// As the program writes: what the tables allow, else a page fault.
fn write_as_program(mm: &mut Mm, tables: &Fake, va: u64, value: u64) -> PageFault {
    let at = va / PAGE * PAGE;
    let is_writable =
        |tables: &Fake| tables.entries.borrow().get(&at).is_some_and(|entry| entry.1 & WRITE != 0);
    if !is_writable(tables) {
        let fault = mm.page_fault(va, BY_WRITE);
        if fault != PageFault::Resolved {
            return fault;
        }
    }
    assert!(is_writable(tables));
    let page = tables.entries.borrow()[&at].0;
    mm.raw(page + va % PAGE, 8).copy_from_slice(&value.to_le_bytes());
    PageFault::Resolved
}

/// The tables of `space`, which came from `tables`.
fn tables_of(space: &Mm, tables: &Fake) -> Rc<Fake> {
    let own = Rc::as_ptr(space.sparse.borrow().tables()).cast::<()>();
    let others = tables.others.borrow();
    others.iter().find(|other| core::ptr::addr_eq(Rc::as_ptr(other), own)).unwrap().clone()
}

/// Bytes in use but for page tables: a new space may have those of an old one, with more of them than it needs.
fn used(space: &Mm) -> u64 {
    space.used() - space.sparse.borrow().tables().pages().len() as u64 * PAGE
}

#[test]
fn the_first_copy_keeps_everything_where_it_is() {
    let (mut mm, tables) = world(4 << 20);
    let (linear, sparse) = (anywhere(&mut mm, 3 * PAGE), 0xc0_0000_0000);
    mm.map(mapping(Placement::Fixed(sparse), 2 * PAGE, DATA, Kind::Anonymous)).unwrap();
    mm.write(linear, &1u64).unwrap();
    assert_eq!(mm.page_fault(sparse, BY_WRITE), PageFault::Resolved);
    mm.raw(page(&mm, sparse).unwrap(), 8).copy_from_slice(&2u64.to_le_bytes());
    let closed = mm.map(mapping(Placement::Hint(0), PAGE, 0, Kind::Anonymous)).unwrap();
    let child = mm.copy().unwrap();
    for space in [&mm, &child] {
        assert_eq!((look(space, linear), look(space, sparse)), (Ok(1), Ok(2)));
        assert_eq!(look(space, closed), Err(Errno::EFAULT));
        assert!(space.areas().eq(mm.areas()));
    }
    assert_ne!(mm.space(), child.space());
    assert_eq!(page(&child, linear), page(&mm, linear));
    assert!(tables_of(&child, &tables).entries.borrow()[&linear].1 & WRITE == 0);
    poke(&mm, linear, 3).unwrap();
    poke(&child, sparse, 4).unwrap();
    assert_eq!((look(&mm, linear), look(&mm, sparse)), (Ok(3), Ok(2)));
    assert_eq!((look(&child, linear), look(&child, sparse)), (Ok(1), Ok(4)));
    assert_eq!(mm.protect(closed, PAGE, DATA), Ok(()));
    assert_eq!((look(&mm, closed), look(&child, closed)), (Ok(0), Err(Errno::EFAULT)));
}

#[test]
fn a_released_space_leaves_nothing_behind() {
    let (mut mm, _) = world(8 << 20);
    let at = anywhere(&mut mm, MIB);
    mm.empty().unwrap().release();
    let before = mm.used();
    for _ in 0..3 {
        let mut child = mm.copy().unwrap();
        let grandchild = child.copy().unwrap();
        (0..20).for_each(|index| poke(&child, at + index * PAGE, index).unwrap());
        anywhere(&mut child, MIB);
        assert!(mm.used() > before + 20 * PAGE);
        child.release();
        assert_eq!(look(&grandchild, at + 5 * PAGE), Ok(0));
        grandchild.release();
        assert_eq!(mm.used(), before);
    }
    // Nobody else is left: the pages need no copy.
    (0..256).for_each(|index| poke(&mm, at + index * PAGE, 1).unwrap());
    assert_eq!(mm.used(), before);
}

#[test]
fn what_is_written_after_a_copy_is_copied_ahead_the_next_time() {
    let (mut mm, tables) = world(4 << 20);
    let at = anywhere(&mut mm, 64 * PAGE);
    let (first, last) = (at, at + 63 * PAGE);
    mm.write(last, &1u64).unwrap();
    let child = mm.copy().unwrap();
    let own = tables_of(&mm, &tables);
    for va in [first, last] {
        assert_eq!(page(&child, va), page(&mm, va));
        assert_eq!(write_as_program(&mut mm, &own, va, 2), PageFault::Resolved);
    }
    child.release();
    let before = mm.used();
    let mut child = mm.copy().unwrap();
    for va in [first, last] {
        assert_ne!(page(&child, va), page(&mm, va), "each has its own");
        assert!(own.entries.borrow()[&va].1 & WRITE != 0, "the parent writes without a fault");
        assert_eq!((look(&mm, va), look(&child, va)), (Ok(2), Ok(2)));
    }
    let theirs = tables_of(&child, &tables);
    assert_eq!(write_as_program(&mut child, &theirs, last, 3), PageFault::Resolved);
    assert_eq!((look(&mm, last), look(&child, last)), (Ok(2), Ok(3)));
    let middle = at + 32 * PAGE;
    assert_eq!(page(&child, middle), page(&mm, middle), "nobody wrote there");
    child.release();
    assert_eq!(mm.used(), before);
    // Not for more than some at a time, and not while there is little memory.
    let children: Vec<Mm> = (0..10).map(|_| mm.copy().unwrap()).collect();
    let shared = |child: &Mm| page(child, last) == page(&mm, last);
    assert!(!shared(&children[0]) && shared(&children[9]));
    children.into_iter().for_each(Mm::release);
    while mm.free() > 500 << 10 {
        mm.alloc_pages(8).unwrap();
    }
    let child = mm.copy().unwrap();
    assert_eq!(page(&child, last), page(&mm, last));
}

#[test]
fn tables_of_spaces_that_are_gone_are_used_again_or_given_back() {
    let (mut mm, tables) = world(4 << 20);
    let at = anywhere(&mut mm, 4 * PAGE);
    mm.copy().unwrap().release();
    let made = tables.others.borrow().len();
    let child = mm.copy().unwrap();
    assert_eq!(tables.others.borrow().len(), made, "the child has its predecessor's");
    assert!(tables_of(&child, &tables).entries.borrow().contains_key(&at));
    child.release();
    assert!(!tables.others.borrow().last().unwrap().entries.borrow().contains_key(&at));
    while mm.alloc_pages(1).is_ok() {}
    assert_eq!((mm.free(), look(&mm, at)), (0, Ok(0)));
}

#[test]
fn shared_memory_is_shared_whatever_was_touched_before() {
    let (mut mm, tables) = world(4 << 20);
    let shared = mm.map(mapping(Placement::Sparse(0), 4 * PAGE, DATA, Kind::Shared)).unwrap();
    let linear = mm.map(mapping(Placement::Hint(0), PAGE, DATA, Kind::Shared)).unwrap();
    let private = anywhere(&mut mm, PAGE);
    assert_eq!(mm.page_fault(shared, BY_WRITE), PageFault::Resolved);
    let mut child = mm.copy().unwrap();
    let told = tables_of(&child, &tables);
    for va in [shared, shared + 3 * PAGE, linear] {
        assert_eq!(write_as_program(&mut child, &told, va, va), PageFault::Resolved);
        assert_eq!(look(&mm, va), Ok(va));
        assert_eq!(mm.futex_key(va + 8), child.futex_key(va + 8));
    }
    assert_ne!(mm.futex_key(private), child.futex_key(private));
    poke(&mm, linear, 7).unwrap();
    mm.unmap(linear, PAGE).unwrap();
    assert_eq!(look(&child, linear), Ok(7));
}

#[test]
fn what_pico_points_to_stays_where_it_is_in_all_spaces() {
    let (mut mm, tables) = world(4 << 20);
    let pages = mm.alloc_pages(2).unwrap();
    let at = pages.as_ptr() as u64;
    pages.fill(9);
    let mut child = mm.copy().unwrap();
    assert_eq!(tables_of(&child, &tables).entries.borrow()[&at].0, at);
    assert!(child.raw(at, 2 * PAGE).iter().all(|&byte| byte == 9));
    for space in [&mut mm, &mut child] {
        assert_eq!(space.page_fault(at, BY_WRITE), PageFault::Refused(linux_raw_sys::general::SEGV_MAPERR));
        assert!(space.map(mapping(Placement::Fixed(at), PAGE, DATA, Kind::Anonymous)).is_err());
        assert_eq!(space.slice(at, 1), Err(Errno::EFAULT));
    }
    // New ones are nobody's addresses, and come back.
    let used = mm.used();
    let more = child.alloc_pages(3).unwrap();
    assert!(more.iter().all(|&byte| byte == 0));
    assert_eq!(mm.used(), used + 3 * PAGE);
    child.free_pages(more);
    mm.free_pages(pages);
    assert_eq!(mm.used(), used - 2 * PAGE);
    assert!(mm.map(mapping(Placement::Fixed(at), PAGE, DATA, Kind::Anonymous)).is_err());
}

#[test]
fn pages_of_files_are_seen_by_all_who_map_them() {
    let (mut mm, tables) = world(4 << 20);
    // One mapped where it lies, before there were spaces; one wherever there is room.
    let (old, new) = (mm.alloc_pages(1).unwrap(), mm.alloc_pages(1).unwrap());
    let [old_at, new_at] = [&old, &new].map(|pages| pages.as_ptr() as u64);
    mm.show_pages(old_at, old_at + PAGE, DATA, (Rc::from("/a"), 0)).unwrap();
    let apart = mm.map(mapping(Placement::Sparse(0), PAGE, DATA, Kind::SharedFile)).unwrap();
    mm.show_page(apart, new_at, DATA).unwrap();
    let mut child = mm.copy().unwrap();
    let told = tables_of(&child, &tables);
    old.fill(1);
    assert_eq!(child.slice(old_at, 1), Ok(&[1][..]));
    assert_eq!(write_as_program(&mut child, &told, apart, 5), PageFault::Resolved);
    assert_eq!((new[0], look(&mm, apart)), (5, Ok(5)));
    // Who unmaps it takes it from nobody else: neither from the other program nor from the file.
    mm.unmap(old_at, PAGE).unwrap();
    assert_eq!((child.slice(old_at, 1), mm.slice(old_at, 1)), (Ok(&[1][..]), Err(Errno::EFAULT)));
    assert!(mm.show_pages(new_at, new_at + PAGE, DATA, (Rc::from("/b"), 0)).is_err());
    let used = mm.used();
    mm.free_pages(new);
    assert_eq!((mm.used(), look(&child, apart)), (used, Ok(5)));
    child.release();
    mm.unmap(apart, PAGE).unwrap();
    assert!(mm.used() < used);
}

#[test]
fn an_empty_space_takes_another_program() {
    let (mut mm, _) = world(4 << 20);
    let at = anywhere(&mut mm, PAGE);
    mm.start_heap(mm.base() + 2 * MIB).unwrap();
    let mut new = mm.empty().unwrap();
    assert_eq!(new.slice(at, 1), Err(Errno::EFAULT));
    assert_eq!(new.map_stack(true), Ok(new.base() + new.stack_size()));
    let top = new.map_stack(false).unwrap();
    poke(&new, top - 8, 5).unwrap();
    new.start_heap(new.base() + 2 * MIB).unwrap();
    assert_eq!(new.brk(new.base() + 2 * MIB + 10), new.base() + 2 * MIB + 10);
    poke(&new, new.base() + 2 * MIB + 16, 6).unwrap();
    new.brk(new.base() + 2 * MIB + 5);
    assert_eq!(look(&new, new.base() + 2 * MIB + 16), Ok(0));
    let code = new.code_page(new.base(), new.end()).unwrap();
    new.patch(code + 4, b"code").unwrap();
    assert_eq!(new.peek(code + 4, 4), Ok(b"code".to_vec()));
    // What two copies write to their code is their own.
    let other = new.copy().unwrap();
    other.patch(code + PAGE - 2, b"ab").unwrap();
    assert_eq!(new.peek(code + PAGE - 2, 2), Ok(vec![0, 0]));
}

#[test]
fn without_memory_for_a_space_nothing_changes() {
    let (mut mm, _) = world(4 << 20);
    let at = anywhere(&mut mm, 4 << 20);
    mm.write(at, &1u64).unwrap();
    assert!(mm.copy().is_err() && mm.take_refused() && !mm.has_spaces());
    // One page more each time, until there is a copy: every step of it has failed once.
    let mut pages = 0;
    loop {
        mm.unmap(at + (4 << 20) - (pages + 1) * PAGE, PAGE).unwrap();
        pages += 1;
        let (converted, used) = (mm.has_spaces(), mm.used());
        match mm.copy() {
            Ok(child) => {
                assert_eq!(look(&child, at), Ok(1));
                break;
            }
            Err(errno) => {
                assert_eq!(errno, Errno::ENOMEM);
                assert!(mm.has_spaces() != converted || mm.used() == used);
            }
        }
    }
    assert!(pages > 4, "{pages}");
    assert_eq!(look(&mm, at), Ok(1));
}

#[test]
fn memory_that_runs_out_while_copying_a_page_is_told() {
    let (mut mm, tables) = world(4 << 20);
    let at = anywhere(&mut mm, 3 << 20);
    let mut child = mm.copy().unwrap();
    let told = tables_of(&child, &tables);
    let failed = (0..768)
        .find(|index| write_as_program(&mut child, &told, at + index * PAGE, 1) == PageFault::OutOfMemory)
        .unwrap();
    assert_eq!(poke(&child, at + failed * PAGE, 1), Err(Errno::ENOMEM));
    assert_eq!(mm.alloc_pages(1).map(|pages| pages.len()), Err(Errno::ENOMEM));
    assert_eq!(look(&child, at + failed * PAGE), Ok(0));
    mm.release();
    assert_eq!(write_as_program(&mut child, &told, at + failed * PAGE, 1), PageFault::Resolved);
}

/// Pages the property test deals in: of linear memory and of the sparse area.
const PAGES: u64 = 12;
const SPACES: usize = 4;

fn address(mm: &Mm, page: u64) -> u64 {
    if page < PAGES / 2 { mm.base() + MIB + page * PAGE } else { SPARSE_VA + page * PAGE }
}

#[derive(Clone, Debug)]
enum Step {
    Map(usize, u64, bool),
    Unmap(usize, u64),
    Protect(usize, u64, u32),
    Drop(usize, u64),
    Write(usize, u64),
    Poke(usize, u64),
    Copy(usize),
    Empty(usize),
    End(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let space = || 0..SPACES;
    let page = || 0..PAGES;
    let prot = prop_oneof![Just(0), Just(READ), Just(DATA)];
    let step = prop_oneof![
        2 => (space(), page(), any::<bool>()).prop_map(|(s, p, shared)| Step::Map(s, p, shared)),
        1 => (space(), page()).prop_map(|(s, p)| Step::Unmap(s, p)),
        1 => (space(), page(), prot).prop_map(|(s, p, prot)| Step::Protect(s, p, prot)),
        1 => (space(), page()).prop_map(|(s, p)| Step::Drop(s, p)),
        4 => (space(), page()).prop_map(|(s, p)| Step::Write(s, p)),
        4 => (space(), page()).prop_map(|(s, p)| Step::Poke(s, p)),
        2 => space().prop_map(Step::Copy),
        1 => space().prop_map(Step::Empty),
        1 => space().prop_map(Step::End),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Protection and content of each page; what is shared is one cell.
type Model = BTreeMap<u64, (u32, bool, Rc<Cell<u64>>)>;

/// An address space, its tables and its model.
struct Space {
    mm: Mm,
    tables: Rc<Fake>,
    model: Model,
}

impl Space {
    fn copied(&self, mm: Mm, tables: &Fake) -> Self {
        let private = |cell: &Rc<Cell<u64>>| Rc::new(Cell::new(cell.get()));
        let copy = |(&va, (prot, shared, cell)): (&u64, &(u32, bool, Rc<Cell<u64>>))| {
            (va, (*prot, *shared, if *shared { cell.clone() } else { private(cell) }))
        };
        Self { tables: tables_of(&mm, tables), mm, model: self.model.iter().map(copy).collect() }
    }

    fn change(&mut self, step: &Step, stamp: u64) {
        let Self { mm, tables, model } = self;
        match *step {
            Step::Map(_, page, shared) => {
                let (va, kind) = (address(mm, page), if shared { Kind::Shared } else { Kind::Anonymous });
                mm.map(mapping(Placement::Fixed(va), PAGE, DATA, kind)).unwrap();
                model.insert(va, (DATA, shared, Rc::default()));
            }
            Step::Unmap(_, page) => {
                mm.unmap(address(mm, page), PAGE).unwrap();
                model.remove(&address(mm, page));
            }
            Step::Protect(_, page, prot) => {
                let va = address(mm, page);
                // What is not accessible when it is shared is not shared yet.
                let closes = prot == 0 && model.get(&va).is_some_and(|page| page.1);
                if !closes {
                    assert_eq!(mm.protect(va, PAGE, prot).is_ok(), model.contains_key(&va));
                    model.entry(va).and_modify(|page| page.0 = prot);
                }
            }
            Step::Drop(_, page) => {
                let va = address(mm, page);
                assert_eq!(mm.drop_contents(va, PAGE).is_ok(), model.contains_key(&va));
                if let Some((_, false, cell)) = model.get(&va) {
                    cell.set(0);
                }
            }
            Step::Write(_, page) | Step::Poke(_, page) => {
                let va = address(mm, page);
                let wrote = match step {
                    Step::Write(..) => write_as_program(mm, tables, va, stamp) == PageFault::Resolved,
                    _ => poke(mm, va, stamp).is_ok(),
                };
                assert_eq!(wrote, model.get(&va).is_some_and(|page| page.0 & WRITE != 0));
                if wrote {
                    model[&va].2.set(stamp);
                }
            }
            Step::Copy(_) | Step::Empty(_) | Step::End(_) => {}
        }
    }

    fn compare(&self) {
        let Self { mm, tables, model } = self;
        for index in 0..PAGES {
            let va = address(mm, index);
            let expected = model.get(&va);
            assert_eq!(mm.area_at(va).map(|area| area.prot), expected.map(|page| page.0));
            let holds =
                page(mm, va).map_or(0, |page| u64::from_le_bytes(mm.raw(page, 8).try_into().unwrap()));
            assert_eq!(holds, expected.map_or(0, |page| page.2.get()), "{va:#x}");
            let told = tables.entries.borrow().get(&va).copied();
            assert_eq!(
                told.map(|entry| entry.0),
                page(mm, va).filter(|_| expected.is_some_and(|e| e.0 != 0))
            );
            let allowed = expected.map_or(0, |page| page.0);
            assert!(told.is_none_or(|entry| entry.1 & !allowed == 0), "{va:#x}");
        }
    }
}

/// No page that may be written is another space's private page, too.
fn check_apart(spaces: &[Space]) {
    let mut owners: BTreeMap<u64, (usize, bool)> = BTreeMap::new();
    for space in spaces {
        for (&va, (_, shared, _)) in &space.model {
            if let Some(&(page, prot)) = space.tables.entries.borrow().get(&va)
                && !shared
            {
                let seen = owners.entry(page).or_default();
                *seen = (seen.0 + 1, seen.1 | (prot & WRITE != 0));
            }
        }
    }
    assert!(owners.values().all(|&(count, writable)| count == 1 || !writable));
}

proptest! {
    #[test]
    fn spaces_are_what_the_models_say(steps in steps()) {
        let (mut mm, tables) = world(4 << 20);
        mm.empty().unwrap().release();
        let first = tables.others.borrow()[0].clone();
        let before = used(&mm);
        let mut spaces = vec![Space { mm, tables: first, model: Model::new() }];
        for (stamp, step) in (1..).zip(&steps) {
            let count = spaces.len();
            match *step {
                Step::Copy(of) | Step::Empty(of) if count < SPACES => {
                    let space = &mut spaces[of % count];
                    let new = match step {
                        Step::Copy(_) => {
                            let mm = space.mm.copy().unwrap();
                            space.copied(mm, &tables)
                        }
                        _ => {
                            let mm = space.mm.empty().unwrap();
                            Space { tables: tables_of(&mm, &tables), mm, model: Model::new() }
                        }
                    };
                    spaces.push(new);
                }
                Step::End(of) if count > 1 => spaces.remove(of % count).mm.release(),
                Step::Map(of, ..) | Step::Unmap(of, _) | Step::Protect(of, ..) | Step::Drop(of, _)
                | Step::Write(of, _) | Step::Poke(of, _) => spaces[of % count].change(step, stamp),
                _ => {}
            }
            spaces.iter().for_each(Space::compare);
            check_apart(&spaces);
        }
        let mut last = spaces.pop().unwrap();
        spaces.into_iter().for_each(|space| space.mm.release());
        let empty = last.mm.empty().unwrap();
        last.mm.release();
        prop_assert_eq!(used(&empty), before);
    }
}

#[test]
fn areas_of_children_count_from_the_beginning() {
    let (mut mm, _) = world(4 << 20);
    let areas = 5000;
    let at = |index: u64| 0xc0_0000_0000 + index * 2 * PAGE;
    for index in 0..areas {
        mm.map(mapping(Placement::Fixed(at(index)), PAGE, DATA, Kind::Anonymous)).unwrap();
    }
    let mut children = vec![];
    let failure = loop {
        match mm.copy() {
            Ok(child) => children.push(child),
            Err(errno) => break errno,
        }
    };
    assert_eq!((failure, children.len()), (Errno::ENOMEM, 5), "six spaces of 5000 areas");
    children.drain(..).for_each(Mm::release);
    mm.copy().unwrap().release();
}
