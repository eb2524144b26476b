//! Pipes: one stream with a file at each end.

use super::channel::Channel;
use super::fifo::FifoEnd;
use super::flow::Way;
use super::{Net, anonymous_stat, next_inode};
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use alloc::rc::Rc;
use core::any::Any;
use linux_raw_sys::general::{S_IFIFO, stat as Stat};
use linux_raw_sys::ioctl::FIONREAD;

/// Bytes a new pipe holds.
pub const CAPACITY: usize = 64 << 10;

/// One end of a pipe.
pub struct PipeEnd {
    channel: Rc<Channel>,
    writing: bool,
    inode: u64,
}

impl PipeEnd {
    /// A new pipe: its reading and its writing end.
    pub fn pair(net: &Net) -> (Self, Self) {
        let channel = Rc::new(Channel::new(CAPACITY, true, net.budget.clone()));
        let inode = next_inode();
        (Self { channel: channel.clone(), writing: false, inode }, Self { channel, writing: true, inode })
    }
}

/// The stream of a pipe or FIFO, if `file` is one.
pub fn channel_of(file: &dyn File) -> Option<&Channel> {
    let any = file.as_any();
    let pipe = any.downcast_ref().map(|end: &PipeEnd| &*end.channel);
    pipe.or_else(|| any.downcast_ref().map(FifoEnd::channel))
}

impl File for PipeEnd {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.writing { Err(Errno::EBADF) } else { self.channel.read(buf, false) }
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        if self.writing { self.channel.write(buf) } else { Err(Errno::EBADF) }
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anonymous_stat(S_IFIFO | 0o600, self.inode))
    }

    fn ready(&self) -> Ready {
        let mut ready = Ready::empty();
        if self.writing {
            ready.set(Ready::OUT, self.channel.writable());
            ready.set(Ready::ERR, self.channel.flow().read_closed());
        } else {
            ready.set(Ready::IN, !self.channel.is_empty());
            ready.set(Ready::HUP, self.channel.flow().write_closed());
        }
        ready
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn activity(&self) -> u64 {
        if self.writing { self.channel.flow().write_activity() } else { self.channel.flow().read_activity() }
    }

    fn ioctl(&self, command: u32, _argument: u64) -> Result<u64> {
        if command == FIONREAD { Ok(self.channel.pending() as u64) } else { Err(Errno::ENOTTY) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        if self.writing {
            self.channel.flow().close_write();
        } else {
            self.channel.close_read();
        }
    }
}
