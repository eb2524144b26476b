//! The image of one tree with everything in it is kept in the repository: the writer must produce it, pico's
//! tests read it, and the ignored test below, which needs root, shows that Linux and `fsck.erofs` agree.

use super::{Content, DEPTH_MAX, Error, Options, Tree, build, build_from_dir};
use pico::fs::erofs::{Image, Inode};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn image(tree: &Tree) -> Vec<u8> {
    let mut image = Vec::new();
    let bytes = build(tree, &mut image, &Options::default()).expect("builds");
    assert_eq!(bytes, image.len() as u64);
    image
}

/// A tree with everything an image can hold, and every size at which the layout changes.
fn everything() -> Tree {
    let mut tree = Tree::new();
    for size in [0, 1, 4095, 4096, 4097, 9000] {
        let bytes: Vec<u8> =
            (0..size).map(|at: u32| at.to_le_bytes()[usize::from(at.is_multiple_of(2))]).collect();
        tree.add_file(format!("files/{size}"), bytes, 0o644).expect("adds");
    }
    for name in 0..100 {
        tree.add_file(format!("many/name-{name:0>150}"), &b""[..], 0o600).expect("adds");
    }
    for len in [1, 254, 255] {
        tree.add_dir(format!("names/{}", "n".repeat(len)), 0o700).expect("adds");
    }
    tree.add_file("names/.-sorts-between-the-dots", &b"-"[..], 0o644).expect("adds");
    tree.add_file("names/!sorts-before-the-dots", &b"!"[..], 0o644).expect("adds");
    tree.add_file(&b"names/\xff\xfe not text"[..], &b"?"[..], 0o750).expect("adds");
    tree.add_symlink("links/file", "../files/1").expect("adds");
    tree.add_symlink("links/long", "l/".repeat(2000) + "end").expect("adds");
    tree.add_symlink("links/longest", "l".repeat(4095)).expect("adds");
    tree.add_hard_link("links/hard", "files/4097").expect("adds");
    tree.add_dir("empty", 0o1777).expect("adds");
    let deep: Vec<String> = (0..100).map(|level| format!("d{level}")).collect();
    tree.add_file(deep.join("/"), &b"deep"[..], 0o644).expect("adds");
    tree
}

/// The image of [`everything`], read back by pico's tests. To change the format, write the new image there
/// (`SPORE_BLESS=1 cargo test -p snapshotter`) and run the ignored test as root.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../abi/testdata/everything.erofs");

#[test]
fn the_format_is_stable() {
    let image = image(&everything());
    if std::env::var_os("SPORE_BLESS").is_some() {
        fs::write(GOLDEN, &image).expect("writes");
    }
    assert_eq!(image.len() % 4096, 0);
    assert!(fs::read(GOLDEN).expect("is part of the repository") == image, "the format changed");
}

#[test]
fn the_order_of_adding_does_not_matter_nor_does_what_was_replaced() {
    let (mut one, mut two) = (Tree::new(), Tree::new());
    one.add_file("a", &b"1"[..], 0o644).expect("adds");
    one.add_file("b/c", &b"2"[..], 0o644).expect("adds");
    two.add_symlink("a", "b").expect("adds");
    two.add_file("b/c", &b"2"[..], 0o644).expect("adds");
    two.add_file("a", &b"1"[..], 0o644).expect("adds");
    assert_eq!(image(&one), image(&two));
}

#[test]
fn large_files_begin_at_large_pages_and_small_ones_fill_the_gaps() {
    let large = usize::try_from(abi::layout::HUGE).expect("fits");
    let mut tree = Tree::new();
    let sizes =
        [("a", 5000), ("b", large), ("c", large + 1), ("d", 0), ("e", large - 4096), ("f", 3 * large)];
    for (name, size) in sizes {
        tree.add_file(name, vec![name.as_bytes()[0]; size], 0o644).expect("adds");
    }
    let bytes: &'static [u8] = image(&tree).leak();
    let found = Image::open(bytes).expect("opens");
    let root = found.root().expect("has a root");
    let mut starts = BTreeMap::new();
    for (name, size) in sizes {
        let entry = found.lookup(&root, name.as_bytes()).expect("reads").expect("is there");
        let contents = found.contents(&found.inode(entry.nid).expect("reads")).expect("reads").head;
        assert_eq!(contents.len(), size);
        assert!(contents.iter().all(|&byte| byte == name.as_bytes()[0]), "{name}");
        // What is empty lies nowhere.
        if size > 0 {
            starts.insert(name, contents.as_ptr().addr() - bytes.as_ptr().addr());
        }
    }
    assert!(["b", "c", "f"].iter().all(|name| starts[name].is_multiple_of(large)), "{starts:?}");
    assert!(starts["a"] < starts["b"] && starts["e"] < starts["f"], "{starts:?}");
    assert_eq!(bytes.len(), 7 * large);
}

#[test]
fn a_directory_of_the_host_gives_the_same_image_whatever_its_times_and_modes() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("sub")).expect("makes");
    fs::write(dir.path().join("sub/app.py"), b"print()").expect("writes");
    fs::write(dir.path().join("tool"), vec![7; 300_000]).expect("writes");
    fs::set_permissions(dir.path().join("tool"), fs::Permissions::from_mode(0o700)).expect("sets");
    fs::set_permissions(dir.path().join("sub/app.py"), fs::Permissions::from_mode(0o600)).expect("sets");
    std::os::unix::fs::symlink("sub/app.py", dir.path().join("link")).expect("links");
    let out = dir.path().with_extension("erofs");
    build_from_dir(dir.path(), &out, &Options::default()).expect("builds");

    let mut tree = Tree::new();
    tree.add_symlink("/link", "sub/app.py").expect("adds");
    tree.add_file("/tool", vec![7; 300_000], 0o755).expect("adds");
    tree.add_file("/sub/app.py", &b"print()"[..], 0o644).expect("adds");
    assert!(fs::read(&out).expect("reads") == image(&tree));
    fs::remove_file(out).expect("removes");
}

#[test]
fn parents_that_are_links_are_followed_inside_the_tree() {
    let mut tree = Tree::new();
    tree.add_dir("usr/lib", 0o755).expect("adds");
    tree.add_symlink("lib", "/usr/lib").expect("adds");
    tree.add_file("lib/x/libc.so", &b"c"[..], 0o644).expect("adds");
    assert!(tree.contains("usr/lib/x/libc.so"));
    tree.add_symlink("up", "../../../usr").expect("adds");
    tree.add_file("up/inside", &b"i"[..], 0o644).expect("adds");
    assert!(tree.contains("/usr/inside") && !tree.contains("inside"));
    tree.add_symlink("loop", "loop").expect("adds");
    assert!(matches!(tree.add_file("loop/x", &b""[..], 0o644), Err(Error::LinkLoop { .. })));
    tree.add_symlink("gone", "nowhere").expect("adds");
    assert!(matches!(tree.add_file("gone/x", &b""[..], 0o644), Err(Error::NotFound { .. })));
}

#[test]
fn what_an_image_cannot_hold_is_refused() {
    let mut tree = Tree::new();
    let mut add = |path: &str| tree.add_file(path, &b"x"[..], 0o644);
    assert!(matches!(add(""), Err(Error::InvalidPath { .. })));
    assert!(matches!(add("/"), Err(Error::InvalidPath { .. })));
    assert!(matches!(add("a/../b"), Err(Error::InvalidPath { .. })));
    assert!(matches!(add("a\0b"), Err(Error::InvalidPath { .. })));
    assert!(matches!(add(&"n".repeat(256)), Err(Error::NameTooLong { .. })));
    assert!(matches!(add(&"nn/".repeat(2000)), Err(Error::PathTooLong { .. })));
    assert!(matches!(add(&"d/".repeat(DEPTH_MAX + 1)), Err(Error::TooDeep { .. })));
    add("dir/file").expect("adds");
    assert!(matches!(add("dir"), Err(Error::IsADirectory { .. })));
    assert!(matches!(add("dir/file/x"), Err(Error::NotADirectory { .. })));
    assert!(matches!(tree.add_dir("dir/file", 0o755), Err(Error::NotADirectory { .. })));
    assert!(matches!(tree.add_symlink("l", ""), Err(Error::InvalidTarget { .. })));
    assert!(matches!(tree.add_symlink("l", "x".repeat(4096)), Err(Error::InvalidTarget { .. })));
    assert!(matches!(tree.add_hard_link("l", "dir"), Err(Error::IsADirectory { .. })));
    assert!(matches!(tree.add_hard_link("l", "nothing"), Err(Error::NotFound { .. })));
}

#[test]
fn an_image_beyond_the_limit_is_refused_before_anything_is_written() {
    let mut tree = Tree::new();
    let len = abi::layout::IMAGE_MAX;
    tree.add_file("large", Content::Host { path: "/nonexistent".into(), len }, 0o644).expect("adds");
    let mut out = Vec::new();
    let refused = build(&tree, &mut out, &Options::default());
    assert!(matches!(refused, Err(Error::TooLarge { bytes }) if bytes > len));
    assert!(out.is_empty());
}

#[test]
fn a_host_file_that_changed_special_or_missing_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    fs::write(&path, b"four").expect("writes");
    for len in [3, 5] {
        let mut tree = Tree::new();
        tree.add_file("f", Content::Host { path: path.clone(), len }, 0o644).expect("adds");
        let error = build(&tree, &mut Vec::new(), &Options::default()).expect_err("refused");
        assert!(matches!(&error, Error::Changed { path: named } if *named == path), "{error}");
    }
    assert!(matches!(Content::of_host_file(dir.path()), Err(Error::SpecialFile { .. })));
    assert!(matches!(Content::of_host_file(dir.path().join("none")), Err(Error::Host { .. })));
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).expect("binds");
    let refused = Tree::new().add_host_dir("", dir.path());
    assert!(matches!(refused, Err(Error::SpecialFile { path }) if path.ends_with("socket")));
    drop(socket);
}

/// What a random tree has at its paths, and what an image of it has.
type Files = BTreeMap<String, Vec<u8>>;

/// Everything below the directory `inode` of `image`, as the guest reads it.
fn read_back(image: &Image, inode: &Inode, path: &str, into: &mut Files) {
    for entry in image.entries(inode, 0).expect("a directory") {
        let (_, entry) = entry.expect("undamaged");
        let found = image.lookup(inode, entry.name).expect("undamaged");
        assert_eq!(found, Some(entry));
        if matches!(entry.name, b"." | b"..") {
            continue;
        }
        let child = image.inode(entry.nid).expect("undamaged");
        let path = format!("{path}/{}", String::from_utf8_lossy(entry.name));
        if child.is_dir() {
            read_back(image, &child, &path, into);
        } else {
            let contents = image.contents(&child).expect("undamaged").whole().expect("in one piece");
            into.insert(path, contents.to_vec());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(
        files in prop::collection::btree_map(
            prop::collection::vec("[a-c][!-.a-z]{0,120}", 1..4),
            (any::<u8>(), prop_oneof![0..10usize, 4090..4100usize]),
            0..120,
        ),
    ) {
        let (mut tree, mut expected) = (Tree::new(), Files::new());
        for (path, (byte, size)) in files {
            let path = path.iter().fold(String::new(), |path, name| path + "/" + name);
            let bytes = vec![byte; size];
            // Refused where one path's file would be another's directory.
            if tree.add_file(&path, bytes.clone(), 0o644).is_ok() {
                expected.insert(path, bytes);
            }
        }
        let image = Image::open(image(&tree).leak()).expect("an image");
        let mut files = Files::new();
        read_back(&image, &image.root().expect("a root"), "", &mut files);
        prop_assert!(files == expected);
    }
}

/// Everything below `dir`: path to (mode, contents or link target).
fn listing(dir: &Path, base: &Path, into: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(dir).expect("reads") {
        let entry = entry.expect("reads");
        let (path, metadata) = (entry.path(), entry.metadata().expect("stats"));
        let bytes = if metadata.is_symlink() {
            fs::read_link(&path).expect("reads").into_os_string().into_encoded_bytes()
        } else if metadata.is_dir() {
            listing(&path, base, into);
            Vec::new()
        } else {
            fs::read(&path).expect("reads")
        };
        let relative = format!("{:?}", path.strip_prefix(base).expect("below"));
        into.insert(relative, (metadata.permissions().mode(), bytes));
    }
}

fn run(command: &str, args: &[&Path]) {
    let output = Command::new("sh").arg("-c").arg(command).arg("sh").args(args).output().expect("runs");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs root, a kernel with EROFS and the package erofs-utils"]
fn the_kernel_and_fsck_read_the_same_tree() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, mount, extract) =
        (dir.path().join("image"), dir.path().join("mount"), dir.path().join("extract"));
    fs::write(&file, image(&everything())).expect("writes");
    fs::create_dir(&mount).expect("makes");
    run("fsck.erofs --extract=\"$2\" --preserve \"$1\"", &[&file, &extract]);
    run("mount -t erofs -o loop,ro \"$1\" \"$2\" || mount -t erofs \"$1\" \"$2\"", &[&file, &mount]);
    let (mut mounted, mut extracted) = (BTreeMap::new(), BTreeMap::new());
    listing(&mount, &mount, &mut mounted);
    listing(&extract, &extract, &mut extracted);
    run("umount \"$1\"", &[&mount]);
    assert!(mounted == extracted);
    assert_eq!(mounted["\"many\""].0, 0o40755);
    assert_eq!(mounted["\"files/4097\""], mounted["\"links/hard\""]);
    assert_eq!(mounted["\"links/long\""].1.len(), 4003);
}
