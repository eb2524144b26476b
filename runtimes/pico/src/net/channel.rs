//! A one-way stream of bytes with two ends: half a socket pair or connection, or a whole pipe.

use super::budget::Budget;
use super::envelope::Envelope;
use super::marks::Marks;
use crate::errno::{Errno, Result};
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// Writes of at most this many bytes to a pipe go in whole or not at all.
pub const PIPE_BUF: usize = 4096;

/// Bytes of what all streams may hold that are kept for streams that hold nothing.
const RESERVED: usize = super::BUFFERED_MAX / 4;

/// The stream. Both ends hold it; each says when it goes.
pub struct Channel {
    data: RefCell<VecDeque<u8>>,
    capacity: Cell<usize>,
    /// Whether small writes go in whole or not at all.
    atomic: bool,
    read_closed: Cell<bool>,
    write_closed: Cell<bool>,
    /// A write found too little room since the last read.
    was_full: Cell<bool>,
    read_activity: Cell<u64>,
    write_activity: Cell<u64>,
    /// What lies beside the bytes, and where.
    marks: Marks,
    /// The writer went without having read what it was sent.
    reset: Cell<bool>,
    budget: Budget,
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Channel {
    /// An empty stream for `capacity` bytes; `atomic` gives it the rule of [`PIPE_BUF`].
    pub fn new(capacity: usize, atomic: bool, budget: Budget) -> Self {
        Self {
            data: RefCell::default(),
            capacity: Cell::new(capacity),
            atomic,
            read_closed: Cell::new(false),
            write_closed: Cell::new(false),
            was_full: Cell::new(false),
            read_activity: Cell::new(0),
            write_activity: Cell::new(0),
            marks: Marks::new(budget.clone()),
            reset: Cell::new(false),
            budget,
        }
    }

    /// Bytes to read.
    pub fn len(&self) -> usize {
        self.data.borrow().len()
    }

    /// Bytes it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity.get()
    }

    /// Sets how many bytes it holds at most; `EBUSY` if it holds more.
    pub fn set_capacity(&self, capacity: usize) -> Result<()> {
        if self.len() > capacity {
            return Err(Errno::EBUSY);
        }
        self.capacity.set(capacity);
        bump(&self.write_activity);
        Ok(())
    }

    /// Bytes of memory it holds on to.
    #[cfg(test)]
    pub(in crate::net) fn memory(&self) -> usize {
        self.data.borrow().capacity()
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes bytes out (or looks at them, with `peek`). 0 is the end; `EAGAIN` if there is nothing yet.
    pub fn read(&self, buf: &mut [u8], peek: bool) -> Result<usize> {
        self.read_with(buf, peek, &mut Envelope::default())
    }

    /// As `read`, with what lies beside the bytes. No read goes on behind bytes with descriptors.
    pub fn read_with(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<usize> {
        let mut data = self.data.borrow_mut();
        if self.read_closed.get() || buf.is_empty() {
            return Ok(0);
        }
        if data.is_empty() {
            return match self.write_closed.get() {
                _ if self.reset.take() => Err(Errno::ECONNRESET),
                true => Ok(0),
                false => Err(Errno::EAGAIN),
            };
        }
        let len = buf.len().min(data.len());
        let buf = &mut buf[..self.marks.take(len, peek, envelope)];
        let (front, back) = data.as_slices();
        let first = front.len().min(buf.len());
        buf[..first].copy_from_slice(&front[..first]);
        let second = back.len().min(buf.len() - first);
        buf[first..first + second].copy_from_slice(&back[..second]);
        let len = first + second;
        if !peek {
            data.drain(..len);
            self.budget.give(len);
            // Memory that is not needed goes back, as the budget only knows what is in use.
            if data.len() < data.capacity() / 4 {
                let needed = data.len() * 2;
                data.shrink_to(needed);
            }
            if self.was_full.take() {
                bump(&self.write_activity);
            }
        }
        Ok(len)
    }

    /// Puts in what fits. `EAGAIN` if nothing does, `EPIPE` if nobody will read it, `ENOBUFS` if nothing is left for it of
    /// what all streams may hold.
    pub fn write(&self, buf: &[u8]) -> Result<usize> {
        self.write_with(buf, &mut Envelope::default())
    }

    /// As `write`, with what lies beside the bytes, which is taken if anything is written.
    pub fn write_with(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        if self.read_closed.get() || self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        if buf.is_empty() {
            return Ok(0);
        }
        let room = self.room();
        let whole = self.atomic && buf.len() <= PIPE_BUF;
        if room == 0 || (whole && room < buf.len()) || !self.marks.has_room() {
            self.was_full.set(true);
            return Err(Errno::EAGAIN);
        }
        let len = room.min(buf.len());
        let len = if whole { len } else { len.min(self.budget.left().max(1)) };
        self.budget.take(len)?;
        if let Err(errno) = self.marks.add(len, envelope) {
            self.budget.give(len);
            return Err(errno);
        }
        self.data.borrow_mut().extend(&buf[..len]);
        if len < buf.len() {
            self.was_full.set(true);
        }
        bump(&self.read_activity);
        Ok(len)
    }

    /// Nothing more will be written: the reader sees the end behind what is in the stream.
    pub fn close_write(&self) {
        self.write_closed.set(true);
        bump(&self.read_activity);
    }

    /// Nobody reads any more; what is in the stream is dropped.
    pub fn close_read(&self) {
        self.read_closed.set(true);
        let dropped = core::mem::take(&mut *self.data.borrow_mut());
        self.budget.give(dropped.len());
        self.marks.clear();
        bump(&self.write_activity);
    }

    /// Says which ends are open; what is in the stream stays. For streams whose ends come and go.
    pub fn set_ends(&self, reading: bool, writing: bool) {
        if self.read_closed.replace(!reading) == reading {
            bump(&self.write_activity);
        }
        if self.write_closed.replace(!writing) == writing {
            bump(&self.read_activity);
        }
    }

    /// The writer goes, and what it was sent it has not read: the reader is told once.
    pub fn reset(&self) {
        self.reset.set(true);
    }

    /// Whether the reader is yet to be told of a reset.
    pub fn is_reset(&self) -> bool {
        self.reset.get()
    }

    /// Takes the error of a reset.
    pub fn take_reset(&self) -> bool {
        self.reset.take()
    }

    /// Whether the reader wants to know who wrote what (`SO_PASSCRED`).
    pub fn want_credentials(&self, wanted: bool) {
        self.marks.want_credentials(wanted);
    }

    /// Whether the writing end is closed.
    pub fn write_closed(&self) -> bool {
        self.write_closed.get()
    }

    /// Whether the reading end is closed.
    pub fn read_closed(&self) -> bool {
        self.read_closed.get()
    }

    /// Whether a read would not block.
    pub fn readable(&self) -> bool {
        self.read_closed.get() || self.write_closed.get() || !self.is_empty()
    }

    /// Whether a write would not block: there is room for a write that must go in whole.
    pub fn writable(&self) -> bool {
        self.read_closed.get() || self.write_closed.get() || self.room() >= PIPE_BUF.min(self.capacity.get())
    }

    /// Changes when there is something new for the reader.
    pub fn read_activity(&self) -> u64 {
        self.read_activity.get()
    }

    /// Changes when there is new room for a writer that found none, or the reader has gone.
    pub fn write_activity(&self) -> u64 {
        self.write_activity.get()
    }

    /// Bytes there is room for.
    pub fn room(&self) -> usize {
        self.share().saturating_sub(self.len())
    }

    /// Bytes it may hold: less the more all streams hold together, and the last of it is for those that hold nothing.
    fn share(&self) -> usize {
        let share = self.budget.left().saturating_sub(RESERVED) / 4;
        let least = if self.is_empty() { PIPE_BUF } else { 0 };
        share.max(least).min(self.capacity.get())
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.budget.give(self.data.borrow().len());
    }
}
