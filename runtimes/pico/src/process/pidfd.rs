//! Process descriptors: pidfd_open(2).

use crate::errno::{Errno, Result};
use crate::file::{File, OpenFile, Ready};
use crate::kernel::Kernel;
use crate::net::{anonymous_stat, next_inode};
use crate::poll::install;
use alloc::rc::Rc;
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general as linux;
use linux_raw_sys::general::stat as Stat;

/// A process as its descriptors know it: readable once it has ended. Its id can be another's by then.
pub struct PidFd {
    pid: u32,
    ended: Cell<bool>,
    inode: u64,
}

impl PidFd {
    /// The process has ended.
    pub(super) fn note_end(&self) {
        self.ended.set(true);
    }
}

impl File for PidFd {
    fn stat(&self) -> Result<Stat> {
        Ok(anonymous_stat(0o600, self.inode))
    }

    fn ready(&self) -> Ready {
        if self.ended.get() { Ready::IN } else { Ready::empty() }
    }

    fn activity(&self) -> u64 {
        self.ended.get().into()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Kernel {
    /// A new descriptor of process `pid`. `flags`: `O_NONBLOCK` or nothing.
    pub(crate) fn open_pidfd(&mut self, pid: u32, flags: u32) -> Result<u64> {
        let new = || Rc::new(PidFd { pid, ended: Cell::new(false), inode: next_inode() });
        let record = self.processes.get_mut(pid)?;
        let file = record.pidfd.get_or_insert_with(new).clone();
        if record.ended.is_some() {
            file.note_end();
        }
        install(self, file, linux::O_RDWR | flags, true)
    }

    /// The process that `open` is a descriptor of: `EBADF` if of none, `ESRCH` if of one that is gone.
    pub(crate) fn process_of(&self, open: &OpenFile) -> Result<u32> {
        let file = open.file.as_any().downcast_ref::<PidFd>().ok_or(Errno::EBADF)?;
        let known = self.processes.get(file.pid)?.pidfd.as_deref();
        known.filter(|&known| core::ptr::eq(known, file)).map(|known| known.pid).ok_or(Errno::ESRCH)
    }
}
