//! `/proc` and `/sys`: texts that are generated when they are opened.
//!
//! Only what programs are known to read; every figure is true for this VM or left out.

mod process;
mod system;

pub use system::RELEASE;

use super::attributes::Attributes;
use super::files::TextFile;
use super::node::Link;
use crate::errno::{Errno, Result};
use crate::file::File;
use crate::kernel::Kernel;
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
    /// `/proc/self/fd`.
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

/// `/proc`.
pub static PROC: Entry = dir(
    "proc",
    &[
        dir("1", PROCESS),
        link("self", |_| b"1".into()),
        link("thread-self", |_| b"1/task/1".into()),
        link("mounts", |_| b"self/mounts".into()),
        file("cpuinfo", system::cpuinfo),
        file("filesystems", |_| {
            b"\terofs\nnodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\nnodev\tdevtmpfs\n".into()
        }),
        file("loadavg", |_| b"0.00 0.00 0.00 1/1 1\n".into()),
        file("meminfo", system::meminfo),
        file("stat", system::stat),
        dir("spore", &[file("system_calls", system::system_calls)]),
        file("uptime", system::uptime),
        file("version", system::version),
        dir(
            "sys",
            &[
                dir("fs", &[file("file-max", |_| b"1024\n".into()), file("nr_open", |_| b"1024\n".into())]),
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
    ],
);

const PROCESS: &[Entry] = &[
    file("cgroup", |_| b"0::/\n".into()),
    file("cmdline", |kernel| kernel.vfs.place.program.arguments.clone()),
    file("comm", process::comm),
    link("cwd", |kernel| kernel.vfs.place.cwd.path(kernel).unwrap_or_else(|_| kernel.vfs.place.cwd.path_then().into())),
    file("environ", |kernel| kernel.vfs.place.program.environment.clone()),
    link("exe", process::exe),
    Entry { name: "fd", what: What::Descriptors },
    file("limits", process::limits),
    file("maps", process::maps),
    file("mountinfo", process::mountinfo),
    file("mounts", process::mounts),
    file("oom_score_adj", |_| b"0\n".into()),
    link("root", |_| b"/".into()),
    file("stat", process::stat),
    file("statm", process::statm),
    file("status", process::status),
    dir(
        "task",
        &[dir(
            "1",
            &[
                file("comm", process::comm),
                file("maps", process::maps),
                file("stat", process::stat),
                file("statm", process::statm),
                file("status", process::status),
            ],
        )],
    ),
];

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
    /// For links in `/proc/self/fd`: which.
    fd: u64,
}

/// A node has fewer children than this, so that an inode number can be made from the parent's.
const FANOUT: u64 = 64;

impl Generated {
    /// The root of a tree.
    pub fn root(entry: &'static Entry, dev: u64) -> Self {
        Self { entry, dev, ino: 1, fd: 0 }
    }

    fn nth(&self, index: u64, entry: &'static Entry) -> Self {
        Self { entry, dev: self.dev, ino: self.ino * FANOUT + index, fd: 0 }
    }

    fn descriptor(&self, fd: u64) -> Self {
        Self { entry: &DESCRIPTOR, dev: self.dev, ino: (1 << 32) + fd, fd }
    }

    /// Metadata for stat(2).
    pub fn attributes(&self) -> Attributes {
        let mode = match self.entry.what {
            What::Dir(_) | What::Descriptors => S_IFDIR | 0o555,
            What::Text(_) => S_IFREG | 0o444,
            What::Link(_) => S_IFLNK | 0o777,
            What::Descriptor => S_IFLNK | 0o700,
        };
        let nlink = if mode & S_IFDIR == S_IFDIR { 2 } else { 1 };
        Attributes { dev: self.dev, ino: self.ino, mode, nlink, ..Attributes::default() }
    }

    /// What `name` is in this directory.
    pub fn child(&self, kernel: &Kernel, name: &[u8]) -> Result<Option<Self>> {
        match self.entry.what {
            What::Dir(entries) => {
                let found = entries.iter().zip(1..).find(|(entry, _)| entry.name.as_bytes() == name);
                Ok(found.map(|(entry, index)| self.nth(index, entry)))
            }
            What::Descriptors => {
                let fd = core::str::from_utf8(name).ok().and_then(|name| name.parse::<u64>().ok());
                let fd = fd.filter(|fd| fd.to_string().as_bytes() == name && kernel.fds.get(*fd).is_ok());
                Ok(fd.map(|fd| self.descriptor(fd)))
            }
            What::Text(_) | What::Link(_) | What::Descriptor => Err(Errno::ENOTDIR),
        }
    }

    /// What is in this directory: position, name, file.
    pub fn children(&self, kernel: &Kernel) -> Vec<(u64, Vec<u8>, Self)> {
        match self.entry.what {
            What::Dir(entries) => {
                let numbered = entries.iter().zip(1..);
                numbered.map(|(entry, index)| (index, entry.name.into(), self.nth(index, entry))).collect()
            }
            What::Descriptors => {
                let name = |fd: u64| fd.to_string().into_bytes();
                kernel.fds.iter().map(|(fd, _)| (fd, name(fd), self.descriptor(fd))).collect()
            }
            What::Text(_) | What::Link(_) | What::Descriptor => Vec::new(),
        }
    }

    /// Where a link leads; nothing for what is none.
    pub fn link(&self, kernel: &Kernel) -> Result<Option<Link>> {
        match self.entry.what {
            What::Link(target) => Ok(Some(Link::Path(target(kernel)))),
            What::Descriptor => {
                let open = &kernel.fds.get(self.fd).map_err(|_| Errno::ENOENT)?.open;
                let text = process::descriptor(kernel, open, self.fd);
                Ok(Some(Link::File(open.file.clone(), text)))
            }
            What::Dir(_) | What::Text(_) | What::Descriptors => Ok(None),
        }
    }

    /// Opens a text.
    pub fn open(&self, kernel: &Kernel) -> Result<Rc<dyn File>> {
        match self.entry.what {
            What::Text(text) => {
                Ok(Rc::new(TextFile { text: text(kernel), stat: self.attributes().to_stat() }))
            }
            What::Dir(_) | What::Link(_) | What::Descriptors | What::Descriptor => Err(Errno::ELOOP),
        }
    }
}
