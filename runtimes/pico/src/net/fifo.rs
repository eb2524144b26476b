//! FIFOs: pipes that have a name, fifo(7).

use super::budget::Budget;
use super::channel::Channel;
use super::flow::Way;
use super::pipe::CAPACITY;
use super::unix::Place;
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::fs::memory::Inode;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::stat as Stat;
use linux_raw_sys::ioctl::FIONREAD;

/// A FIFO that somebody has open.
pub struct Fifo {
    channel: Channel,
    readers: Cell<u32>,
    writers: Cell<u32>,
    /// How often it was opened for reading, and for writing.
    read_opens: Cell<u64>,
    write_opens: Cell<u64>,
}

/// All FIFOs that are open.
#[derive(Default)]
pub struct Fifos(BTreeMap<Place, Weak<Fifo>>);

impl Fifos {
    /// The FIFO whose inode is at `place`.
    pub fn at(&mut self, place: Place, budget: &Budget) -> Rc<Fifo> {
        if let Some(fifo) = self.0.get(&place).and_then(Weak::upgrade) {
            return fifo;
        }
        self.0.retain(|_, fifo| fifo.strong_count() > 0);
        let fifo = Rc::new(Fifo {
            channel: Channel::new(CAPACITY, true, budget.clone()),
            readers: Cell::new(0),
            writers: Cell::new(0),
            read_opens: Cell::new(0),
            write_opens: Cell::new(0),
        });
        self.0.insert(place, Rc::downgrade(&fifo));
        fifo
    }
}

fn count(counter: &Cell<u32>, by: i32) {
    counter.set(counter.get().saturating_add_signed(by));
}

impl Fifo {
    /// Whether somebody has it open for reading.
    pub fn has_readers(&self) -> bool {
        self.readers.get() > 0
    }

    fn change(&self, reads: bool, writes: bool, by: i32) {
        if reads {
            count(&self.readers, by);
        }
        if writes {
            count(&self.writers, by);
        }
        self.channel.flow().set_ends(self.readers.get() > 0, self.writers.get() > 0);
    }
}

/// A FIFO as it was opened.
pub struct FifoEnd {
    fifo: Rc<Fifo>,
    inode: Rc<Inode>,
    reads: bool,
    writes: bool,
    /// How often it had been opened for reading when this was.
    read_opens: u64,
    /// The same for writing, if nobody had it open for writing then.
    write_opens: Option<u64>,
}

impl FifoEnd {
    /// Opens `fifo`, whose inode is `inode`.
    pub fn new(fifo: Rc<Fifo>, inode: Rc<Inode>, reads: bool, writes: bool) -> Self {
        let (read_opens, opens) = (fifo.read_opens.get(), fifo.write_opens.get());
        let write_opens = Some(opens).filter(|_| fifo.writers.get() == 0);
        fifo.change(reads, writes, 1);
        fifo.read_opens.set(read_opens + u64::from(reads));
        fifo.write_opens.set(opens + u64::from(writes));
        Self { fifo, inode, reads, writes, read_opens, write_opens }
    }

    /// Its stream.
    pub fn channel(&self) -> &Channel {
        &self.fifo.channel
    }

    /// Its inode.
    pub fn inode(&self) -> &Rc<Inode> {
        &self.inode
    }

    /// Whether somebody has had it open for writing then or since.
    fn has_had_writer(&self) -> bool {
        self.write_opens.is_none_or(|opens| opens != self.fifo.write_opens.get())
    }

    /// Whether there is, or was since it was opened, somebody at the other end.
    pub fn has_met(&self) -> bool {
        let fifo = &self.fifo;
        let reader = fifo.readers.get() > 0 || fifo.read_opens.get() != self.read_opens;
        let writer = fifo.writers.get() > 0 || self.has_had_writer();
        (self.reads || reader) && (self.writes || writer)
    }
}

impl File for FifoEnd {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.reads { self.fifo.channel.read(buf, false) } else { Err(Errno::EBADF) }
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        if self.writes { self.fifo.channel.write(buf) } else { Err(Errno::EBADF) }
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.inode.attributes().to_stat())
    }

    fn ready(&self) -> Ready {
        let fifo = &self.fifo;
        let mut ready = Ready::empty();
        if self.reads {
            ready.set(Ready::IN, !fifo.channel.is_empty());
            ready.set(Ready::HUP, fifo.writers.get() == 0 && self.has_had_writer());
        }
        if self.writes {
            ready.set(Ready::OUT, fifo.channel.writable());
            ready.set(Ready::ERR, fifo.readers.get() == 0);
        }
        ready
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn activity(&self) -> u64 {
        self.fifo.channel.flow().read_activity() + self.fifo.channel.flow().write_activity()
    }

    fn ioctl(&self, command: u32, _argument: u64) -> Result<u64> {
        if command == FIONREAD { Ok(self.fifo.channel.pending() as u64) } else { Err(Errno::ENOTTY) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for FifoEnd {
    fn drop(&mut self) {
        self.fifo.change(self.reads, self.writes, -1);
    }
}
