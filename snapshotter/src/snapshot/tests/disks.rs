//! Real file systems that are full or read-only. They are mounted for the test, which takes CAP_SYS_ADMIN.

use super::*;
use std::path::Path;
use std::process::Command;

/// A mount that goes away with the test.
struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// `None`, with a printed reason, for a user who may not mount.
    fn new(arguments: &[&str]) -> Option<Mount> {
        if !may_mount() {
            eprintln!("not tested: mounting a file system takes CAP_SYS_ADMIN");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        run("mount", arguments, dir.path());
        Some(Mount { dir })
    }
}

/// Whether this process has CAP_SYS_ADMIN, the capability of number 21.
fn may_mount() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() >> 21 & 1 == 1
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that another test starts may hold a copy of a descriptor in there until its `execve`.
        run("umount", &["--lazy"], self.dir.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "{program} {arguments:?} {}: {status}", path.display());
}

#[test]
fn a_full_disk_leaves_the_old_snapshot_and_nothing_else() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=512k", "tmpfs"]) else { return };
    let store = Store::open(mount.dir.path()).unwrap();
    let old = store.put(&draft(), &memory()).unwrap();
    let before = store.stats().unwrap();
    let large = memory_with(RAM, 0..PAGES, 5);
    let error = store.put(&draft(), &large).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(store.stats().unwrap(), before);
    assert_eq!(std::fs::read_dir(mount.dir.path().join("packs")).unwrap().count(), 1);
    assert_eq!(store.load(&host(), &wanted()).unwrap(), old);
    store.verify(&old).unwrap();
    drop(store);
}

#[test]
fn a_read_only_directory_is_said_to_be_one() {
    let real = tempfile::tempdir().unwrap();
    let old = Store::open(real.path()).unwrap().put(&draft(), &memory()).unwrap();
    let Some(mount) = Mount::new(&["--bind", real.path().to_str().unwrap()]) else { return };
    run("mount", &["-o", "remount,ro,bind"], mount.dir.path());
    // What is there can still be read.
    let store = Store::open(mount.dir.path()).unwrap();
    assert_eq!(store.load(&host(), &wanted()).unwrap(), old);
    store.verify(&old).unwrap();
    let error = store.put(&draft(), &memory_with(RAM, [1], 1)).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    let error = store.remove(digest("key")).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    let error = Store::open(&mount.dir.path().join("new")).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
}
