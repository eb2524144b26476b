//! The ends of a TCP connection inside the VM: what an end says when it closes, resets, and urgent data.
//!
//! Who closes without having read everything, or with `SO_LINGER` of 0, resets the connection. A peer that has closed in
//! order cannot be told from one that only stopped sending, until it answers what it is sent: with a reset.

use super::channel::Channel;
use super::envelope::Envelope;
use super::flow::Way;
use super::link::{Link, readiness, whole};
use super::messages::Received;
use super::urgent::Urgent;
use crate::errno::{Errno, Result};
use crate::file::Ready;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::Cell;

/// What both ends know of one.
struct End {
    /// What has arrived. Its writing side is closed once the other end has said that no more comes.
    data: Channel,
    urgent: Urgent,
    /// The error nobody has been told yet.
    error: Cell<Option<Errno>>,
    /// The connection was reset.
    dead: Cell<bool>,
    /// Its own program reads no more (`SHUT_RD`).
    deaf: Cell<bool>,
    /// Its descriptor is closed.
    closed: Cell<bool>,
    changes: Cell<u64>,
}

impl End {
    fn new(data: Channel) -> Self {
        Self {
            data,
            urgent: Urgent::default(),
            error: Cell::new(None),
            dead: Cell::new(false),
            deaf: Cell::new(false),
            closed: Cell::new(false),
            changes: Cell::new(0),
        }
    }

    fn change(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    /// Nothing more will arrive.
    fn is_ended(&self) -> bool {
        self.dead.get() || self.deaf.get() || self.data.flow().write_closed()
    }

    /// A reset arrives. Who knew already that no more comes is told something else.
    fn reset(&self) {
        if !self.dead.replace(true) {
            let knew = self.data.flow().write_closed();
            self.error.set(Some(if knew { Errno::EPIPE } else { Errno::ECONNRESET }));
            self.change();
        }
    }
}

/// One end.
pub struct TcpLink {
    own: Rc<End>,
    other: Rc<End>,
    /// Closing resets the connection (`SO_LINGER` of 0, or it was never accepted).
    aborts: Cell<bool>,
}

impl TcpLink {
    /// The two ends of a connection made of two streams.
    pub fn pair(forth: Channel, back: Channel) -> (Self, Self) {
        let (one, other) = (Rc::new(End::new(forth)), Rc::new(End::new(back)));
        let end = |own, other| Self { own, other, aborts: Cell::new(false) };
        (end(one.clone(), other.clone()), end(other, one))
    }

    /// Whether this end has said that it sends no more.
    fn is_mute(&self) -> bool {
        self.other.data.flow().write_closed()
    }

    /// The other end takes nothing: what it is sent it answers with a reset.
    fn resets(&self) -> bool {
        let ended_both = self.other.deaf.get() && self.own.data.flow().write_closed();
        self.other.closed.get() || ended_both
    }

    /// What a read tells that finds nothing in the stream.
    fn nothing_to_read(&self) -> Result<Received> {
        if self.own.data.flow().write_closed() {
            return Ok(whole(0));
        }
        match self.own.error.take() {
            Some(errno) => Err(errno),
            None if self.own.is_ended() => Ok(whole(0)),
            None => Err(Errno::EAGAIN),
        }
    }

    /// Looks at what lies behind an urgent byte.
    fn look_behind_mark(&self, buf: &mut [u8]) -> Result<Received> {
        let mut bytes = vec![0; self.own.data.pending().min(buf.len() + 1)];
        self.own.data.read(&mut bytes, true)?;
        if bytes.len() < 2 {
            return self.nothing_to_read();
        }
        buf[..bytes.len() - 1].copy_from_slice(&bytes[1..]);
        Ok(whole(bytes.len() - 1))
    }

    fn error(&self) -> Errno {
        self.own.error.take().unwrap_or(Errno::EPIPE)
    }
}

impl Link for TcpLink {
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        if buf.is_empty() {
            return Ok(whole(0));
        }
        let own = &self.own;
        if own.urgent.is_left_out() && peek {
            return self.look_behind_mark(buf);
        }
        if own.urgent.is_left_out() {
            own.data.read(&mut [0], false)?;
            own.urgent.note_read(1);
        }
        let len = own.urgent.stretch(buf.len());
        if !own.data.is_empty() {
            let got = own.data.read_with(&mut buf[..len], peek, envelope)?;
            if !peek {
                own.urgent.note_read(got);
            }
            return Ok(whole(got));
        }
        self.nothing_to_read()
    }

    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize> {
        if self.own.error.get().is_some() || self.own.dead.get() || self.is_mute() {
            return Err(self.error());
        }
        if buf.is_empty() {
            return Ok(0);
        }
        if self.resets() {
            self.other.reset();
            self.own.reset();
            return Ok(buf.len());
        }
        let sent = self.other.data.write_with(buf, envelope)?;
        self.other.urgent.note_written(sent);
        Ok(sent)
    }

    fn send_urgent(&self, buf: &[u8]) -> Result<usize> {
        let sent = self.send(buf, &mut Envelope::default())?;
        if sent > 0 && !self.own.dead.get() {
            let other = &self.other;
            if other.urgent.gives_up_old(other.data.pending()) {
                other.data.read(&mut [0], false)?;
                other.urgent.note_read(1);
            }
            other.urgent.mark(buf[sent - 1]);
            other.change();
        }
        Ok(sent)
    }

    fn receive_urgent(&self, peek: bool) -> Result<u8> {
        let own = &self.own;
        let reset = own.dead.get() && !own.data.flow().write_closed();
        if own.urgent.is_unread() && !own.urgent.is_inline() && reset {
            return Err(Errno::ENOTCONN);
        }
        own.urgent.take(peek).ok_or(Errno::EINVAL)
    }

    fn set_inline(&self, inline: bool) {
        self.own.urgent.set_inline(inline);
    }

    fn at_mark(&self) -> bool {
        self.own.urgent.is_at_mark()
    }

    fn urgencies(&self) -> u64 {
        self.own.urgent.count()
    }

    fn is_over(&self) -> bool {
        self.own.dead.get() || (self.is_mute() && self.own.data.flow().write_closed())
    }

    fn abort_on_close(&self, aborts: bool) {
        self.aborts.set(aborts);
    }

    fn take_error(&self) -> Option<Errno> {
        self.own.error.take()
    }

    fn ready(&self) -> Ready {
        let (own, room) = (&self.own, &self.other.data);
        let no_more_out = own.dead.get() || self.is_mute();
        let least = 1 + usize::from(own.urgent.is_left_out());
        let readable = own.is_ended() || own.data.pending() >= least;
        let writable = no_more_out || self.other.closed.get() || room.writable();
        let mut ready = readiness(readable, writable, own.is_ended(), no_more_out);
        ready.set(Ready::ERR, own.error.get().is_some());
        ready.set(Ready::PRI, own.urgent.is_unread());
        ready
    }

    fn activity(&self) -> u64 {
        self.own.data.flow().read_activity()
            + self.other.data.flow().write_activity()
            + self.own.changes.get()
    }

    fn pending(&self) -> usize {
        self.own.urgent.readable(self.own.data.pending())
    }

    fn shutdown(&self, read: bool, write: bool) {
        if read {
            self.own.deaf.set(true);
        }
        if write && !self.own.dead.get() {
            self.other.data.flow().close_write();
        }
        self.own.change();
    }
}

impl Drop for TcpLink {
    fn drop(&mut self) {
        let unread = !self.own.data.is_empty();
        if !self.is_over() && (unread || self.aborts.get()) {
            self.other.reset();
        } else if !self.is_over() {
            self.other.data.flow().close_write();
        }
        self.own.closed.set(true);
        // Who waits for room here learns of it.
        self.own.data.close_read();
        self.other.change();
    }
}
