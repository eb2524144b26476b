//! A one-way queue of messages: half a sequenced-packet connection, or what a datagram socket has not received yet.

use super::budget::Budget;
use super::envelope::Envelope;
use super::flow::{Flow, Way};
use crate::errno::{Errno, Result};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// Counted for every message beside its bytes, so that empty ones are limited too.
const OVERHEAD: usize = 64;

/// One message.
struct Message {
    bytes: Box<[u8]>,
    envelope: Envelope,
}

/// The queue.
pub struct Messages {
    queue: RefCell<VecDeque<Message>>,
    /// Bytes in the queue, overhead included.
    used: Cell<usize>,
    capacity: usize,
    flow: Flow,
    wants_credentials: Cell<bool>,
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
            flow: Flow::default(),
            wants_credentials: Cell::new(false),
            budget,
        }
    }

    /// Adds a message if less than `limit` bytes are queued, else it is lost, as are those there is no memory for.
    pub fn offer(&self, bytes: &[u8], envelope: &mut Envelope, limit: usize) {
        if !self.flow.read_closed() && self.used.get() < limit {
            // What cannot be kept is lost: nobody has promised that it arrives.
            let _lost = self.add(bytes, envelope);
        }
    }

    fn add(&self, bytes: &[u8], envelope: &mut Envelope) -> Result<usize> {
        let cost = bytes.len().saturating_add(OVERHEAD);
        self.budget.take(cost)?;
        self.used.set(self.used.get() + cost);
        let mut envelope = core::mem::take(envelope);
        if !envelope.explicit && !self.wants_credentials.get() {
            envelope.credentials = None;
        }
        self.queue.borrow_mut().push_back(Message { bytes: bytes.into(), envelope });
        self.flow.add_data();
        Ok(bytes.len())
    }

    fn release(&self, cost: usize) {
        self.used.set(self.used.get() - cost);
        self.budget.give(cost);
    }
}

impl Way for Messages {
    const RESET_FIRST: bool = true;

    fn flow(&self) -> &Flow {
        &self.flow
    }

    /// What does not fit into `buf` is lost.
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        let mut queue = self.queue.borrow_mut();
        let Some(message) = queue.front() else {
            return if self.flow.is_closed() { Ok(Received { len: 0, full: 0 }) } else { Err(Errno::EAGAIN) };
        };
        let len = message.bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&message.bytes[..len]);
        let full = message.bytes.len();
        if peek {
            *envelope = message.envelope.clone();
        } else if let Some(message) = queue.pop_front() {
            *envelope = message.envelope;
            self.release(full + OVERHEAD);
            self.flow.drain(self.has_room());
        }
        Ok(Received { len, full })
    }

    /// `EMSGSIZE` if the message can never fit, `EAGAIN` if it does not now.
    fn send(&self, bytes: &[u8], envelope: &mut Envelope) -> Result<usize> {
        if self.flow.is_closed() {
            return Err(Errno::EPIPE);
        }
        let cost = bytes.len().saturating_add(OVERHEAD);
        if cost > self.capacity {
            return Err(Errno::EMSGSIZE);
        }
        if cost > self.capacity - self.used.get().min(self.capacity) {
            self.flow.fill();
            return Err(Errno::EAGAIN);
        }
        self.add(bytes, envelope)
    }

    fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Bytes of the next message.
    fn pending(&self) -> usize {
        self.queue.borrow().front().map_or(0, |message| message.bytes.len())
    }

    fn has_room(&self) -> bool {
        self.used.get() <= self.capacity / 2
    }

    fn close_read(&self) {
        self.flow.close_read();
        let dropped = core::mem::take(&mut *self.queue.borrow_mut());
        self.release(self.used.get());
        drop(dropped);
    }

    fn want_credentials(&self, wanted: bool) {
        self.wants_credentials.set(wanted);
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.budget.give(self.used.get());
    }
}
