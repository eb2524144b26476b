//! A request that goes on after what was delivered: its body, or the client's side of an upgraded connection.
//!
//! The host is asked for the next piece when the program waits and has nothing left to read, so at most one piece is in the
//! VM. A program that never waits is helped: who has looked often enough, or uses up its time slice, makes pico ask too. Who looks
//! for more than there is without reading that (`MSG_PEEK`, `FIONREAD`) gets the next piece behind it.

use super::{Inbound, State};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::platform::Platform;
use abi::console::{INPUT_BODY, INPUT_CONNECTION, INPUT_DATA, INPUT_END, INPUT_NONE, STREAM_MAX};
use abi::mailbox::Doorbell;
use alloc::vec::Vec;
use core::cell::Cell;

/// How often a program looks in vain before the host is asked although the program does not wait: each time costs an exit.
const LOOKS_MAX: u32 = 16;

/// What follows the bytes that are here.
#[derive(Default)]
pub(super) struct Input {
    more: More,
    /// How often somebody looked in vain.
    looks: Cell<u32>,
    /// What was not read when the host was asked for more, and what came then. Nothing: all that is there lies in the request area.
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum More {
    /// Nothing, but the connection stays open.
    #[default]
    Nothing,
    /// More of the body.
    Body,
    /// More of an upgraded connection.
    Connection,
    /// The end of the connection.
    End,
    /// The client has gone; the first who reads is told.
    Reset,
}

impl Input {
    /// Whether the program has looked in vain so often that it may never wait.
    pub(super) fn was_looked_for(&self) -> bool {
        self.looks.get() >= LOOKS_MAX
    }

    /// The bytes that are here, read or not; `request`: those in the request area.
    pub(super) fn present<'a>(&'a self, request: &'a [u8]) -> &'a [u8] {
        if self.kept.is_empty() { request } else { &self.kept }
    }

    /// Something was read: whoever did so can go on.
    pub(super) fn was_read(&self) {
        self.looks.set(0);
    }
}

impl Inbound {
    /// What the host says of the request that was just delivered: an `INPUT_*`.
    pub fn open_input(&mut self, input: u32) {
        self.input.more = match input {
            INPUT_BODY => More::Body,
            INPUT_CONNECTION => More::Connection,
            _ => More::Nothing,
        };
        if input == INPUT_CONNECTION {
            self.watch.allow_upgrade();
        }
    }

    /// Whether more can come.
    fn goes_on(&self) -> bool {
        matches!(self.input.more, More::Body | More::Connection)
            && matches!(self.state, State::Taken | State::Responding)
    }

    /// Whether more can come, and the program has read all that came, or looks for more than that. What it does not read may
    /// be as much as a piece, which is more than Linux keeps for a socket.
    pub fn wants_input(&self) -> bool {
        let unread = self.unread().len();
        self.goes_on() && (unread == 0 || (self.input.was_looked_for() && unread <= STREAM_MAX))
    }

    /// Makes ready to ask the host, if more is wanted: the next piece takes the place of what is in the request area, so what is not
    /// read there is kept elsewhere. Whether the host is to be asked.
    pub fn prepare_input(&mut self) -> bool {
        if !self.wants_input() {
            return false;
        }
        let unread = self.unread();
        if unread.is_empty() {
            return true;
        }
        let mut kept = Vec::new();
        if kept.try_reserve_exact(unread.len() + STREAM_MAX).is_err() {
            return false;
        }
        kept.extend_from_slice(unread);
        (self.input.kept, self.request, self.read) = (kept, &[], 0);
        true
    }

    fn take_piece(&mut self, piece: &'static [u8]) {
        if self.unread().is_empty() {
            (self.input.kept, self.request, self.read) = (Vec::new(), piece, 0);
        } else {
            self.input.kept.extend_from_slice(piece);
        }
    }

    /// Takes what the host has handed over. Whether there was something.
    fn accept_input(&mut self, platform: &dyn Platform) -> bool {
        self.input.looks.set(0);
        let console = platform.console();
        let is_upgrade = self.input.more == More::Connection;
        match console.input {
            INPUT_NONE => return false,
            INPUT_DATA => self.take_piece(platform.input(console.input_len as usize)),
            INPUT_END if is_upgrade => self.input.more = More::End,
            INPUT_END => self.input.more = More::Nothing,
            _ => self.input.more = More::Reset,
        }
        platform.clear_input();
        self.activity += 1;
        true
    }

    /// Reads from the connection: `EAGAIN` if more can come, or if it only stays open.
    pub fn receive(&mut self, buf: &mut [u8], peek: bool) -> Result<usize> {
        let unread = self.unread();
        if unread.is_empty() {
            return self.end_of_input();
        }
        let len = unread.len().min(buf.len());
        buf[..len].copy_from_slice(&unread[..len]);
        if !peek {
            self.consume(len);
        } else if len < buf.len() {
            self.note_look();
        }
        Ok(len)
    }

    fn end_of_input(&mut self) -> Result<usize> {
        match self.input.more {
            More::End => Ok(0),
            More::Reset => {
                self.input.more = More::End;
                Err(Errno::ECONNRESET)
            }
            _ => {
                self.note_look();
                Err(Errno::EAGAIN)
            }
        }
    }

    /// Whether there is something to read; and whether that is the end.
    pub fn look(&self) -> (bool, bool) {
        let (is_empty, has_ended) =
            (self.unread().is_empty(), matches!(self.input.more, More::End | More::Reset));
        if is_empty && !has_ended {
            self.note_look();
        }
        (!is_empty || has_ended, has_ended)
    }

    /// How many bytes can be read now. Who asks that may wait for more.
    pub fn count_unread(&self) -> usize {
        self.note_look();
        self.unread().len()
    }

    fn note_look(&self) {
        if self.goes_on() {
            self.input.looks.set(self.input.looks.get().saturating_add(1));
        }
    }

    /// Nobody reads any more.
    pub fn close_input(&mut self) {
        if self.state != State::Pending {
            self.input.more = More::Nothing;
        }
    }

    /// Nobody writes any more. That ends a response, but only one direction of an upgraded connection that is still read from.
    pub fn close_output(&mut self, is_read: bool) {
        if is_read && self.watch.is_upgraded() && self.input.more == More::Connection {
            self.output_ended.get_or_insert(false);
        } else {
            self.end_http();
        }
    }

    /// Whether the connection goes on in another protocol.
    pub fn is_upgraded(&self) -> bool {
        self.watch.is_upgraded()
    }
}

impl Kernel {
    /// Takes what the host has handed over of the request. Whether there was something.
    pub(crate) fn accept_input(&self) -> bool {
        self.inbound.borrow_mut().accept_input(&*self.platform)
    }

    /// Asks the host for more of the request without waiting for it, if that is wanted. Who waits for the console looks again.
    pub(crate) fn look_for_input(&mut self) {
        if self.console.as_ref().is_some_and(|console| console.is_wanted()) {
            self.threads.note_change();
        }
        if !self.inbound.borrow_mut().prepare_input() {
            return;
        }
        self.ring(Doorbell::Sleep, [0, 1, 0, 0]);
        if self.accept_input() {
            self.threads.note_change();
        }
    }
}
