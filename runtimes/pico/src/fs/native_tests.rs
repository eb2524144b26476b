//! The same calls on Linux and on pico must give the same results.

use super::rig::Rig;
use crate::platform::fake::alone_with_linux;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as linux;
use proptest::prelude::*;
use std::format;
use std::path::PathBuf;
use std::sync::MutexGuard;

/// A directory of the host for Linux to work in, in memory if possible.
struct Host(PathBuf);

impl Host {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let shm = PathBuf::from("/dev/shm");
        let base = if shm.is_dir() { shm } else { std::env::temp_dir() };
        let name = format!("pico-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = base.join(name);
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program on one of the two systems, in a directory of its own.
struct Side {
    rig: Rig,
    /// Descriptor of the directory.
    dir: u64,
    /// Nothing has changed since the last reset.
    clean: bool,
    _host: Option<Host>,
    /// Given back when the directory is gone.
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Side {
    fn open(mut rig: Rig, host: Option<Host>) -> Self {
        let path =
            host.as_ref().map_or_else(|| "/tmp".to_string(), |host| host.0.to_str().unwrap().to_string());
        let dir = rig.open(path, linux::O_DIRECTORY);
        Self { rig, dir: u64::try_from(dir).unwrap(), clean: false, _host: host, _alone: None }
    }

    fn pico() -> Self {
        Self::open(Rig::new(), None)
    }

    fn linux() -> Self {
        let alone = alone_with_linux();
        let mut side = Self { _alone: Some(alone), ..Self::open(Rig::native(), Some(Host::new())) };
        // What pico begins with.
        side.rig.call(linux::__NR_umask, &[0o022]);
        side
    }

    /// A call with the directory and a path as first arguments.
    fn at(&mut self, number: u32, path: &str, rest: &[u64]) -> i64 {
        let path = self.rig.path(path);
        self.rig.call(number, &[&[self.dir, path], rest].concat())
    }

    fn open_at(&mut self, path: &str, flags: u32) -> i64 {
        self.at(linux::__NR_openat, path, &[flags.into(), 0o644])
    }

    /// Closes what a call has opened; says whether it did.
    fn close(&mut self, fd: i64) -> i64 {
        u64::try_from(fd).map_or(fd, |fd| self.rig.call(linux::__NR_close, &[fd]))
    }

    /// Names and types in `dir` of the directory, sorted, with sizes of files.
    fn listing(&mut self, dir: &str) -> Vec<String> {
        let Ok(fd) = u64::try_from(self.open_at(dir, linux::O_DIRECTORY)) else { return Vec::new() };
        let got = self.rig.call(linux::__NR_getdents64, &[fd, self.rig.buffer, 8192]);
        let mut rest: &[u8] = self.rig.bytes(usize::try_from(got).unwrap());
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = rest[19..len].split(|&byte| byte == 0).next().unwrap();
            lines.push(format!("{} {}", String::from_utf8_lossy(name), rest[18]));
            rest = &rest[len..];
        }
        self.close(fd.cast_signed());
        lines.sort();
        lines
    }

    fn symlink(&mut self, target: &str, path: &str) {
        let (target, path) = (self.rig.path(target), self.rig.path(path));
        assert_eq!(self.rig.call(linux::__NR_symlinkat, &[target, self.dir, path]), 0);
    }

    /// Removes everything in `dir`.
    fn empty(&mut self, dir: &str) {
        for line in self.listing(dir) {
            let (name, kind) = line.rsplit_once(' ').unwrap();
            let path = format!("{dir}/{name}");
            let removed = match (name, kind) {
                ("." | "..", _) => 0,
                (_, "4") => {
                    self.empty(&path);
                    self.at(linux::__NR_unlinkat, &path, &[linux::AT_REMOVEDIR.into()])
                }
                _ => self.at(linux::__NR_unlinkat, &path, &[0]),
            };
            assert_eq!(removed, 0, "{path}");
        }
    }

    /// A call that may have changed something has returned `result`.
    fn changed_if_done(&mut self, result: i64) {
        self.clean &= result < 0;
    }

    /// Removes everything, then makes some of everything.
    fn reset(&mut self) {
        if core::mem::replace(&mut self.clean, true) {
            return;
        }
        self.empty(".");
        assert_eq!(self.listing("."), [". 4", ".. 4"]);
        for file in ["file", "file2"] {
            let fd = self.open_at(file, linux::O_CREAT | linux::O_RDWR);
            assert_eq!(self.rig.call(linux::__NR_write, &[fd.unsigned_abs(), self.rig.buffer, 5]), 5);
            self.close(fd);
        }
        for dir in ["dir", "dir/sub", "empty"] {
            assert_eq!(self.at(linux::__NR_mkdirat, dir, &[0o755]), 0);
        }
        self.symlink("file", "link");
        self.symlink("dir", "dirlink");
        self.symlink("missing", "dangling");
    }
}

/// What every path can be.
const PATHS: [&str; 20] = [
    "file",
    "file2",
    "dir",
    "empty",
    "link",
    "dirlink",
    "dangling",
    "missing",
    "file/",
    "dir/",
    "empty/",
    "link/",
    "dirlink/",
    "dangling/",
    "missing/",
    ".",
    "dir/..",
    "dir/sub",
    "file/x",
    "missing/x",
];

fn both(scenario: impl Fn(&mut Side) -> Vec<String>) {
    let (linux, pico) = (scenario(&mut Side::linux()), scenario(&mut Side::pico()));
    assert_eq!(linux.len(), pico.len());
    let differing: Vec<_> = linux.iter().zip(&pico).filter(|(linux, pico)| linux != pico).collect();
    assert!(
        differing.is_empty(),
        "{} differ, (linux, pico): {:#?}",
        differing.len(),
        &differing[..differing.len().min(30)]
    );
}

#[test]
fn opening_with_any_flags() {
    let bits =
        [linux::O_CREAT, linux::O_EXCL, linux::O_TRUNC, linux::O_DIRECTORY, linux::O_NOFOLLOW, linux::O_PATH];
    both(|side| {
        let mut notes = Vec::new();
        for path in PATHS {
            for access in [linux::O_RDONLY, linux::O_WRONLY, linux::O_RDWR] {
                for set in 0..1u32 << bits.len() {
                    let chosen = bits.iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0);
                    let flags = chosen.fold(access, |flags, (_, bit)| flags | bit);
                    // What Linux does with both depends on its version.
                    if flags & linux::O_CREAT != 0 && flags & linux::O_DIRECTORY != 0 {
                        continue;
                    }
                    side.reset();
                    let fd = side.open_at(path, flags);
                    let status =
                        side.rig.call(linux::__NR_fcntl, &[fd.cast_unsigned(), linux::F_GETFL.into()]);
                    let done = side.close(fd);
                    side.changed_if_done(done);
                    notes.push(format!("{path} {flags:#o}: {done} {status:#o} {:?}", side.listing(".")));
                }
            }
        }
        notes
    });
}

#[test]
fn making_and_removing_any_name() {
    both(|side| {
        let mut notes = Vec::new();
        for path in PATHS {
            for (name, number, rest) in [
                ("mkdir", linux::__NR_mkdirat, 0o755),
                ("unlink", linux::__NR_unlinkat, 0),
                ("rmdir", linux::__NR_unlinkat, u64::from(linux::AT_REMOVEDIR)),
                ("mknod", linux::__NR_mknodat, u64::from(linux::S_IFREG | 0o600)),
                ("access", linux::__NR_faccessat, 0),
                ("chmod", linux::__NR_fchmodat, 0o750),
                ("unlink flags", linux::__NR_unlinkat, 1),
            ] {
                side.reset();
                let result = side.at(number, path, &[rest]);
                side.changed_if_done(result);
                notes.push(format!("{name} {path}: {result} {:?}", side.listing(".")));
            }
            side.reset();
            let buffer = side.rig.buffer;
            let link = side.at(linux::__NR_readlinkat, path, &[buffer, 3]);
            let stat = side.at(linux::__NR_newfstatat, path, &[buffer, linux::AT_SYMLINK_NOFOLLOW.into()]);
            let mode = side.rig.kernel.mm.get::<linux::stat>(buffer).unwrap().st_mode;
            notes.push(format!("{path}: {link} {stat} {:o}", if stat == 0 { mode } else { 0 }));
        }
        notes
    });
}

#[test]
fn renaming_and_linking_any_name_to_any_other() {
    both(|side| {
        let mut notes = Vec::new();
        for from in PATHS {
            for to in PATHS {
                for flags in [0, linux::RENAME_NOREPLACE, linux::RENAME_EXCHANGE] {
                    side.reset();
                    let (old, new) = (side.rig.path(from), side.rig.path(to));
                    let result =
                        side.rig.call(linux::__NR_renameat2, &[side.dir, old, side.dir, new, flags.into()]);
                    side.changed_if_done(result);
                    let (top, sub) = (side.listing("."), side.listing("dir"));
                    notes.push(format!("rename {from} {to} {flags}: {result} {top:?} {sub:?}"));
                }
                for flags in [0, linux::AT_SYMLINK_FOLLOW] {
                    side.reset();
                    let (old, new) = (side.rig.path(from), side.rig.path(to));
                    let result =
                        side.rig.call(linux::__NR_linkat, &[side.dir, old, side.dir, new, flags.into()]);
                    side.changed_if_done(result);
                    notes.push(format!("link {from} {to} {flags}: {result} {:?}", side.listing(".")));
                }
                side.reset();
                let (old, new) = (side.rig.path(from), side.rig.path(to));
                let result = side.rig.call(linux::__NR_symlinkat, &[old, side.dir, new]);
                side.changed_if_done(result);
                notes.push(format!("symlink {from} {to}: {result} {:?}", side.listing(".")));
            }
        }
        notes
    });
}

/// What is done to each kind of descriptor: name, number, arguments behind the descriptor.
fn calls(buffer: u64) -> Vec<(String, u32, Vec<u64>)> {
    let huge = u64::MAX;
    let bad = 8u64;
    let iov = buffer + 4096;
    let mut calls: Vec<(String, u32, Vec<u64>)> = Vec::new();
    let mut add = |name: &str, number, args: &[u64]| calls.push((name.into(), number, args.into()));
    let fixed: Vec<(&str, u32, Vec<u64>)> = Vec::from([
        ("read", linux::__NR_read, [buffer, 4].into()),
        ("read nothing", linux::__NR_read, [buffer, 0].into()),
        ("read bad", linux::__NR_read, [bad, 4].into()),
        ("write", linux::__NR_write, [buffer, 4].into()),
        ("write nothing", linux::__NR_write, [buffer, 0].into()),
        ("write bad", linux::__NR_write, [bad, 4].into()),
        ("pread", linux::__NR_pread64, [buffer, 4, 1].into()),
        ("pread negative", linux::__NR_pread64, [buffer, 4, huge].into()),
        ("pwrite", linux::__NR_pwrite64, [buffer, 4, 2].into()),
        ("pwrite negative", linux::__NR_pwrite64, [buffer, 4, huge].into()),
        ("readv", linux::__NR_readv, [iov, 2].into()),
        ("readv none", linux::__NR_readv, [iov, 0].into()),
        ("readv too many", linux::__NR_readv, [iov, 1025].into()),
        ("readv negative", linux::__NR_readv, [iov, huge].into()),
        ("readv bad", linux::__NR_readv, [bad, 1].into()),
        ("readv negative length", linux::__NR_readv, [iov + 32, 1].into()),
        ("writev", linux::__NR_writev, [iov, 2].into()),
        ("preadv", linux::__NR_preadv, [iov, 2, 1, 0].into()),
        ("pwritev2 append", linux::__NR_pwritev2, [iov, 2, huge, huge, linux::RWF_APPEND.into()].into()),
        ("pwritev2 flags", linux::__NR_pwritev2, [iov, 2, huge, huge, 0x4000_0000].into()),
        ("ftruncate", linux::__NR_ftruncate, [3].into()),
        ("ftruncate negative", linux::__NR_ftruncate, [huge].into()),
        ("fallocate", linux::__NR_fallocate, [0, 0, 10].into()),
        ("fallocate keep", linux::__NR_fallocate, [1, 5, 10].into()),
        ("fallocate nothing", linux::__NR_fallocate, [0, 0, 0].into()),
        ("fallocate negative", linux::__NR_fallocate, [0, huge, 5].into()),
        ("fallocate punch", linux::__NR_fallocate, [3, 0, 2].into()),
        ("fallocate punch wrongly", linux::__NR_fallocate, [2, 0, 2].into()),
        ("fallocate unknown", linux::__NR_fallocate, [0x400, 0, 2].into()),
        ("fsync", linux::__NR_fsync, [].into()),
        ("fchmod", linux::__NR_fchmod, [0o700].into()),
        ("fchdir", linux::__NR_fchdir, [].into()),
        ("fchown", linux::__NR_fchown, [huge, huge].into()),
        ("futimens", linux::__NR_utimensat, [0, 0, 0].into()),
        ("futimens flags", linux::__NR_utimensat, [0, 0, 0x100].into()),
        ("fgetxattr", linux::__NR_flistxattr, [0, 0].into()),
        ("getdents tiny", linux::__NR_getdents64, [buffer, 8].into()),
        ("fadvise", linux::__NR_fadvise64, [0, 0, 9].into()),
        ("dup3 itself", linux::__NR_dup3, [huge, 1].into()),
        ("flock", linux::__NR_flock, [linux::LOCK_EX.into()].into()),
        ("setlk", linux::__NR_fcntl, [linux::F_SETLK.into(), buffer + 8192].into()),
        ("getlk", linux::__NR_fcntl, [linux::F_GETLK.into(), buffer + 8192].into()),
        ("fcntl unknown", linux::__NR_fcntl, [999, 0].into()),
        ("getpipe", linux::__NR_fcntl, [linux::F_GETPIPE_SZ.into()].into()),
        ("dupfd far", linux::__NR_fcntl, [linux::F_DUPFD.into(), huge].into()),
        ("fionread", linux::__NR_ioctl, [linux_raw_sys::ioctl::FIONREAD.into(), buffer].into()),
        ("tcgets", linux::__NR_ioctl, [linux_raw_sys::ioctl::TCGETS.into(), buffer].into()),
        ("sendfile from", linux::__NR_sendfile, [0, 0, 3].into()),
        ("copy from", linux::__NR_copy_file_range, [0, 0, 0, 3, 0].into()),
        ("copy flags", linux::__NR_copy_file_range, [0, 0, 0, 3, 1].into()),
        ("getfl", linux::__NR_fcntl, [linux::F_GETFL.into()].into()),
    ]);
    fixed.iter().for_each(|(name, number, args)| add(name, *number, args));
    for whence in 0..6 {
        for offset in [0, 2, huge, i64::MAX.unsigned_abs(), i64::MIN.unsigned_abs()] {
            add(&format!("lseek {offset:#x} {whence}"), linux::__NR_lseek, &[offset, whence]);
        }
    }
    calls
}

#[test]
fn any_call_on_any_kind_of_descriptor() {
    let kinds = [
        ("file", linux::O_RDONLY),
        ("file", linux::O_WRONLY),
        ("file", linux::O_RDWR),
        ("file", linux::O_RDWR | linux::O_APPEND),
        ("file", linux::O_PATH),
        ("dir", linux::O_RDONLY),
        ("dir", linux::O_PATH),
        ("link", linux::O_PATH | linux::O_NOFOLLOW),
    ];
    both(|side| {
        let mut notes = Vec::new();
        let cwd = std::env::current_dir().unwrap();
        let buffer = side.rig.buffer;
        let segments = [buffer, 2, buffer + 2, 3, buffer, u64::MAX];
        side.rig.kernel.mm.write(buffer + 4096, &segments).unwrap();
        for (path, flags) in kinds {
            for (name, number, args) in calls(buffer) {
                side.reset();
                let other = side.open_at("file2", linux::O_RDWR);
                let fd = side.open_at(path, flags);
                let mut all = [&[fd.cast_unsigned()][..], &args].concat();
                if name.starts_with("sendfile") || name.starts_with("copy") {
                    all[if name.starts_with("sendfile") { 1 } else { 2 }] = other.cast_unsigned();
                }
                if name == "dup3 itself" {
                    all[1] = all[0];
                }
                let result = side.rig.call(number, &all);
                side.changed_if_done(result);
                let at = side.rig.call(linux::__NR_lseek, &[fd.cast_unsigned(), 0, 1]);
                side.close(fd);
                side.close(other);
                let sizes = ["file", "file2"].map(|file| {
                    side.at(linux::__NR_newfstatat, file, &[buffer, 0]);
                    side.rig.kernel.mm.get::<linux::stat>(buffer).unwrap().st_size
                });
                notes.push(format!("{name} on {path} {flags:#o}: {result} at {at} sizes {sizes:?}"));
            }
        }
        for fd in [u64::MAX, 1000, i32::MAX.unsigned_abs().into()] {
            for (name, number, args) in calls(buffer) {
                let result = side.rig.call(number, &[&[fd][..], &args].concat());
                notes.push(format!("{name} on {fd:#x}: {result}"));
            }
        }
        // Linux may have changed the directory of the whole test process.
        std::env::set_current_dir(cwd).unwrap();
        notes
    });
}

/// What a program does with one open file.
#[derive(Clone, Debug)]
struct Step {
    call: u32,
    args: [u64; 3],
}

fn step() -> impl Strategy<Value = Step> {
    let small = prop_oneof![0..20u64, 4000..9000u64, Just(u64::MAX)];
    let whence = prop_oneof![Just(0u64), Just(1), Just(2)];
    prop_oneof![
        (0..6000u64).prop_map(|len| Step { call: linux::__NR_read, args: [0, len, 0] }),
        (0..6000u64).prop_map(|len| Step { call: linux::__NR_write, args: [0, len, 0] }),
        (0..6000u64, small.clone())
            .prop_map(|(len, at)| Step { call: linux::__NR_pread64, args: [0, len, at] }),
        (0..6000u64, small.clone())
            .prop_map(|(len, at)| Step { call: linux::__NR_pwrite64, args: [0, len, at] }),
        (small.clone(), whence)
            .prop_map(|(at, whence)| Step { call: linux::__NR_lseek, args: [at, whence, 0] }),
        small.clone().prop_map(|size| Step { call: linux::__NR_ftruncate, args: [size, 0, 0] }),
        (prop_oneof![Just(0u64), Just(1), Just(3), Just(16)], 0..9000u64, 1..9000u64)
            .prop_map(|(mode, at, len)| Step { call: linux::__NR_fallocate, args: [mode, at, len] }),
    ]
}

fn run_steps(side: &mut Side, flags: u32, steps: &[Step]) -> Vec<String> {
    let fd = side.open_at("steps", flags | linux::O_CREAT | linux::O_TRUNC | linux::O_RDWR);
    let fd = u64::try_from(fd).unwrap();
    let mut notes = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let [a, b, c] = step.args;
        let buffer = side.rig.buffer;
        side.rig.bytes(6000).fill(index.to_le_bytes()[0].wrapping_add(1));
        let result = match step.call {
            linux::__NR_lseek | linux::__NR_ftruncate => side.rig.call(step.call, &[fd, a, b]),
            linux::__NR_fallocate => side.rig.call(step.call, &[fd, a, b, c]),
            _ => side.rig.call(step.call, &[fd, buffer, b, c]),
        };
        let sum: u64 = side.rig.bytes(6000).iter().zip(1..).map(|(&byte, at)| u64::from(byte) * at).sum();
        let at = side.rig.call(linux::__NR_lseek, &[fd, 0, 1]);
        notes.push(format!("{step:?}: {result} at {at} sum {sum}"));
    }
    let len = side.rig.call(linux::__NR_pread64, &[fd, side.rig.buffer, 100_000, 0]);
    notes.push(format!("{:?}", side.rig.bytes(usize::try_from(len).unwrap())));
    side.close(fd.cast_signed());
    notes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_writing_and_resizing_in_any_order(
        append in any::<bool>(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let flags = if append { linux::O_APPEND } else { 0 };
        let linux = run_steps(&mut Side::linux(), flags, &steps);
        let pico = run_steps(&mut Side::pico(), flags, &steps);
        prop_assert_eq!(linux, pico);
    }
}
