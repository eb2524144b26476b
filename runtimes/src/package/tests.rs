use super::*;
use std::io::Cursor;
use tar::{Builder, EntryType, Header};

/// One tar entry with exactly these fields, however impossible.
fn raw(name: &[u8], kind: EntryType, link: &[u8], size: u64, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name);
    old.linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    if kind == EntryType::GNUSparse {
        header.as_gnu_mut().unwrap().set_real_size(size);
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    raw(name.as_bytes(), EntryType::Regular, b"", data.len() as u64, data)
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

fn refused(entries: &[Vec<u8>]) -> PackageError {
    let error = unpack(Cursor::new(archive(entries))).expect_err("must be refused");
    assert!(error.is_packages_fault());
    error
}

#[test]
fn an_ordinary_archive_becomes_a_tree() {
    let mut builder = Builder::new(Vec::new());
    for (path, mode, data) in
        [("./app.py", 0o644, &b"x = 1"[..]), ("bin/tool", 0o755, b"abc"), ("run", 0o600, b"#!/bin/sh")]
    {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, path, data).unwrap();
    }
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "bin/again", "../bin/tool").unwrap();
    let tree = unpack(Cursor::new(builder.into_inner().unwrap())).unwrap();
    let paths: Vec<_> = tree.entries().keys().map(String::as_str).collect();
    assert_eq!(paths, ["app.py", "bin", "bin/again", "bin/tool", "run"]);
    assert_eq!(tree.entries()["app.py"], Entry::File { executable: false, data: b"x = 1".to_vec() });
    assert!(matches!(tree.entries()["bin/tool"], Entry::File { executable: true, .. }));
    assert!(matches!(tree.entries()["run"], Entry::File { executable: true, .. }));
    assert_eq!(tree.entries()["bin/again"], Entry::Symlink { target: "../bin/tool".to_owned() });
}

#[test]
fn paths_that_leave_the_package_are_refused() {
    for name in ["/etc/passwd", "../x", "a/../../x", "a/..", "..", "a/../b"] {
        assert!(matches!(refused(&[file(name, b"x")]), PackageError::BadPath { .. }), "{name}");
    }
    assert!(matches!(
        refused(&[raw(b"a\xff", EntryType::Regular, b"", 0, b"")]),
        PackageError::BadPath { .. }
    ));
    assert!(matches!(refused(&[raw(b"./", EntryType::Regular, b"", 0, b"")]), PackageError::BadPath { .. }));
}

#[test]
fn links_that_leave_the_package_are_refused() {
    let link = |name: &str, target: &str| raw(name.as_bytes(), EntryType::Symlink, target.as_bytes(), 0, b"");
    for (name, target) in [
        ("l", "/etc/passwd"),
        ("l", "../x"),
        ("d/l", "../../x"),
        ("l", ""),
        ("l", "a/../../x"),
        ("d/l", "e/../.."),
        ("l", ".."),
    ] {
        assert!(
            matches!(refused(&[link(name, target)]), PackageError::LinkOutside { .. }),
            "{name} {target}"
        );
    }
    for below in [[link("d", "e"), file("d/x", b"")], [file("d", b""), file("d/x", b"")]] {
        assert!(matches!(refused(&below), PackageError::NotADirectory { .. }));
    }
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    for (kind, word) in [
        (EntryType::Link, "hard link"),
        (EntryType::Char, "character device"),
        (EntryType::Block, "block device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::GNUSparse, "sparse"),
        (EntryType::new(b'Z'), "'Z'"),
    ] {
        let text = refused(&[raw(b"x", kind, b"y", 0, b"")]).to_string();
        assert!(text.contains(word) && text.contains('x'), "{text}");
    }
}

#[test]
fn one_path_cannot_be_two_things_but_a_directory_may_repeat() {
    let directory = || raw(b"d/", EntryType::Directory, b"", 0, b"");
    assert!(matches!(refused(&[file("a", b"1"), file("./a", b"2")]), PackageError::Duplicate { .. }));
    assert!(matches!(refused(&[directory(), file("d", b"2")]), PackageError::Duplicate { .. }));
    let tree = unpack(Cursor::new(archive(&[directory(), file("d/a", b""), directory()]))).unwrap();
    assert_eq!(tree.files(), 1);
}

#[test]
fn limits_hold() {
    let huge = |size| raw(b"x", EntryType::Regular, b"", size, b"abc");
    assert!(matches!(refused(&[huge(UNPACKED_MAX_BYTES + 1)]), PackageError::TooLarge));
    assert!(matches!(refused(&[huge(u64::MAX)]), PackageError::TooLarge));
    assert!(matches!(refused(&[huge(200 << 20)]), PackageError::Truncated(_)));
    let half = |n: u8| raw(&[b'a' + n], EntryType::Regular, b"", UNPACKED_MAX_BYTES / 2 + 1, b"");
    assert!(unpack(Cursor::new([half(0), half(1)].concat())).is_err());

    let many = |count: usize| archive(&(0..count).map(|n| file(&format!("f{n}"), b"")).collect::<Vec<_>>());
    assert_eq!(unpack(Cursor::new(many(ENTRIES_MAX))).unwrap().files(), ENTRIES_MAX);
    assert!(matches!(unpack(Cursor::new(many(ENTRIES_MAX + 1))), Err(PackageError::TooManyEntries)));
    let same = vec![raw(b"d/", EntryType::Directory, b"", 0, b""); 2 * ENTRIES_MAX + 1];
    assert!(matches!(refused(&same), PackageError::TooManyEntries));
}

#[test]
fn long_names_and_deep_trees_are_refused() {
    let long = |path: &str| {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, &b""[..]).unwrap();
        unpack(Cursor::new(builder.into_inner().unwrap()))
    };
    assert!(long(&"n".repeat(NAME_MAX_BYTES)).is_ok());
    assert!(matches!(long(&"n".repeat(NAME_MAX_BYTES + 1)), Err(PackageError::NameTooLong { .. })));
    assert!(long(&vec!["d"; DEPTH_MAX].join("/")).is_ok());
    assert!(matches!(long(&vec!["d"; DEPTH_MAX + 1].join("/")), Err(PackageError::TooDeep { .. })));
    let wide = vec!["n".repeat(200); PATH_MAX_BYTES / 200 + 1].join("/");
    assert!(matches!(long(&wide), Err(PackageError::NameTooLong { .. })));
}

#[test]
fn a_cut_archive_is_refused_wherever_it_is_cut() {
    let whole = archive(&[file("a.txt", &[b'x'; 700]), file("b.txt", b"yes")]);
    assert!(unpack(Cursor::new(&whole)).is_ok());
    for len in 0..whole.len() - 1024 {
        assert!(unpack(Cursor::new(&whole[..len])).is_err(), "{len} of {}", whole.len());
    }
    assert!(matches!(unpack(Cursor::new(&whole[..512 + 600])), Err(PackageError::Truncated(_))));
}

#[test]
fn what_is_no_tar_is_refused() {
    for bytes in [&b"\x1f\x8b\x08 gzip"[..], b"PK\x03\x04 zip", &[0xff; 4096], &[b'a'; 512]] {
        let error = unpack(Cursor::new(bytes)).unwrap_err();
        assert!(matches!(error, PackageError::NotATar(_) | PackageError::Truncated(_)), "{error}");
    }
    assert!(matches!(refused(&[]), PackageError::Empty));
    assert!(matches!(refused(&[raw(b"d/", EntryType::Directory, b"", 0, b"")]), PackageError::Empty));
}

#[test]
fn random_damage_never_panics_and_never_lets_a_bad_path_through() {
    let whole = archive(&[
        file("a.txt", &[b'x'; 100]),
        raw(b"l", EntryType::Symlink, b"a.txt", 0, b""),
        file("d/b", b"y"),
    ]);
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        let at = next() as usize % bytes.len();
        bytes[at] = next().to_le_bytes()[0];
        let header = at / 512 * 512;
        // Half of the time with a checksum that fits, so that the damage gets past it.
        if next() % 2 == 0
            && let Some(block) = bytes.get_mut(header..header + 512)
        {
            let mut fixed = Header::new_old();
            fixed.as_mut_bytes().copy_from_slice(block);
            fixed.set_cksum();
            block.copy_from_slice(fixed.as_bytes());
        }
        let Ok(tree) = unpack(Cursor::new(bytes)) else { continue };
        for path in tree.entries().keys() {
            assert!(
                !path.starts_with('/') && !path.split('/').any(|part| part == ".." || part.is_empty()),
                "{path:?}"
            );
        }
    }
}

#[test]
fn equal_files_give_equal_images_and_other_files_others() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("package.erofs");
    let build = |entries: &[Vec<u8>]| build_package(Cursor::new(archive(entries)), &out).unwrap();
    let one = build(&[file("a", b"1"), file("b", b"2")]);
    let swapped = build(&[file("./b", b"2"), file("a", b"1")]);
    let other = build(&[file("a", b"1"), file("b", b"3")]);
    assert_eq!(one.sha256, swapped.sha256);
    assert_ne!(one.sha256, other.sha256);
    assert_eq!((one.files, one.bytes), (2, std::fs::metadata(&out).unwrap().len()));
    let digest = Sha256::digest(std::fs::read(&out).unwrap());
    assert_eq!(crate::hex(&digest), other.sha256);
    assert!(build_package(Cursor::new(b"junk"), &out).is_err());
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "a refused package leaves nothing behind"
    );
}
