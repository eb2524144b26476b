//! The connected ends of sockets: what carries the bytes.

use super::channel::Channel;
use super::envelope::Envelope;
use super::messages::{Messages, Received};
use crate::errno::{Errno, Result};
use crate::file::Ready;
use crate::inbound;
use crate::inbound::api;
use alloc::rc::Rc;
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
}

fn whole(len: usize) -> Received {
    Received { len, full: len }
}

/// A byte stream to another socket of this VM.
pub struct StreamLink {
    incoming: Rc<Channel>,
    outgoing: Rc<Channel>,
    /// A TCP peer that closed cannot be told from one that only stopped sending, until it answers what it is sent.
    tcp: bool,
    /// It has answered that it is gone.
    gone: Cell<bool>,
    /// Nobody has been told so yet.
    error: Cell<Option<Errno>>,
}

impl StreamLink {
    /// The two ends of a connection made of two streams.
    pub fn pair(forth: Channel, back: Channel, tcp: bool) -> (Self, Self) {
        let (forth, back) = (Rc::new(forth), Rc::new(back));
        let end = |incoming, outgoing| Self {
            incoming,
            outgoing,
            tcp,
            gone: Cell::new(false),
            error: Cell::new(None),
        };
        (end(back.clone(), forth.clone()), end(forth, back))
    }

    /// Whether a peer that has closed is now sent something for the first time.
    fn learns_of_close(&self) -> bool {
        let (closed, open) = (self.outgoing.read_closed(), !self.outgoing.write_closed());
        self.tcp && closed && open && !self.gone.get()
    }
}

impl Link for StreamLink {
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        self.incoming.read_with(buf, peek, envelope).map(whole)
    }

    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        if self.learns_of_close() && !buf.is_empty() {
            self.gone.set(true);
            self.error.set(Some(Errno::EPIPE));
            return Ok(buf.len());
        }
        self.error.take();
        self.outgoing.write_with(buf, envelope)
    }

    fn want_credentials(&self, wanted: bool) {
        self.incoming.want_credentials(wanted);
    }

    fn take_error(&self) -> Option<Errno> {
        self.error.take().or_else(|| self.incoming.take_reset().then_some(Errno::ECONNRESET))
    }

    fn ready(&self) -> Ready {
        let (incoming, outgoing) = (&self.incoming, &self.outgoing);
        let no_more_in = incoming.write_closed() || incoming.read_closed();
        let no_more_out =
            outgoing.write_closed() || (outgoing.read_closed() && (!self.tcp || self.gone.get()));
        let mut ready = readiness(incoming.readable(), outgoing.writable(), no_more_in, no_more_out);
        ready.set(Ready::ERR, incoming.is_reset() || self.error.get().is_some());
        ready
    }

    fn activity(&self) -> u64 {
        self.incoming.read_activity() + self.outgoing.write_activity() + u64::from(self.gone.get())
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
        if !self.tcp && !self.incoming.is_empty() {
            self.outgoing.reset();
        }
        self.shutdown(true, true);
    }
}

/// Sequenced packets to and from another socket of this VM.
pub struct MessageLink {
    incoming: Rc<Messages>,
    outgoing: Rc<Messages>,
}

impl MessageLink {
    /// The two ends of a connection made of two queues.
    pub fn pair(forth: Messages, back: Messages) -> (Self, Self) {
        let (forth, back) = (Rc::new(forth), Rc::new(back));
        let one = Self { incoming: back.clone(), outgoing: forth.clone() };
        (one, Self { incoming: forth, outgoing: back })
    }
}

impl Link for MessageLink {
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        self.incoming.receive(buf, peek, envelope)
    }

    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        self.outgoing.send(buf, envelope)
    }

    fn want_credentials(&self, wanted: bool) {
        self.incoming.want_credentials(wanted);
    }

    fn ready(&self) -> Ready {
        let (incoming, outgoing) = (&self.incoming, &self.outgoing);
        let no_more_in = incoming.write_closed() || incoming.read_closed();
        let no_more_out = outgoing.write_closed() || outgoing.read_closed();
        readiness(incoming.readable(), outgoing.writable(), no_more_in, no_more_out)
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
        self.shutdown(true, true);
    }
}

fn readiness(readable: bool, writable: bool, no_more_in: bool, no_more_out: bool) -> Ready {
    let mut ready = Ready::empty();
    ready.set(Ready::IN, readable);
    ready.set(Ready::OUT, writable);
    ready.set(Ready::RDHUP, no_more_in);
    ready.set(Ready::HUP, no_more_in && no_more_out);
    ready
}

/// The connection the request arrives on. It never ends from the client's side: clients keep connections open.
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
        let mut inbound = self.inbound.borrow_mut();
        let unread = inbound.unread();
        if unread.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let len = unread.len().min(buf.len());
        buf[..len].copy_from_slice(&unread[..len]);
        if !peek {
            inbound.consume(len);
        }
        Ok(whole(len))
    }

    fn send(&self, buf: &[u8], _envelope: &mut Envelope) -> Result<usize> {
        if self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        self.inbound.borrow_mut().respond_http(buf)
    }

    fn ready(&self) -> Ready {
        let more = !self.inbound.borrow().unread().is_empty();
        let (read, write) = (self.read_closed.get(), self.write_closed.get());
        readiness(read || more, true, read, write)
    }

    fn activity(&self) -> u64 {
        self.inbound.borrow().activity()
    }

    fn pending(&self) -> usize {
        self.inbound.borrow().unread().len()
    }

    fn shutdown(&self, read: bool, write: bool) {
        self.read_closed.set(self.read_closed.get() || read);
        if write {
            self.write_closed.set(true);
            self.inbound.borrow_mut().end_http();
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
