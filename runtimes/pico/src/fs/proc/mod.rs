//! `/proc` and `/sys`: texts that are generated when they are opened.
//!
//! Only what programs are known to read; every figure is true for this VM or left out.

mod process;
mod system;

pub use system::RELEASE;

use super::attributes::Attributes;
use super::files::TextFile;
use super::node::Link;
use super::notify;
use crate::errno::{Errno, Result};
use crate::file::File;
use crate::kernel::Kernel;
use crate::process::View;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFREG};

/// A name in a generated tree.
pub struct Entry {
    name: &'static str,
    what: What,
}

/// What a name in a generated tree is.
enum What {
    Dir(&'static [Entry]),
    Text(fn(&Kernel) -> Vec<u8>),
    Link(fn(&Kernel) -> Vec<u8>),
    /// `/proc`: its entries, and a directory for every process.
    Processes(&'static [Entry]),
    /// A text about a process.
    TextOf(fn(&Kernel, u32, &View<'_>) -> Vec<u8>),
    /// A link of a process.
    LinkOf(fn(&Kernel, &View<'_>) -> Vec<u8>),
    /// `/proc/PID/task`: the first thread.
    Tasks,
    /// `/proc/PID/fd`.
    Descriptors,
    /// One of the links in there.
    Descriptor,
}

const fn dir(name: &'static str, entries: &'static [Entry]) -> Entry {
    Entry { name, what: What::Dir(entries) }
}

const fn file(name: &'static str, text: fn(&Kernel) -> Vec<u8>) -> Entry {
    Entry { name, what: What::Text(text) }
}

const fn link(name: &'static str, target: fn(&Kernel) -> Vec<u8>) -> Entry {
    Entry { name, what: What::Link(target) }
}

const fn file_of(name: &'static str, text: fn(&Kernel, u32, &View<'_>) -> Vec<u8>) -> Entry {
    Entry { name, what: What::TextOf(text) }
}

const fn link_of(name: &'static str, target: fn(&Kernel, &View<'_>) -> Vec<u8>) -> Entry {
    Entry { name, what: What::LinkOf(target) }
}

/// `/proc`.
pub static PROC: Entry = Entry {
    name: "proc",
    what: What::Processes(&[
        link("self", |kernel| kernel.pid().to_string().into_bytes()),
        link("thread-self", |kernel| format!("{0}/task/{0}", kernel.pid()).into_bytes()),
        link("mounts", |_| b"self/mounts".into()),
        file("cpuinfo", system::cpuinfo),
        file("filesystems", |_| {
            b"\terofs\nnodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\nnodev\tdevtmpfs\n".into()
        }),
        file("loadavg", |_| b"0.00 0.00 0.00 1/1 1\n".into()),
        file("locks", |kernel| kernel.locks.report().into_bytes()),
        file("meminfo", system::meminfo),
        file("stat", system::stat),
        dir("spore", &[file("system_calls", system::system_calls)]),
        file("uptime", system::uptime),
        file("version", system::version),
        dir(
            "sys",
            &[
                dir(
                    "fs",
                    &[
                        file("file-max", |_| b"1024\n".into()),
                        dir(
                            "inotify",
                            &[
                                file("max_queued_events", |_| system::number(notify::EVENTS_MAX)),
                                file("max_user_instances", |_| system::number(notify::INSTANCES_MAX)),
                                file("max_user_watches", |_| system::number(notify::WATCHES_MAX)),
                            ],
                        ),
                        file("nr_open", |_| b"1024\n".into()),
                    ],
                ),
                dir(
                    "kernel",
                    &[
                        file("cap_last_cap", |_| b"40\n".into()),
                        file("hostname", system::hostname),
                        file("ngroups_max", |_| b"65536\n".into()),
                        file("osrelease", |_| [RELEASE.as_bytes(), b"\n"].concat()),
                        file("ostype", |_| b"Linux\n".into()),
                        file("pid_max", |_| b"4194304\n".into()),
                        dir(
                            "random",
                            &[
                                file("boot_id", system::boot_id),
                                file("entropy_avail", |_| b"256\n".into()),
                                file("poolsize", |_| b"256\n".into()),
                                file("uuid", system::uuid),
                            ],
                        ),
                    ],
                ),
                dir("net", &[dir("core", &[file("somaxconn", |_| b"4096\n".into())])]),
                dir(
                    "vm",
                    &[
                        file("max_map_count", |_| b"65530\n".into()),
                        // Strict: what is mapped is there.
                        file("overcommit_memory", |_| b"2\n".into()),
                    ],
                ),
            ],
        ),
    ]),
};

const PROCESS: &[Entry] = &[
    file("cgroup", |_| b"0::/\n".into()),
    file_of("cmdline", |_, _, view| view.place.program.arguments.to_vec()),
    file_of("comm", process::comm),
    link_of("cwd", |kernel, view| {
        let cwd = &view.place.cwd;
        cwd.path(kernel).unwrap_or_else(|_| cwd.path_then().into())
    }),
    file_of("environ", |_, _, view| view.place.program.environment.to_vec()),
    link_of("exe", process::exe),
    Entry { name: "fd", what: What::Descriptors },
    file_of("limits", process::limits),
    file_of("maps", process::maps),
    file("mountinfo", process::mountinfo),
    file("mounts", process::mounts),
    file("oom_score_adj", |_| b"0\n".into()),
    link("root", |_| b"/".into()),
    file_of("stat", process::stat),
    file_of("statm", process::statm),
    file_of("status", process::status),
    Entry { name: "task", what: What::Tasks },
];

static TASK: Entry = dir(
    "task",
    &[
        file_of("comm", process::comm),
        file_of("maps", process::maps),
        file_of("stat", process::stat),
        file_of("statm", process::statm),
        file_of("status", process::status),
    ],
);

static PROCESS_DIR: Entry = dir("process", PROCESS);

/// `/sys`.
pub static SYS: Entry = dir(
    "sys",
    &[dir(
        "devices",
        &[dir(
            "system",
            &[dir(
                "cpu",
                &[
                    dir("cpu0", &[]),
                    file("kernel_max", |_| b"0\n".into()),
                    file("online", |_| b"0\n".into()),
                    file("possible", |_| b"0\n".into()),
                    file("present", |_| b"0\n".into()),
                ],
            )],
        )],
    )],
);

static DESCRIPTOR: Entry = Entry { name: "", what: What::Descriptor };

/// A file of a generated tree.
#[derive(Clone, Copy)]
pub struct Generated {
    entry: &'static Entry,
    dev: u64,
    ino: u64,
    /// For links in `/proc/PID/fd`: which.
    fd: u64,
    /// In `/proc/PID`: which; else 0.
    pid: u32,
}

/// A node has fewer children than this, so that an inode number can be made from the parent's.
const FANOUT: u64 = 64;
/// A process has fewer descriptors than this.
const DESCRIPTORS: u64 = 1 << 12;
/// Inode number of the first process's directory would be one more.
const FIRST_PROCESS: u64 = 1 << 24;

impl Generated {
    /// The root of a tree.
    pub fn root(entry: &'static Entry, dev: u64) -> Self {
        Self { entry, dev, ino: 1, fd: 0, pid: 0 }
    }

    fn nth(&self, index: u64, entry: &'static Entry) -> Self {
        Self { entry, dev: self.dev, ino: self.ino * FANOUT + index, fd: 0, pid: self.pid }
    }

    fn descriptor(&self, fd: u64) -> Self {
        Self { entry: &DESCRIPTOR, dev: self.dev, ino: self.ino * DESCRIPTORS + fd, fd, pid: self.pid }
    }

    fn process(&self, pid: u32) -> Self {
        Self { entry: &PROCESS_DIR, dev: self.dev, ino: FIRST_PROCESS + u64::from(pid), fd: 0, pid }
    }

    /// The process this is about, unless it is gone.
    fn view<'a>(&self, kernel: &'a Kernel) -> Result<View<'a>> {
        kernel.view(self.pid).ok_or(Errno::ESRCH)
    }

    /// Metadata for stat(2).
    pub fn attributes(&self) -> Attributes {
        let mode = match self.entry.what {
            What::Dir(_) | What::Processes(_) | What::Tasks | What::Descriptors => S_IFDIR | 0o555,
            What::Text(_) | What::TextOf(_) => S_IFREG | 0o444,
            What::Link(_) | What::LinkOf(_) => S_IFLNK | 0o777,
            What::Descriptor => S_IFLNK | 0o700,
        };
        let nlink = if mode & S_IFDIR == S_IFDIR { 2 } else { 1 };
        Attributes { dev: self.dev, ino: self.ino, mode, nlink, ..Attributes::default() }
    }

    /// What `name` is in this directory.
    pub fn child(&self, kernel: &Kernel, name: &[u8]) -> Result<Option<Self>> {
        match self.entry.what {
            What::Dir(entries) => Ok(self.entry_of(entries, name)),
            What::Processes(entries) => {
                let pid = number(name).and_then(|pid| u32::try_from(pid).ok());
                let process = pid.filter(|&pid| kernel.view(pid).is_some()).map(|pid| self.process(pid));
                Ok(process.or_else(|| self.entry_of(entries, name)))
            }
            What::Tasks => {
                let is_first = number(name) == Some(self.pid.into()) && self.view(kernel).is_ok();
                Ok(is_first.then(|| self.nth(1, &TASK)))
            }
            What::Descriptors => {
                let fds = self.view(kernel)?.fds;
                let fd = number(name).filter(|fd| fds.get(*fd).is_ok());
                Ok(fd.map(|fd| self.descriptor(fd)))
            }
            What::Text(_) | What::TextOf(_) | What::Link(_) | What::LinkOf(_) | What::Descriptor => {
                Err(Errno::ENOTDIR)
            }
        }
    }

    fn entry_of(&self, entries: &'static [Entry], name: &[u8]) -> Option<Self> {
        let found = entries.iter().zip(1..).find(|(entry, _)| entry.name.as_bytes() == name);
        found.map(|(entry, index)| self.nth(index, entry))
    }

    fn all_entries(&self, entries: &'static [Entry]) -> impl Iterator<Item = (u64, Vec<u8>, Self)> {
        let numbered = entries.iter().zip(1..);
        numbered.map(|(entry, index)| (index, entry.name.into(), self.nth(index, entry)))
    }

    /// What is in this directory: position, name, file.
    pub fn children(&self, kernel: &Kernel) -> Vec<(u64, Vec<u8>, Self)> {
        let text = |number: u64| number.to_string().into_bytes();
        match self.entry.what {
            What::Dir(entries) => self.all_entries(entries).collect(),
            What::Processes(entries) => {
                let living = kernel.processes.iter().filter(|(_, record)| record.ended.is_none());
                let processes =
                    living.map(|(pid, _)| (FANOUT + u64::from(pid), text(pid.into()), self.process(pid)));
                self.all_entries(entries).chain(processes).collect()
            }
            What::Tasks => [(1, text(self.pid.into()), self.nth(1, &TASK))].into(),
            What::Descriptors => {
                let Some(view) = kernel.view(self.pid) else { return Vec::new() };
                view.fds.iter().map(|(fd, _)| (fd, text(fd), self.descriptor(fd))).collect()
            }
            What::Text(_) | What::TextOf(_) | What::Link(_) | What::LinkOf(_) | What::Descriptor => {
                Vec::new()
            }
        }
    }

    /// Where a link leads; nothing for what is none.
    pub fn link(&self, kernel: &Kernel) -> Result<Option<Link>> {
        match self.entry.what {
            What::Link(target) => Ok(Some(Link::Path(target(kernel)))),
            What::LinkOf(target) => Ok(Some(Link::Path(target(kernel, &self.view(kernel)?)))),
            What::Descriptor => {
                let open = &self.view(kernel)?.fds.get(self.fd).map_err(|_| Errno::ENOENT)?.open;
                let text = process::descriptor(kernel, open, self.fd);
                Ok(Some(Link::File(open.file.clone(), text)))
            }
            _ => Ok(None),
        }
    }

    /// Opens a text.
    pub fn open(&self, kernel: &Kernel) -> Result<Rc<dyn File>> {
        let text = match self.entry.what {
            What::Text(text) => text(kernel),
            What::TextOf(text) => text(kernel, self.pid, &self.view(kernel)?),
            _ => return Err(Errno::ELOOP),
        };
        Ok(Rc::new(TextFile { text, stat: self.attributes().to_stat() }))
    }
}

/// The number that `name` is, written as numbers are.
fn number(name: &[u8]) -> Option<u64> {
    let number = core::str::from_utf8(name).ok().and_then(|name| name.parse::<u64>().ok());
    number.filter(|number| number.to_string().as_bytes() == name)
}
