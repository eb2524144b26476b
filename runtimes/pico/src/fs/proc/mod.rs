//! `/proc` and `/sys`: texts that are generated when they are opened.
//!
//! Only what programs are known to read; every figure is true for this VM or left out.

mod process;
mod system;
mod task;
mod tree;

pub use system::RELEASE;
pub use tree::{Entry, PROC, SYS};

use super::attributes::Attributes;
use super::files::TextFile;
use super::node::Link;
use crate::errno::{Errno, Result};
use crate::file::File;
use crate::kernel::Kernel;
use crate::process::View;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFREG};
use tree::{DESCRIPTOR, DESCRIPTOR_TEXT, PROCESS_DIR, TASK, What};

/// A file of a generated tree.
#[derive(Clone, Copy)]
pub struct Generated {
    entry: &'static Entry,
    dev: u64,
    ino: u64,
    /// In `/proc/PID/fd` and `fdinfo`: which descriptor. In `/proc/PID/task`: which thread.
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
/// The same for threads.
const FIRST_TASK: u64 = 1 << 25;

impl Generated {
    /// The root of a tree.
    pub fn root(entry: &'static Entry, dev: u64) -> Self {
        Self { entry, dev, ino: 1, fd: 0, pid: 0 }
    }

    fn nth(&self, index: u64, entry: &'static Entry) -> Self {
        Self { entry, dev: self.dev, ino: self.ino * FANOUT + index, fd: self.fd, pid: self.pid }
    }

    fn task(&self, tid: u32) -> Self {
        Self { entry: &TASK, dev: self.dev, ino: FIRST_TASK + u64::from(tid), fd: tid.into(), pid: self.pid }
    }

    fn descriptor(&self, entry: &'static Entry, fd: u64) -> Self {
        Self { entry, dev: self.dev, ino: self.ino * DESCRIPTORS + fd, fd, pid: self.pid }
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
            What::Dir(_) | What::Processes(_) | What::Tasks | What::Descriptors | What::DescriptorTexts => {
                S_IFDIR | 0o555
            }
            What::Text(_)
            | What::TextOf(_)
            | What::LongTextOf(..)
            | What::TextOfTask(_)
            | What::DescriptorText => S_IFREG | 0o444,
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
                let tid = number(name).and_then(|tid| u32::try_from(tid).ok());
                Ok(tid
                    .filter(|&tid| kernel.threads.process_of(tid) == Some(self.pid))
                    .map(|tid| self.task(tid)))
            }
            What::Descriptors | What::DescriptorTexts => {
                let fds = self.view(kernel)?.fds;
                let fd = number(name).filter(|fd| fds.get(*fd).is_ok());
                Ok(fd.map(|fd| self.descriptor(self.of_descriptors(), fd)))
            }
            _ => Err(Errno::ENOTDIR),
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
            What::Tasks => {
                let tids = kernel.threads.of_process(self.pid);
                tids.map(|tid| (tid.into(), text(tid.into()), self.task(tid))).collect()
            }
            What::Descriptors | What::DescriptorTexts => {
                let Some(view) = kernel.view(self.pid) else { return Vec::new() };
                let entry = self.of_descriptors();
                view.fds.iter().map(|(fd, _)| (fd, text(fd), self.descriptor(entry, fd))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What is in this directory of descriptors.
    fn of_descriptors(&self) -> &'static Entry {
        if matches!(self.entry.what, What::DescriptorTexts) { &DESCRIPTOR_TEXT } else { &DESCRIPTOR }
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
            What::LongTextOf(len, text) => {
                let view = self.view(kernel)?;
                let mut target = kernel.room_for_text(len(&view))?;
                text(&view, &mut target);
                target.into_bytes()
            }
            What::TextOfTask(text) => {
                let tid = u32::try_from(self.fd).map_err(|_| Errno::ESRCH)?;
                text(kernel, self.pid, &self.view(kernel)?, tid)
            }
            What::DescriptorText => {
                let view = self.view(kernel)?;
                task::descriptor(view.fds.get(self.fd).map_err(|_| Errno::ENOENT)?)
            }
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
