//! A one-way queue of messages: half a datagram or sequenced-packet socket pair.

use super::budget::Budget;
use crate::errno::{Errno, Result};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// Counted for every message beside its bytes, so that empty ones are limited too.
const OVERHEAD: usize = 64;

/// The queue. Both ends hold it; each says when it goes.
pub struct Messages {
    queue: RefCell<VecDeque<Box<[u8]>>>,
    /// Bytes in the queue, overhead included.
    used: Cell<usize>,
    capacity: usize,
    read_closed: Cell<bool>,
    write_closed: Cell<bool>,
    was_full: Cell<bool>,
    read_activity: Cell<u64>,
    write_activity: Cell<u64>,
    budget: Budget,
}

/// A message as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that were put into the buffer.
    pub len: usize,
    /// Bytes the message had; more than `len` if it was cut.
    pub full: usize,
}

impl Messages {
    /// An empty queue for `capacity` bytes.
    pub fn new(capacity: usize, budget: Budget) -> Self {
        Self {
            queue: RefCell::default(),
            used: Cell::new(0),
            capacity,
            read_closed: Cell::new(false),
            write_closed: Cell::new(false),
            was_full: Cell::new(false),
            read_activity: Cell::new(0),
            write_activity: Cell::new(0),
            budget,
        }
    }

    /// Takes the next message (or looks at it, with `peek`); what does not fit into `buf` is lost. `EAGAIN` if there is
    /// none; none of no bytes at the end.
    pub fn receive(&self, buf: &mut [u8], peek: bool) -> Result<Received> {
        let mut queue = self.queue.borrow_mut();
        let Some(message) = queue.front() else {
            let ended = self.write_closed.get() || self.read_closed.get();
            return if ended { Ok(Received { len: 0, full: 0 }) } else { Err(Errno::EAGAIN) };
        };
        let len = message.len().min(buf.len());
        buf[..len].copy_from_slice(&message[..len]);
        let full = message.len();
        if !peek {
            queue.pop_front();
            self.release(full + OVERHEAD);
            if self.was_full.take() {
                self.write_activity.set(self.write_activity.get() + 1);
            }
        }
        Ok(Received { len, full })
    }

    /// Adds a message: whole, or `EMSGSIZE` if it can never fit, `EAGAIN` if it does not now.
    pub fn send(&self, bytes: &[u8]) -> Result<usize> {
        if self.read_closed.get() || self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        let cost = bytes.len().saturating_add(OVERHEAD);
        if cost > self.capacity {
            return Err(Errno::EMSGSIZE);
        }
        if cost > self.capacity - self.used.get() {
            self.was_full.set(true);
            return Err(Errno::EAGAIN);
        }
        self.budget.take(cost)?;
        self.used.set(self.used.get() + cost);
        self.queue.borrow_mut().push_back(bytes.into());
        self.read_activity.set(self.read_activity.get() + 1);
        Ok(bytes.len())
    }

    /// Bytes of the next message.
    pub fn next_len(&self) -> usize {
        self.queue.borrow().front().map_or(0, |message| message.len())
    }

    /// Nothing more will be sent.
    pub fn close_write(&self) {
        self.write_closed.set(true);
        self.read_activity.set(self.read_activity.get() + 1);
    }

    /// Nobody receives any more; what is queued is dropped.
    pub fn close_read(&self) {
        self.read_closed.set(true);
        self.queue.borrow_mut().clear();
        self.release(self.used.get());
        self.write_activity.set(self.write_activity.get() + 1);
    }

    /// Whether the sending end is closed.
    pub fn write_closed(&self) -> bool {
        self.write_closed.get()
    }

    /// Whether the receiving end is closed.
    pub fn read_closed(&self) -> bool {
        self.read_closed.get()
    }

    /// Whether receiving would not block.
    pub fn readable(&self) -> bool {
        self.read_closed.get() || self.write_closed.get() || !self.queue.borrow().is_empty()
    }

    /// Whether a message of moderate size can be sent.
    pub fn writable(&self) -> bool {
        self.read_closed.get() || self.write_closed.get() || self.used.get() <= self.capacity / 2
    }

    /// Changes when there is something new for the receiver.
    pub fn read_activity(&self) -> u64 {
        self.read_activity.get()
    }

    /// Changes when there is new room for a sender that found none, or the receiver has gone.
    pub fn write_activity(&self) -> u64 {
        self.write_activity.get()
    }

    fn release(&self, cost: usize) {
        self.used.set(self.used.get() - cost);
        self.budget.give(cost);
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.budget.give(self.used.get());
    }
}
