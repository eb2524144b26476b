//! The ends of connections between Unix sockets.

use super::envelope::Envelope;
use super::flow::Way;
use super::link::{Link, readiness};
use super::messages::Received;
use crate::errno::{Errno, Result};
use crate::file::Ready;
use alloc::rc::Rc;
use core::cell::Cell;

/// A connection to another Unix socket: two streams, or two queues of messages.
pub struct UnixLink<W: Way> {
    incoming: Rc<W>,
    outgoing: Rc<W>,
    aborts: Cell<bool>,
}

impl<W: Way> UnixLink<W> {
    /// The two ends of a connection made of `forth` and `back`.
    pub fn pair(forth: W, back: W) -> (Self, Self) {
        let (forth, back) = (Rc::new(forth), Rc::new(back));
        let end = |incoming, outgoing| Self { incoming, outgoing, aborts: Cell::new(false) };
        (end(back.clone(), forth.clone()), end(forth, back))
    }

    /// Tells of a reset, if that comes first.
    fn check(&self) -> Result<()> {
        let error = if W::RESET_FIRST { self.take_error() } else { None };
        error.map_or(Ok(()), Err)
    }
}

impl<W: Way> Link for UnixLink<W> {
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        self.check()?;
        self.incoming.receive(buf, peek, envelope)
    }

    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        self.check()?;
        self.outgoing.send(buf, envelope)
    }

    fn want_credentials(&self, wanted: bool) {
        self.incoming.want_credentials(wanted);
    }

    fn take_error(&self) -> Option<Errno> {
        self.incoming.flow().take_reset().then_some(Errno::ECONNRESET)
    }

    fn abort_on_close(&self, aborts: bool) {
        self.aborts.set(aborts);
    }

    fn ready(&self) -> Ready {
        let (incoming, outgoing) = (self.incoming.flow(), self.outgoing.flow());
        let (readable, writable) = (self.incoming.readable(), self.outgoing.writable());
        let mut ready = readiness(readable, writable, incoming.is_closed(), outgoing.is_closed());
        ready.set(Ready::ERR, incoming.is_reset());
        ready
    }

    fn activity(&self) -> u64 {
        self.incoming.flow().read_activity() + self.outgoing.flow().write_activity()
    }

    fn pending(&self) -> usize {
        self.incoming.pending()
    }

    fn shutdown(&self, read: bool, write: bool) {
        if read {
            self.incoming.close_read();
        }
        if write {
            self.outgoing.flow().close_write();
        }
    }
}

impl<W: Way> Drop for UnixLink<W> {
    fn drop(&mut self) {
        if self.aborts.get() || !self.incoming.is_empty() {
            self.outgoing.flow().reset();
        }
        self.shutdown(true, true);
    }
}
