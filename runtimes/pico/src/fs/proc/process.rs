//! What `/proc/PID` tells about a process.

use crate::file::OpenFile;
use crate::fs::Location;
use crate::kernel::Kernel;
use crate::mm::areas::{Area, EXEC, Kind, READ, WRITE};
use crate::process::{Triple, View};
use abi::layout::PAGE;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

/// The process's name: at most 15 bytes.
pub(super) fn name(kernel: &Kernel, pid: u32) -> String {
    let name = kernel.threads.process_name(pid);
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

pub(super) fn comm(kernel: &Kernel, pid: u32, _view: &View<'_>) -> Vec<u8> {
    (name(kernel, pid) + "\n").into_bytes()
}

/// The executable's path without links.
pub(super) fn exe(kernel: &Kernel, view: &View<'_>) -> Vec<u8> {
    let named = &view.place.program.exe;
    kernel.resolve(named).and_then(|location| location.path(kernel)).unwrap_or_else(|_| named.clone())
}

/// What a link in `/proc/self/fd` says.
pub(super) fn descriptor(kernel: &Kernel, open: &OpenFile, fd: u64) -> Vec<u8> {
    if let Some(location) = open.file.location() {
        return location.path(kernel).unwrap_or_else(|_| deleted(location));
    }
    let unlinked = open.file.stat().is_ok_and(|stat| stat.st_nlink == 0);
    match open.path.as_str() {
        "" => format!("anon_inode:[{fd}]").into_bytes(),
        path if unlinked => format!("{path} (deleted)").into_bytes(),
        path => path.into(),
    }
}

fn deleted(location: &Location) -> Vec<u8> {
    [location.path_then(), b" (deleted)"].concat()
}

pub(super) fn limits(_kernel: &Kernel, _pid: u32, view: &View<'_>) -> Vec<u8> {
    const NAMES: [(&str, &str); 16] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let value = |limit: u64| if limit == u64::MAX { String::from("unlimited") } else { format!("{limit}") };
    let mut text = format!("{:<26}{:<21}{:<21}{:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for ((name, unit), &(soft, hard)) in NAMES.iter().zip(&view.process.limits) {
        let _ = writeln!(text, "{name:<26}{:<21}{:<21}{unit:<10}", value(soft), value(hard));
    }
    text.into_bytes()
}

fn permissions(area: &Area) -> String {
    let bit = |bit: u32, letter: char| if area.prot & bit != 0 { letter } else { '-' };
    let shared = if matches!(area.kind, Kind::Shared | Kind::SharedFile) { 's' } else { 'p' };
    String::from_iter([bit(READ, 'r'), bit(WRITE, 'w'), bit(EXEC, 'x'), shared])
}

/// What is mapped where the program put it, and from where in which file.
fn named(area: &Area) -> (&str, u64) {
    match (&area.file, area.kind) {
        (Some((path, offset)), _) => (path, *offset),
        (None, Kind::Heap) => ("[heap]", 0),
        (None, Kind::Stack) => ("[stack]", 0),
        (None, _) => ("", 0),
    }
}

/// The longest line of [`maps`] without its path.
const LINE_MAX: usize = 80;

/// At most how long [`maps`] is.
pub(super) fn maps_len(view: &View<'_>) -> usize {
    let mut len = 0;
    view.mm.each_area(|area| len += LINE_MAX + named(area).0.len());
    len
}

pub(super) fn maps(view: &View<'_>, text: &mut String) {
    let mut last: Option<Area> = None;
    view.mm.each_area(|area| match &mut last {
        _ if area.kind == Kind::Kernel => {}
        Some(last) if last.is_continued_by(area) => last.end = area.end,
        last => last.replace(area.clone()).iter().for_each(|area| write_line(area, text)),
    });
    last.iter().for_each(|area| write_line(area, text));
}

fn write_line(area: &Area, text: &mut String) {
    let (path, offset) = named(area);
    let range = format!("{:x}-{:x}", area.start, area.end);
    let line = format!("{range} {} {offset:08x} 00:00 0", permissions(area));
    let _ = if path.is_empty() { writeln!(text, "{line} ") } else { writeln!(text, "{line:<73}{path}") };
}

pub(super) fn mounts(kernel: &Kernel) -> Vec<u8> {
    let mut text = String::new();
    for mount in kernel.vfs.mounts.iter() {
        let (kind, mode) = (mount.kind, if mount.writable { "rw" } else { "ro" });
        let _ = writeln!(text, "{kind} {} {kind} {mode},nosuid,noatime 0 0", mount.path);
    }
    text.into_bytes()
}

pub(super) fn mountinfo(kernel: &Kernel) -> Vec<u8> {
    let mut text = String::new();
    for mount in kernel.vfs.mounts.iter() {
        let (kind, mode) = (mount.kind, if mount.writable { "rw" } else { "ro" });
        let (id, parent) = (mount.dev, if mount.path == "/" { 0 } else { 1 });
        let path = mount.path;
        let _ = writeln!(text, "{id} {parent} 0:{id} / {path} {mode},nosuid,noatime - {kind} {kind} {mode}");
    }
    text.into_bytes()
}

/// What others know of a process.
struct Known {
    parent: u32,
    group: u32,
    session: u32,
    threads: usize,
    state: char,
    busy: u64,
}

fn known(kernel: &Kernel, pid: u32, tid: u32) -> Known {
    let Ok(record) = kernel.processes.get(pid) else {
        return Known { parent: 0, group: 0, session: 0, threads: 0, state: 'X', busy: 0 };
    };
    let (parent, group, session, threads) = (record.parent, record.group, record.session, record.threads);
    let state = match pid {
        _ if kernel.threads.is_frozen(pid) => 'T',
        _ if kernel.threads.is_waiting(tid) => 'S',
        _ => 'R',
    };
    let stored = record.stored.as_ref().map(|stored| stored.process.busy);
    Known { parent, group, session, threads, state, busy: stored.unwrap_or_else(|| kernel.own_busy()) }
}

pub(super) fn stat(kernel: &Kernel, pid: u32, view: &View<'_>) -> Vec<u8> {
    stat_of(kernel, pid, view, pid)
}

/// What is told about thread `tid` of process `pid`.
pub(super) fn stat_of(kernel: &Kernel, pid: u32, view: &View<'_>, tid: u32) -> Vec<u8> {
    let (used, name, nice) = (view.mm.used(), name(kernel, tid), view.process.nice);
    let Known { parent, group, session, threads, state, busy } = known(kernel, pid, tid);
    let ticks = busy / 10_000_000;
    let terminal = kernel.processes.get(pid).ok().and_then(|record| record.terminal.as_ref());
    let foreground = terminal.map_or(-1, |jobs| i64::from(jobs.foreground.get()));
    let terminal = terminal.map_or(0, |jobs| jobs.device());
    let head = format!(
        "{tid} ({name}) {state} {parent} {group} {session} {terminal} {foreground} 0 0 0 0 0 {ticks} 0 0 0 {} {nice} {threads} 0 0 {used} {}",
        20 + nice,
        used / PAGE
    );
    let limit = u64::MAX;
    format!("{head} {limit} 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n").into_bytes()
}

pub(super) fn statm(_kernel: &Kernel, _pid: u32, view: &View<'_>) -> Vec<u8> {
    let pages = view.mm.used() / PAGE;
    let code: u64 =
        view.mm.areas().filter(|area| area.prot & EXEC != 0).map(|area| area.end - area.start).sum();
    format!("{pages} {pages} 0 {} 0 {pages} 0\n", code / PAGE).into_bytes()
}

/// Real, effective, saved and file system's id.
fn four_ids(ids: Triple) -> String {
    let Triple { real, effective, saved } = ids;
    format!("{real}\t{effective}\t{saved}\t{effective}")
}

pub(super) fn status(kernel: &Kernel, pid: u32, view: &View<'_>) -> Vec<u8> {
    status_of(kernel, pid, view, pid)
}

/// What is told about thread `tid` of process `pid`.
pub(super) fn status_of(kernel: &Kernel, pid: u32, view: &View<'_>, tid: u32) -> Vec<u8> {
    let kib = view.mm.used() / 1024;
    let name = name(kernel, tid);
    let umask = view.place.umask;
    let Known { parent, threads, state, .. } = known(kernel, pid, tid);
    let state = match state {
        'R' => "R (running)",
        'T' => "T (stopped)",
        _ => "S (sleeping)",
    };
    let no_new_privs = u32::from(view.process.no_new_privs);
    let ids = &view.process.ids;
    let (user, group) = (four_ids(ids.user), four_ids(ids.group));
    let groups = ids.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!(
        "Name:\t{name}\nUmask:\t{umask:04o}\nState:\t{state}\nTgid:\t{pid}\nNgid:\t0\nPid:\t{tid}\nPPid:\t{parent}\nTracerPid:\t0\n\
         Uid:\t{user}\nGid:\t{group}\nFDSize:\t64\nGroups:\t{groups} \n\
         VmPeak:\t{kib:>8} kB\nVmSize:\t{kib:>8} kB\nVmHWM:\t{kib:>8} kB\nVmRSS:\t{kib:>8} kB\nVmSwap:\t       0 kB\n\
         Threads:\t{threads}\nNoNewPrivs:\t{no_new_privs}\nSeccomp:\t0\n\
         Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
    )
    .into_bytes()
}
