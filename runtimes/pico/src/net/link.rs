//! The connected ends of sockets: what carries the bytes.

use super::envelope::Envelope;
use super::messages::Received;
use crate::errno::{Errno, Result};
use crate::file::Ready;
use crate::inbound;
use crate::inbound::api;
use core::cell::{Cell, RefCell};

/// One end of a connection. Dropping it closes it.
pub trait Link {
    /// Receives into `buf`, and into `envelope` what lies beside the data; with `peek` the data stays.
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received>;
    /// Sends what fits (a message: all of it); takes the envelope if anything is sent.
    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize>;
    /// Readiness now.
    fn ready(&self) -> Ready;
    /// See [`crate::file::File::activity`].
    fn activity(&self) -> u64;
    /// Bytes that can be read at once (`FIONREAD`).
    fn pending(&self) -> usize;
    /// Ends one or both directions.
    fn shutdown(&self, read: bool, write: bool);
    /// Whether who sent what is asked for (`SO_PASSCRED`).
    fn want_credentials(&self, _wanted: bool) {}
    /// The pending error (`SO_ERROR`), which is taken.
    fn take_error(&self) -> Option<Errno> {
        None
    }
    /// See [`crate::file::File::takes_request`].
    fn takes_request(&self) -> bool {
        false
    }
    /// Sends what fits, the last byte of it as urgent data (`MSG_OOB`).
    fn send_urgent(&self, _buf: &[u8]) -> Result<usize> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Receives the urgent byte.
    fn receive_urgent(&self, _peek: bool) -> Result<u8> {
        Err(Errno::EINVAL)
    }
    /// Whether urgent data stays in the stream (`SO_OOBINLINE`).
    fn set_inline(&self, _inline: bool) {}
    /// Whether the connection is no more: reset, or ended from both sides.
    fn is_over(&self) -> bool {
        false
    }
    /// Whether the next byte is the urgent one (`SIOCATMARK`).
    fn at_mark(&self) -> bool {
        false
    }
    /// How often urgent data has arrived.
    fn urgencies(&self) -> u64 {
        0
    }
    /// Whether closing is a reset whatever was read: of connections that were never accepted, and with `SO_LINGER` of 0.
    fn abort_on_close(&self, _aborts: bool) {}
}

pub(super) fn whole(len: usize) -> Received {
    Received { len, full: len }
}

pub(super) fn readiness(readable: bool, writable: bool, no_more_in: bool, no_more_out: bool) -> Ready {
    let mut ready = Ready::empty();
    ready.set(Ready::IN, readable);
    ready.set(Ready::OUT, writable);
    ready.set(Ready::RDHUP, no_more_in);
    ready.set(Ready::HUP, no_more_in && no_more_out);
    ready
}

/// The connection the request arrives on. Unless it was upgraded, or the client goes while its body is read, it never ends
/// from the client's side: clients keep connections open.
pub struct InboundLink {
    inbound: inbound::Shared,
    read_closed: Cell<bool>,
    write_closed: Cell<bool>,
}

impl InboundLink {
    /// The connection for the request in `inbound`, which was just taken.
    pub fn new(inbound: inbound::Shared) -> Self {
        Self { inbound, read_closed: Cell::new(false), write_closed: Cell::new(false) }
    }
}

impl Link for InboundLink {
    fn receive(&self, buf: &mut [u8], peek: bool, _envelope: &mut Envelope) -> Result<Received> {
        if self.read_closed.get() || buf.is_empty() {
            return Ok(whole(0));
        }
        self.inbound.borrow_mut().receive(buf, peek).map(whole)
    }

    fn send(&self, buf: &[u8], _envelope: &mut Envelope) -> Result<usize> {
        if self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        self.inbound.borrow_mut().respond_http(buf)
    }

    fn ready(&self) -> Ready {
        let (more, ended) = self.inbound.borrow().look();
        let (read, write) = (self.read_closed.get(), self.write_closed.get());
        readiness(read || more, true, read || ended, write)
    }

    fn activity(&self) -> u64 {
        self.inbound.borrow().activity()
    }

    fn pending(&self) -> usize {
        self.inbound.borrow().count_unread()
    }

    fn shutdown(&self, read: bool, write: bool) {
        let mut inbound = self.inbound.borrow_mut();
        if read && !self.read_closed.replace(true) {
            inbound.close_input();
        }
        if write {
            self.write_closed.set(true);
        }
        if self.write_closed.get() {
            inbound.close_output(!self.read_closed.get());
        }
    }
}

impl Drop for InboundLink {
    fn drop(&mut self) {
        self.shutdown(true, true);
    }
}

/// A connection to the Runtime API, which pico itself answers.
pub struct ApiLink {
    connection: RefCell<api::connection::Connection>,
    read_closed: Cell<bool>,
    write_closed: Cell<bool>,
}

impl ApiLink {
    /// A new connection to `server`.
    pub fn new(server: api::Shared) -> Self {
        let connection = RefCell::new(api::connection::Connection::new(server));
        Self { connection, read_closed: Cell::new(false), write_closed: Cell::new(false) }
    }
}

impl Link for ApiLink {
    fn receive(&self, buf: &mut [u8], peek: bool, _envelope: &mut Envelope) -> Result<Received> {
        if self.read_closed.get() {
            return Ok(whole(0));
        }
        self.connection.borrow_mut().receive(buf, peek).map(whole)
    }

    fn send(&self, buf: &[u8], _envelope: &mut Envelope) -> Result<usize> {
        if self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        self.connection.borrow_mut().send(buf)
    }

    fn ready(&self) -> Ready {
        let connection = self.connection.borrow();
        let no_more_in = connection.is_closed() || self.read_closed.get();
        let no_more_out = connection.is_closed() || self.write_closed.get();
        let writable = connection.takes_bytes() || no_more_out;
        readiness(connection.readable() || no_more_in, writable, no_more_in, no_more_out)
    }

    fn activity(&self) -> u64 {
        self.connection.borrow().activity()
    }

    fn pending(&self) -> usize {
        self.connection.borrow().pending()
    }

    fn shutdown(&self, read: bool, write: bool) {
        self.read_closed.set(self.read_closed.get() || read);
        if write && !self.write_closed.replace(true) {
            self.connection.borrow_mut().end();
        }
    }

    fn takes_request(&self) -> bool {
        self.connection.borrow().takes_request()
    }
}
