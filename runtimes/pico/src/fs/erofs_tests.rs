use super::*;
use crate::fs::rig::Rig;
use linux_raw_sys::general as c;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::format;
use std::string::String;

const EVERYTHING: &[u8] = include_bytes!("../../../../abi/testdata/everything.erofs");

/// Path to inode and contents.
type Files = BTreeMap<Vec<u8>, (Inode, Vec<u8>)>;

/// Everything below `inode`, at most some 1000 files.
fn walk(
    image: &Image,
    inode: &Inode,
    path: &[u8],
    into: &mut BTreeMap<Vec<u8>, (Inode, Vec<u8>)>,
) -> Result<()> {
    if into.len() > 1000 || path.len() > 1000 {
        return Err(Errno::ELOOP);
    }
    for entry in image.entries(inode, 0)? {
        let (_, entry) = entry?;
        let child = image.inode(entry.nid)?;
        if matches!(entry.name, b"." | b"..") {
            continue;
        }
        let path = [path, b"/", entry.name].concat();
        if child.is_dir() {
            into.insert(path.clone(), (child, Vec::new()));
            walk(image, &child, &path, into)?;
        } else {
            let contents = image.contents(&child)?;
            let mut bytes = std::vec![0; contents.head.len() + contents.tail.len()];
            assert_eq!(contents.read(0, &mut bytes), bytes.len());
            into.insert(path, (child, bytes));
        }
    }
    Ok(())
}

fn everything() -> (Image, Files) {
    let image = Image::open(EVERYTHING).unwrap();
    let mut files = BTreeMap::new();
    walk(&image, &image.root().unwrap(), b"", &mut files).unwrap();
    (image, files)
}

#[test]
fn the_tree_is_what_the_writer_was_given() {
    let (image, files) = everything();
    assert_eq!(files.len() as u64, image.inode_count(), "one more for the hard link, one less for the root");
    for size in [0u32, 1, 4095, 4096, 4097, 9000] {
        let (inode, bytes) = &files[format!("/files/{size}").as_bytes()];
        let expected: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[usize::from(at % 2 == 0)]).collect();
        assert_eq!((inode.size, bytes), (u64::from(size), &expected));
        let whole = image.contents(inode).unwrap().whole().unwrap();
        assert_eq!(whole, expected);
        assert!(size == 0 || (whole.as_ptr() as usize - EVERYTHING.as_ptr() as usize).is_multiple_of(4096));
    }
    let (inode, _) = &files[&b"/links/hard"[..]];
    assert_eq!((inode.nid, inode.nlink), (files[&b"/files/4097"[..]].0.nid, 2));
    assert_eq!((inode.uid, inode.gid, inode.mtime), (0, 0, (315_532_800, 0)));
    assert_eq!(image.link_target(&files[&b"/links/file"[..]].0).unwrap(), b"../files/1");
    assert_eq!(image.link_target(&files[&b"/links/longest"[..]].0).unwrap(), [b'l'; 4095]);
    assert_eq!(files[&b"/empty"[..]].0.mode, 0o41777);
    assert_eq!(files[&b"/names/\xff\xfe not text"[..]].0.mode, 0o100_750);
    assert_eq!(files.keys().filter(|path| path.starts_with(b"/many/")).count(), 100);
    assert_eq!(files.keys().filter(|path| path.starts_with(b"/d0/")).count(), 99);
}

#[test]
fn every_name_is_found_and_nothing_else() {
    let (image, files) = everything();
    for path in files.keys() {
        let mut inode = image.root().unwrap();
        for name in path[1..].split(|&byte| byte == b'/') {
            let entry = image.lookup(&inode, name).unwrap().unwrap_or_else(|| panic!("{name:?} of {path:?}"));
            let parent = inode;
            inode = image.inode(entry.nid).unwrap();
            if inode.is_dir() {
                assert_eq!(image.lookup(&inode, b".").unwrap().unwrap().nid, inode.nid);
                assert_eq!(image.lookup(&inode, b"..").unwrap().unwrap().nid, parent.nid);
            }
            assert!(image.lookup(&parent, &[name, b"!"].concat()).unwrap().is_none());
        }
        assert_eq!(inode.nid, files[path].0.nid);
    }
    let many = files[&b"/many"[..]].0;
    for absent in [&b""[..], b"\0", b"name", b"name-zzz", b"\xff\xff"] {
        assert_eq!(image.lookup(&many, absent).unwrap(), None);
    }
}

#[test]
fn listing_can_continue_anywhere() {
    let (image, files) = everything();
    let many = files[&b"/many"[..]].0;
    let all: Vec<_> = image.entries(&many, 0).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(all.len(), 102);
    for (place, (number, _)) in all.iter().enumerate() {
        let rest: Vec<_> = image.entries(&many, *number).unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(rest, all[place..]);
    }
    assert_eq!(image.entries(&many, u64::MAX).unwrap().count(), 0);
}

#[test]
fn reads_stop_at_the_end_and_cross_from_blocks_to_the_tail() {
    let contents = Contents { head: b"01234", tail: b"567" };
    for offset in 0..10 {
        for len in 0..10 {
            let mut buf = [b'x'; 10];
            let got = contents.read(offset, &mut buf[..len]);
            let expected = b"01234567".get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            assert_eq!(&buf[..got], &expected[..len.min(expected.len())]);
        }
    }
    assert_eq!(contents.read(u64::MAX, &mut [0; 4]), 0);
    assert_eq!(contents.whole(), None);
    assert_eq!(Contents { head: b"a", tail: b"" }.whole(), Some(&b"a"[..]));
}

#[test]
fn what_is_not_an_image_is_refused() {
    let short: &'static [u8] = &EVERYTHING[..1100];
    assert_eq!(Image::open(short).map(|_| ()), Err(Errno::EUCLEAN));
    assert_eq!(Image::open(&[]).map(|_| ()), Err(Errno::EUCLEAN));
    for (at, value) in [(0, 0), (12, 9), (80, 0x10), (90, 1)] {
        let mut copy = EVERYTHING.to_vec();
        copy[SUPER_OFFSET + at] = value;
        assert_eq!(Image::open(copy.leak()).map(|_| ()), Err(Errno::EUCLEAN), "byte {at}");
    }
}

/// Uses everything the reader offers on a damaged image; only its errors may show the damage.
fn use_all(data: &'static [u8]) -> String {
    let Ok(image) = Image::open(data) else { return "refused".into() };
    let mut files = BTreeMap::new();
    let walked = image.root().and_then(|root| walk(&image, &root, b"", &mut files));
    for (inode, _) in files.values() {
        let _ = image.link_target(inode);
        let _ = image.lookup(inode, b"name-x");
        let _ = image.lookup(inode, b"..");
        let _ = image.entries(inode, 700).map(Iterator::count);
    }
    format!("{walked:?}")
}

/// The image with some bytes and fields changed, and cut.
fn damaged() -> impl Strategy<Value = &'static [u8]> {
    let number =
        prop_oneof![Just(0), Just(u32::MAX), (0..32u32).prop_map(|bit| 1 << bit), 0..64u32, any::<u32>()];
    // Metadata comes first, behind the superblock.
    let flips = prop::collection::vec((0..8192usize, any::<u8>()), 0..20);
    let fields = prop::collection::vec((0..2048usize, number), 0..8);
    let anywhere = prop::collection::vec((0..EVERYTHING.len(), any::<u8>()), 0..5);
    let len = prop_oneof![3 => Just(EVERYTHING.len()), 1 => 0..EVERYTHING.len()];
    (flips, fields, anywhere, len).prop_map(|(flips, fields, anywhere, len)| {
        let mut copy = EVERYTHING.to_vec();
        for (at, value) in flips.into_iter().map(|(at, value)| (SUPER_OFFSET + at, value)).chain(anywhere) {
            copy[at] = value;
        }
        for (at, value) in fields {
            copy[SUPER_OFFSET + 4 * at..][..4].copy_from_slice(&value.to_le_bytes());
        }
        copy.truncate(len);
        &*copy.leak()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_an_error_never_a_panic(image in damaged()) {
        let outcome = use_all(image);
        prop_assert!(["refused", "Ok(())", "Err(Errno(117))", "Err(Errno(40))"].contains(&outcome.as_str()), "{outcome}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same through system calls: names, contents, links, directories, mappings.
    #[test]
    fn programs_get_errors_from_a_damaged_package(image in damaged()) {
        prop_assume!(Image::open(image).is_ok());
        let mut rig = Rig::with(EVERYTHING, image);
        for path in ["", "/files", "/many", "/files/4097", "/files/9000", "/links/file", "/links/longest", "/d0/d1", "/empty/.."] {
            let path = std::format!("/var/task{path}");
            let _ = rig.stat(&path);
            let _ = rig.read_all(&path);
            let buffer = rig.buffer;
            rig.on(c::__NR_readlink, &path, &[buffer, 4096]);
            let Ok(fd) = u64::try_from(rig.open(&path, c::O_RDONLY)) else { continue };
            for _ in 0..50 {
                if rig.call(c::__NR_getdents64, &[fd, buffer, 600]) <= 0 {
                    break;
                }
            }
            for (len, offset) in [(4096, 0), (1 << 20, 0), (8192, 4096)] {
                let mapped = rig.call(c::__NR_mmap, &[0, len, 3, 2, fd, offset]);
                if let Ok(at) = u64::try_from(mapped) {
                    prop_assert_eq!(rig.call(c::__NR_munmap, &[at, len]), 0);
                }
            }
            prop_assert_eq!(rig.call(c::__NR_close, &[fd]), 0);
        }
    }
}
