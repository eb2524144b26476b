use super::data::checked_end;
use super::*;
use alloc::string::String;
use linux_raw_sys::general::{RENAME_EXCHANGE, RENAME_NOREPLACE};
use proptest::prelude::*;
use std::format;
use std::vec;

const PAGE: usize = 4096;

fn root() -> (Rc<Pool>, Rc<Inode>) {
    let pool: Rc<Pool> = Rc::default();
    let root = Inode::new(&pool, 7, Body::directory(), 0o755, 0).unwrap();
    (pool, root)
}

fn file(dir: &Rc<Inode>, name: &str) -> Rc<Inode> {
    make(dir, name.as_bytes(), Body::file(), 0o644, 1).unwrap()
}

fn dir(parent: &Rc<Inode>, name: &str) -> Rc<Inode> {
    make(parent, name.as_bytes(), Body::directory(), 0o755, 1).unwrap()
}

fn get(dir: &Rc<Inode>, name: &str) -> Option<Rc<Inode>> {
    dir.directory().unwrap().borrow().get(name.as_bytes())
}

fn links(inode: &Inode) -> u32 {
    inode.attributes().nlink
}

/// What a program can do to the contents of a file.
#[derive(Clone, Debug)]
enum Op {
    Write(usize, usize, u8),
    Resize(usize),
    Punch(usize, usize),
    Allocate(usize, usize, bool),
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..20 * PAGE;
    let len = prop_oneof![1..200usize, 1..5 * PAGE, Just(PAGE)];
    prop_oneof![
        4 => (at.clone(), len.clone(), 1..255u8).prop_map(|(at, len, byte)| Op::Write(at, len, byte)),
        1 => at.clone().prop_map(Op::Resize),
        1 => (at.clone(), len.clone()).prop_map(|(at, len)| Op::Punch(at, len)),
        1 => (at, len, any::<bool>()).prop_map(|(at, len, keep)| Op::Allocate(at, len, keep)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contents_are_what_a_plain_vector_would_hold(ops in prop::collection::vec(op(), 1..40)) {
        let mut mm = Mm::for_tests(4 << 20);
        let (pool, root) = root();
        let inode = file(&root, "f");
        let mut model: Vec<u8> = Vec::new();
        for op in ops {
            match op {
                Op::Write(at, len, byte) => {
                    prop_assert_eq!(inode.reserve(&mut mm, at as u64, len, 1), Ok(len));
                    prop_assert_eq!(inode.data().unwrap().borrow_mut().write(at as u64, &vec![byte; len]), Ok(len));
                    model.resize(model.len().max(at + len), 0);
                    model[at..at + len].fill(byte);
                }
                Op::Resize(size) => {
                    inode.resize(&mut mm, size as u64, 1).unwrap();
                    model.resize(size, 0);
                }
                Op::Punch(at, len) => {
                    inode.punch(&mut mm, at as u64, len as u64, 1).unwrap();
                    let (from, to) = (at.min(model.len()), (at + len).min(model.len()));
                    model[from..to].fill(0);
                }
                Op::Allocate(at, len, keep) => {
                    inode.allocate(&mut mm, at as u64, len as u64, keep, 1).unwrap();
                    if !keep {
                        model.resize(model.len().max(at + len), 0);
                    }
                }
            }
            let data = inode.data().unwrap().borrow();
            prop_assert_eq!(data.size(), model.len() as u64);
            let mut all = vec![0xee; model.len() + 1];
            prop_assert_eq!(data.read(0, &mut all), model.len());
            prop_assert!(all[..model.len()] == model);
            prop_assert_eq!(data.allocated(), mm.used());
        }
        inode.resize(&mut mm, 0, 1).unwrap();
        prop_assert_eq!(mm.used(), 0);
        drop(inode);
        root.unlink(b"f", 2).unwrap();
        prop_assert_eq!(pool.metadata.get(), INODE_COST_BYTES);
    }
}

#[test]
fn holes_and_data_are_found() {
    let mut mm = Mm::for_tests(4 << 20);
    let (_, root) = root();
    let inode = file(&root, "f");
    let page = PAGE as u64;
    inode.resize(&mut mm, 10 * page, 1).unwrap();
    inode.reserve(&mut mm, 2 * page, PAGE, 1).unwrap();
    inode.reserve(&mut mm, 5 * page + 7, 1, 1).unwrap();
    let data = inode.data().unwrap().borrow();
    assert_eq!(data.seek(0, false), Ok(2 * page));
    assert_eq!(data.seek(2 * page + 5, false), Ok(2 * page + 5));
    assert_eq!(data.seek(3 * page, false), Ok(5 * page));
    assert_eq!(data.seek(6 * page, false), Err(Errno::ENXIO));
    assert_eq!(data.seek(0, true), Ok(0));
    assert_eq!(data.seek(2 * page, true), Ok(3 * page));
    assert_eq!(data.seek(9 * page, true), Ok(9 * page));
    assert_eq!(data.seek(10 * page, true), Err(Errno::ENXIO));
}

#[test]
fn a_full_memory_gives_what_there_is_then_refuses_and_recovers() {
    let mut mm = Mm::for_tests(2 << 20);
    let (pool, root) = root();
    let inode = file(&root, "f");
    let room = inode.reserve(&mut mm, 100, 3 << 20, 1).unwrap();
    assert_eq!(room, (2 << 20) - 100);
    assert_eq!(inode.reserve(&mut mm, 2 << 20, 1, 1), Err(Errno::ENOSPC));
    assert!(mm.take_refused());
    assert_eq!(inode.allocate(&mut mm, 0, 3 << 20, false, 1), Err(Errno::ENOSPC));
    root.unlink(b"f", 1).unwrap();
    assert_eq!(mm.used(), 2 << 20);
    drop(inode);
    pool.empty_trash(&mut mm);
    assert_eq!(mm.used(), 0);
}

#[test]
fn a_refused_allocation_leaves_the_memory_as_it_was() {
    let mut mm = Mm::for_tests(2 << 20);
    let (pool, root) = root();
    let inode = file(&root, "f");
    let page = PAGE as u64;
    let state =
        |mm: &Mm| (mm.free(), pool.metadata.get(), inode.attributes().size, inode.attributes().allocated);
    assert_eq!(inode.reserve(&mut mm, 4 * page, PAGE, 1), Ok(PAGE));
    let before = state(&mm);
    let whole = 2 << 20;
    for (offset, len) in [(0, 1 << 40), (0, whole + 1), (page, whole + 1), (5, whole)] {
        assert_eq!(inode.allocate(&mut mm, offset, len, true, 1), Err(Errno::ENOSPC), "{offset} {len}");
        assert!(mm.take_refused());
        assert_eq!(state(&mm), before, "{offset} {len}");
    }
    assert_eq!(inode.allocate(&mut mm, 5, whole - 5, true, 1), Ok(()));
    // All of it lies behind the size, which stays.
    assert_eq!(mm.free(), 0);
    inode.resize(&mut mm, 0, 1).unwrap();
    assert_eq!((mm.free(), inode.attributes().allocated), (2 << 20, 0));
}

#[test]
fn an_allocation_that_names_refuse_leaves_the_memory_as_it_was() {
    let mut mm = Mm::for_tests(2 << 20);
    let (pool, root) = root();
    let inode = file(&root, "f");
    for index in [1, 3] {
        assert_eq!(inode.reserve(&mut mm, index * PAGE as u64, PAGE, 1), Ok(PAGE));
    }
    let rest = METADATA_MAX_BYTES - pool.metadata.get() - 2 * EXTENT_COST_BYTES;
    pool.charge(rest).unwrap();
    let before = (mm.free(), pool.metadata.get());
    assert_eq!(inode.allocate(&mut mm, 0, 5 * PAGE as u64, false, 1), Err(Errno::ENOSPC));
    assert_eq!((mm.free(), pool.metadata.get()), before);
    assert_eq!(inode.allocate(&mut mm, 0, 4 * PAGE as u64, false, 1), Ok(()));
    pool.refund(rest);
}

#[test]
fn growing_in_small_steps_takes_few_runs_of_pages() {
    let mut mm = Mm::for_tests(8 << 20);
    let (pool, root) = root();
    let inode = file(&root, "f");
    let before = pool.metadata.get();
    for step in 0..1024 {
        assert_eq!(inode.reserve(&mut mm, step * 4096, PAGE, 1), Ok(PAGE));
    }
    assert!(pool.metadata.get() - before < 40 * EXTENT_COST_BYTES, "{}", pool.metadata.get() - before);
    assert!(mm.used() <= (4 << 20) + 64 * 4096);
}

#[test]
fn sizes_end_where_file_offsets_end() {
    let mut mm = Mm::for_tests(2 << 20);
    let (_, root) = root();
    let inode = file(&root, "f");
    let last = i64::MAX.unsigned_abs();
    inode.resize(&mut mm, last, 1).unwrap();
    assert_eq!(inode.attributes().size, last);
    assert_eq!(inode.resize(&mut mm, last + 1, 1), Err(Errno::EFBIG));
    assert_eq!(inode.reserve(&mut mm, last, 1, 1), Err(Errno::EFBIG));
    assert_eq!(inode.reserve(&mut mm, u64::MAX, 1, 1), Err(Errno::EFBIG));
    assert_eq!(inode.reserve(&mut mm, last - 1, 1, 1), Ok(1));
    assert_eq!(inode.punch(&mut mm, u64::MAX - 5, 10, 1), Err(Errno::EFBIG));
    assert_eq!(checked_end(0, last), Ok(last));
    let mut buf = [1; 8];
    assert_eq!(inode.data().unwrap().borrow().read(last - 3, &mut buf), 3);
    assert_eq!(buf, [0, 0, 0, 1, 1, 1, 1, 1]);
}

#[test]
fn names_have_a_limit_that_is_given_back() {
    let (pool, root) = root();
    let name = |index: usize| format!("{index:0>200}");
    let made = (0..).take_while(|&index| {
        let name = name(index);
        make(&root, name.as_bytes(), Body::file(), 0o644, 1).is_ok()
    });
    let made = made.count();
    assert_eq!(made, (METADATA_MAX_BYTES - INODE_COST_BYTES) / (INODE_COST_BYTES + NAME_COST_BYTES + 200));
    assert_eq!(make(&root, b"x", Body::Symlink(vec![b'x'; 4095]), 0o777, 1).map(|_| ()), Err(Errno::ENOSPC));
    for index in 0..made {
        root.unlink(name(index).as_bytes(), 1).unwrap();
    }
    assert_eq!((pool.metadata.get(), pool.inodes()), (INODE_COST_BYTES, 1));
}

#[test]
fn links_are_counted() {
    let (_, root) = root();
    let inode = file(&root, "a");
    let sub = dir(&root, "sub");
    assert_eq!((links(&root), links(&sub), links(&inode)), (3, 2, 1));
    sub.link(b"b", &inode, 5).unwrap();
    assert_eq!((links(&inode), inode.attributes().ctime), (2, 5));
    assert_eq!(root.link(b"c", &sub, 5), Err(Errno::EPERM));
    assert_eq!(root.link(b"a", &inode, 5), Err(Errno::EEXIST));
    root.unlink(b"a", 6).unwrap();
    assert_eq!((links(&inode), get(&root, "a").is_none()), (1, true));
    assert_eq!(root.unlink(b"a", 6), Err(Errno::ENOENT));
    assert_eq!(root.unlink(b"sub", 6), Err(Errno::EISDIR));
    assert_eq!(root.remove_dir(b"sub", 6), Err(Errno::ENOTEMPTY));
    sub.unlink(b"b", 7).unwrap();
    assert!(inode.is_deleted());
    root.remove_dir(b"sub", 8).unwrap();
    assert_eq!((links(&root), links(&sub), root.attributes().mtime), (2, 0, 8));
    assert_eq!(make(&sub, b"x", Body::file(), 0, 9).map(|_| ()), Err(Errno::ENOENT));
    assert_eq!(sub.path(), Err(Errno::ENOENT));
}

#[test]
fn renames_do_what_the_manual_says() {
    let (_, root) = root();
    let (one, two) = (dir(&root, "one"), dir(&root, "two"));
    let inner = dir(&one, "inner");
    let (a, b) = (file(&root, "a"), file(&root, "b"));
    let go = |from: (&Rc<Inode>, &str), to: (&Rc<Inode>, &str), flags| {
        rename((from.0, from.1.as_bytes()), (to.0, to.1.as_bytes()), flags, 9)
    };
    assert_eq!(go((&root, "a"), (&root, "b"), RENAME_NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(go((&root, "a"), (&root, "c"), RENAME_EXCHANGE), Err(Errno::ENOENT));
    assert_eq!(go((&root, "x"), (&root, "c"), 0), Err(Errno::ENOENT));
    assert_eq!(go((&root, "a"), (&root, "one"), 0), Err(Errno::EISDIR));
    assert_eq!(go((&root, "one"), (&root, "a"), 0), Err(Errno::ENOTDIR));
    assert_eq!(go((&root, "two"), (&root, "one"), 0), Err(Errno::ENOTEMPTY));
    assert_eq!(go((&root, "one"), (&inner, "deep"), 0), Err(Errno::EINVAL));
    assert_eq!(go((&root, "one"), (&one, "deep"), 0), Err(Errno::EINVAL));
    assert_eq!(go((&one, "inner"), (&root, "one"), 0), Err(Errno::ENOTEMPTY));
    assert_eq!(go((&root, "two"), (&one, "inner"), RENAME_EXCHANGE), Ok(()));
    assert_eq!((two.path().unwrap(), inner.path().unwrap()), (b"/one/inner".to_vec(), b"/two".to_vec()));
    assert_eq!(go((&root, "one"), (&one, "inner"), RENAME_EXCHANGE), Err(Errno::EINVAL));
    assert_eq!(go((&root, "two"), (&one, "inner"), 0), Ok(()));
    assert!(two.is_deleted() && Rc::ptr_eq(&get(&one, "inner").unwrap(), &inner));
    assert_eq!((links(&root), links(&one)), (3, 3));
    assert_eq!(go((&root, "a"), (&root, "b"), 0), Ok(()));
    assert!(b.is_deleted() && Rc::ptr_eq(&get(&root, "b").unwrap(), &a) && get(&root, "a").is_none());
    root.link(b"same", &a, 9).unwrap();
    assert_eq!(go((&root, "b"), (&root, "same"), 0), Ok(()));
    assert_eq!(links(&a), 2);
}

#[test]
fn listings_go_on_while_names_come_and_go() {
    let (_, root) = root();
    for index in 0..100 {
        file(&root, &format!("f{index}"));
    }
    let mut seen: Vec<String> = Vec::new();
    let mut from = 0;
    loop {
        let batch: Vec<_> =
            root.directory().unwrap().borrow().list(from, u64::MAX).into_iter().take(7).collect();
        let Some((last, ..)) = batch.last() else { break };
        from = last + 1;
        for (_, name, _) in &batch {
            seen.push(String::from_utf8(name.clone()).unwrap());
            root.unlink(name, 1).unwrap();
        }
    }
    assert_eq!(seen, (0..100).map(|index| format!("f{index}")).collect::<Vec<_>>());
    assert!(root.directory().unwrap().borrow().is_empty());
}

#[test]
fn listings_tell_names_that_were_replaced_and_none_that_came_later() {
    let (_, root) = root();
    for name in ["a", "b", "c", "d"] {
        file(&root, name);
    }
    let names = |first, last| -> Vec<String> {
        let listed = root.directory().unwrap().borrow().list(first, last);
        listed.into_iter().map(|(_, name, _)| String::from_utf8(name).unwrap()).collect()
    };
    let last = root.directory().unwrap().borrow().last_place();
    file(&root, "new");
    rename((&root, b"new"), (&root, b"b"), 0, 9).unwrap();
    rename((&root, b"a"), (&root, b"later"), 0, 9).unwrap();
    rename((&root, b"c"), (&root, b"d"), RENAME_EXCHANGE, 9).unwrap();
    assert_eq!(names(0, last), ["b", "c", "d"]);
    assert_eq!(names(0, u64::MAX), ["b", "c", "d", "later"]);
}
