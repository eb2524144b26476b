//! A one-way queue of messages: half a sequenced-packet connection, or what a datagram socket has not received yet.

use super::budget::Budget;
use super::envelope::Envelope;
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

/// The queue. Both ends hold it; each says when it goes.
pub struct Messages {
    queue: RefCell<VecDeque<Message>>,
    /// Bytes in the queue, overhead included.
    used: Cell<usize>,
    capacity: usize,
    read_closed: Cell<bool>,
    write_closed: Cell<bool>,
    was_full: Cell<bool>,
    read_activity: Cell<u64>,
    write_activity: Cell<u64>,
    wants_credentials: Cell<bool>,
    /// The sender went without having received what it was sent, or was never accepted.
    reset: Cell<bool>,
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
            wants_credentials: Cell::new(false),
            reset: Cell::new(false),
            budget,
        }
    }

    /// Takes the next message (or looks at it, with `peek`); what does not fit into `buf` is lost. `EAGAIN` if there is
    /// none; none of no bytes at the end.
    pub fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        let mut queue = self.queue.borrow_mut();
        let Some(message) = queue.front() else {
            let ended = self.write_closed.get() || self.read_closed.get();
            return if ended { Ok(Received { len: 0, full: 0 }) } else { Err(Errno::EAGAIN) };
        };
        let len = message.bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&message.bytes[..len]);
        let full = message.bytes.len();
        if peek {
            *envelope = message.envelope.clone();
        } else if let Some(message) = queue.pop_front() {
            *envelope = message.envelope;
            self.release(full + OVERHEAD);
            if self.was_full.take() {
                self.write_activity.set(self.write_activity.get() + 1);
            }
        }
        Ok(Received { len, full })
    }

    /// Adds a message: whole, or `EMSGSIZE` if it can never fit, `EAGAIN` if it does not now. Takes the envelope.
    pub fn send(&self, bytes: &[u8], envelope: &mut Envelope) -> Result<usize> {
        if self.read_closed.get() || self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        let cost = bytes.len().saturating_add(OVERHEAD);
        if cost > self.capacity {
            return Err(Errno::EMSGSIZE);
        }
        if cost > self.capacity - self.used.get().min(self.capacity) {
            self.was_full.set(true);
            return Err(Errno::EAGAIN);
        }
        self.add(bytes, envelope)
    }

    /// Adds a message if less than `limit` bytes are queued, else it is lost, as are those there is no memory for.
    pub fn offer(&self, bytes: &[u8], envelope: &mut Envelope, limit: usize) {
        if !self.read_closed.get() && self.used.get() < limit {
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
        self.read_activity.set(self.read_activity.get() + 1);
        Ok(bytes.len())
    }

    /// Whether the receiver wants to know who sent what (`SO_PASSCRED`).
    pub fn want_credentials(&self, wanted: bool) {
        self.wants_credentials.set(wanted);
    }

    /// The sender goes, and what it was sent it has not received: the receiver is told once.
    pub fn reset(&self) {
        self.reset.set(true);
    }

    /// Whether the receiver is yet to be told of a reset.
    pub fn is_reset(&self) -> bool {
        self.reset.get()
    }

    /// Takes the error of a reset.
    pub fn take_reset(&self) -> bool {
        self.reset.take()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Bytes of the next message.
    pub fn next_len(&self) -> usize {
        self.queue.borrow().front().map_or(0, |message| message.bytes.len())
    }

    /// Nothing more will be sent.
    pub fn close_write(&self) {
        self.write_closed.set(true);
        self.read_activity.set(self.read_activity.get() + 1);
    }

    /// Nobody will send or wait any more; what is queued can be received.
    pub fn end(&self) {
        self.read_closed.set(true);
        self.read_activity.set(self.read_activity.get() + 1);
    }

    /// Nobody receives any more; what is queued is dropped.
    pub fn close_read(&self) {
        self.read_closed.set(true);
        let dropped = core::mem::take(&mut *self.queue.borrow_mut());
        self.release(self.used.get());
        drop(dropped);
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
