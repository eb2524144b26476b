//! A response that goes out in parts (HTTP, or in chunks): as far as it was written when the program waits, or when there is no more room.
//!
//! A response that is complete before either happens is handed over as a whole, with one doorbell.

use super::{Inbound, State};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use abi::mailbox::Doorbell;

/// Most bytes of a part after the first. They lie in memory the first part has touched, and the host need not hold more.
const PART_MAX: usize = 256 << 10;

impl Inbound {
    /// How much of `bytes` there is room for. What does not fit waits until a part was handed over, if there is one.
    pub(super) fn what_fits<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        match self.room() {
            0 if self.has_part() => Err(Errno::EAGAIN),
            0 => Ok(bytes),
            room => Ok(&bytes[..bytes.len().min(room)]),
        }
    }

    /// Bytes there is room for now.
    pub(super) fn room(&self) -> usize {
        self.capacity().saturating_sub(self.written)
    }

    /// Whether there is no room for more until a part was handed over.
    pub fn is_full(&self) -> bool {
        self.written >= self.capacity() && self.has_part()
    }

    fn capacity(&self) -> usize {
        if self.in_parts { self.response.len().min(PART_MAX) } else { self.response.len() }
    }

    /// Whether there are bytes of a response that goes on, and whose head is complete.
    fn has_part(&self) -> bool {
        self.state == State::Responding && self.written > self.watch.start() && self.watch.is_past_head()
    }

    /// Puts the next part where the host looks for it; its length. The area counts as empty afterwards.
    pub(super) fn take_part(&mut self) -> Option<usize> {
        if !self.has_part() && self.output_ended != Some(false) {
            return None;
        }
        self.output_ended = self.output_ended.map(|_| true);
        let (start, end) = (self.watch.start(), self.written);
        self.response.copy_within(start..end, 0);
        self.watch.restart();
        self.written = 0;
        self.in_parts = true;
        self.activity += 1;
        Some(end - start)
    }
}

impl Kernel {
    /// Hands over what there is of a response that goes on. Returns whether there was anything.
    pub(crate) fn hand_over_part(&mut self) -> bool {
        let (part, is_last) = {
            let mut inbound = self.inbound.borrow_mut();
            (inbound.take_part(), inbound.output_ended.is_some())
        };
        let Some(len) = part else { return false };
        self.platform.set_response_len(len as u64);
        self.ring(Doorbell::Part, [is_last.into(), 0, 0, 0]);
        true
    }

    /// Hands a part over if there is no room for more. Returns whether there was none. To be asked after a write that was cut
    /// short: between system calls [`Kernel::settle`] sees to it.
    pub(crate) fn make_room(&mut self) -> bool {
        let is_full = self.inbound.borrow().is_full();
        is_full && self.hand_over_part()
    }
}
