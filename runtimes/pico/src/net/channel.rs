//! A one-way stream of bytes with two ends: half a socket pair or connection, or a whole pipe.

use super::budget::Budget;
use super::envelope::Envelope;
use super::flow::{Flow, Way};
use super::link::whole;
use super::marks::Marks;
use super::messages::Received;
use crate::errno::{Errno, Result};
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// Writes of at most this many bytes to a pipe go in whole or not at all.
pub const PIPE_BUF: usize = 4096;

/// Bytes of what all streams may hold that are kept for streams that hold nothing.
const RESERVED: usize = super::BUFFERED_MAX / 4;

/// The stream.
pub struct Channel {
    data: RefCell<VecDeque<u8>>,
    capacity: Cell<usize>,
    /// Whether small writes go in whole or not at all.
    atomic: bool,
    flow: Flow,
    /// What lies beside the bytes, and where.
    marks: Marks,
    budget: Budget,
}

impl Channel {
    /// An empty stream for `capacity` bytes; `atomic` gives it the rule of [`PIPE_BUF`].
    pub fn new(capacity: usize, atomic: bool, budget: Budget) -> Self {
        Self {
            data: RefCell::default(),
            capacity: Cell::new(capacity),
            atomic,
            flow: Flow::default(),
            marks: Marks::new(budget.clone()),
            budget,
        }
    }

    /// Bytes it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity.get()
    }

    /// Sets how many bytes it holds at most; `EBUSY` if it holds more.
    pub fn set_capacity(&self, capacity: usize) -> Result<()> {
        if self.pending() > capacity {
            return Err(Errno::EBUSY);
        }
        self.capacity.set(capacity);
        self.flow.add_room();
        Ok(())
    }

    /// Bytes of memory it holds on to.
    #[cfg(test)]
    pub(in crate::net) fn memory(&self) -> usize {
        self.data.borrow().capacity()
    }

    /// Takes bytes out (or looks at them, with `peek`). 0 is the end; `EAGAIN` if there is nothing yet.
    pub fn read(&self, buf: &mut [u8], peek: bool) -> Result<usize> {
        self.read_with(buf, peek, &mut Envelope::default())
    }

    /// As `read`, with what lies beside the bytes. No read goes on behind bytes with descriptors.
    pub fn read_with(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<usize> {
        let mut data = self.data.borrow_mut();
        if self.flow.read_closed() || buf.is_empty() {
            return Ok(0);
        }
        if data.is_empty() {
            return match self.flow.write_closed() {
                _ if self.flow.take_reset() => Err(Errno::ECONNRESET),
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
            drop(data);
            self.flow.drain(self.has_room());
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
        if self.flow.is_closed() {
            return Err(Errno::EPIPE);
        }
        if buf.is_empty() {
            return Ok(0);
        }
        let room = self.room();
        let whole = self.atomic && buf.len() <= PIPE_BUF;
        if room == 0 || (whole && room < buf.len()) || !self.marks.has_room() {
            self.flow.fill();
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
            self.flow.fill();
        }
        self.flow.add_data();
        Ok(len)
    }

    /// Bytes there is room for.
    pub fn room(&self) -> usize {
        self.share().saturating_sub(self.pending())
    }

    /// Bytes it may hold: less the more all streams hold together, and the last of it is for those that hold nothing.
    fn share(&self) -> usize {
        let share = self.budget.left().saturating_sub(RESERVED) / 4;
        let least = if self.is_empty() { PIPE_BUF } else { 0 };
        share.max(least).min(self.capacity.get())
    }
}

impl Way for Channel {
    const RESET_FIRST: bool = false;

    fn flow(&self) -> &Flow {
        &self.flow
    }

    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        self.read_with(buf, peek, envelope).map(whole)
    }

    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        self.write_with(buf, envelope)
    }

    fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    fn pending(&self) -> usize {
        self.data.borrow().len()
    }

    /// There is room for a write that must go in whole.
    fn has_room(&self) -> bool {
        self.room() >= PIPE_BUF.min(self.capacity.get())
    }

    fn close_read(&self) {
        self.flow.close_read();
        let dropped = core::mem::take(&mut *self.data.borrow_mut());
        self.budget.give(dropped.len());
        self.marks.clear();
    }

    fn want_credentials(&self, wanted: bool) {
        self.marks.want_credentials(wanted);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.budget.give(self.data.borrow().len());
    }
}
