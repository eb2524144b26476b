//! The ends of connections between Unix sockets.

use super::channel::Channel;
use super::envelope::Envelope;
use super::link::{Link, readiness, whole};
use super::messages::{Messages, Received};
use crate::errno::{Errno, Result};
use crate::file::Ready;
use alloc::rc::Rc;
use core::cell::Cell;

/// A byte stream to another Unix socket.
pub struct StreamLink {
    incoming: Rc<Channel>,
    outgoing: Rc<Channel>,
    aborts: Cell<bool>,
}

impl StreamLink {
    /// The two ends of a connection made of two streams.
    pub fn pair(forth: Channel, back: Channel) -> (Self, Self) {
        let (forth, back) = (Rc::new(forth), Rc::new(back));
        let end = |incoming, outgoing| Self { incoming, outgoing, aborts: Cell::new(false) };
        (end(back.clone(), forth.clone()), end(forth, back))
    }
}

impl Link for StreamLink {
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        self.incoming.read_with(buf, peek, envelope).map(whole)
    }

    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        self.outgoing.write_with(buf, envelope)
    }

    fn want_credentials(&self, wanted: bool) {
        self.incoming.want_credentials(wanted);
    }

    fn take_error(&self) -> Option<Errno> {
        self.incoming.take_reset().then_some(Errno::ECONNRESET)
    }

    fn abort_on_close(&self, aborts: bool) {
        self.aborts.set(aborts);
    }

    fn ready(&self) -> Ready {
        let (incoming, outgoing) = (&self.incoming, &self.outgoing);
        let no_more_in = incoming.write_closed() || incoming.read_closed();
        let no_more_out = outgoing.write_closed() || outgoing.read_closed();
        let mut ready = readiness(incoming.readable(), outgoing.writable(), no_more_in, no_more_out);
        ready.set(Ready::ERR, incoming.is_reset());
        ready
    }

    fn activity(&self) -> u64 {
        self.incoming.read_activity() + self.outgoing.write_activity()
    }

    fn pending(&self) -> usize {
        self.incoming.len()
    }

    fn shutdown(&self, read: bool, write: bool) {
        if read {
            self.incoming.close_read();
        }
        if write {
            self.outgoing.close_write();
        }
    }
}

impl Drop for StreamLink {
    fn drop(&mut self) {
        if self.aborts.get() || !self.incoming.is_empty() {
            self.outgoing.reset();
        }
        self.shutdown(true, true);
    }
}

/// Sequenced packets to and from another socket of this VM.
pub struct MessageLink {
    incoming: Rc<Messages>,
    outgoing: Rc<Messages>,
    aborts: Cell<bool>,
}

impl MessageLink {
    /// The two ends of a connection made of two queues.
    pub fn pair(forth: Messages, back: Messages) -> (Self, Self) {
        let (forth, back) = (Rc::new(forth), Rc::new(back));
        let end = |incoming, outgoing| Self { incoming, outgoing, aborts: Cell::new(false) };
        (end(back.clone(), forth.clone()), end(forth, back))
    }
}

impl Link for MessageLink {
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        match self.take_error() {
            Some(errno) => Err(errno),
            None => self.incoming.receive(buf, peek, envelope),
        }
    }

    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        match self.take_error() {
            Some(errno) => Err(errno),
            None => self.outgoing.send(buf, envelope),
        }
    }

    fn want_credentials(&self, wanted: bool) {
        self.incoming.want_credentials(wanted);
    }

    fn take_error(&self) -> Option<Errno> {
        self.incoming.take_reset().then_some(Errno::ECONNRESET)
    }

    fn abort_on_close(&self, aborts: bool) {
        self.aborts.set(aborts);
    }

    fn ready(&self) -> Ready {
        let (incoming, outgoing) = (&self.incoming, &self.outgoing);
        let no_more_in = incoming.write_closed() || incoming.read_closed();
        let no_more_out = outgoing.write_closed() || outgoing.read_closed();
        let mut ready = readiness(incoming.readable(), outgoing.writable(), no_more_in, no_more_out);
        ready.set(Ready::ERR, incoming.is_reset());
        ready
    }

    fn activity(&self) -> u64 {
        self.incoming.read_activity() + self.outgoing.write_activity()
    }

    fn pending(&self) -> usize {
        self.incoming.next_len()
    }

    fn shutdown(&self, read: bool, write: bool) {
        if read {
            self.incoming.close_read();
        }
        if write {
            self.outgoing.close_write();
        }
    }
}

impl Drop for MessageLink {
    fn drop(&mut self) {
        if self.aborts.get() || !self.incoming.is_empty() {
            self.outgoing.reset();
        }
        self.shutdown(true, true);
    }
}
