//! A client connection that speaks HTTP/1.1: one request at a time, kept alive.
//!
//! It is our own because it is what is measured with: a request costs one send(2), and an answer one recv(2) if it is short.
//! Nothing here waits: whoever owns a connection asks epoll(7) when to go on.

mod decode;

use crate::failure::Failure;
use crate::socket::{Opened, Source, connect};
use crate::target::Address;
use decode::Decoder;
pub(crate) use decode::Start;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes that one read takes at most: those of one thread share the room.
pub(crate) const READ: usize = 64 << 10;

/// What came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) start: Start,
    pub(crate) body_bytes: u64,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    fd: OwnedFd,
    connecting: bool,
    /// Bytes of the request under way that are sent.
    written: usize,
    /// Whether sending failed. A server may answer, and close, before it has read everything.
    cut: bool,
    decoder: Decoder,
    /// What was read and does not make a whole line or head yet.
    pending: Vec<u8>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Connection {
    /// Begins to connect; none if the server's queue is full, and it has to be tried again.
    pub(crate) fn open(address: &Address, source: &mut Source) -> Result<Option<Connection>, Failure> {
        let (fd, connecting) = match connect(address, source)? {
            Opened::Now(fd) => (fd, false),
            Opened::Soon(fd) => (fd, true),
            Opened::Later => return Ok(None),
        };
        let decoder = Decoder::new(false);
        Ok(Some(Connection { fd, connecting, written: 0, cut: false, decoder, pending: Vec::new() }))
    }

    /// Whether it is not made yet.
    pub(crate) fn is_connecting(&self) -> bool {
        self.connecting
    }

    /// It is made, or cannot be.
    pub(crate) fn connected(&mut self) -> Result<(), Failure> {
        self.connecting = false;
        match sockopt::socket_error(&self.fd) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(crate::socket::refused(error)),
        }
    }

    /// The next answer belongs to a new request.
    pub(crate) fn begin(&mut self, to_head: bool) {
        self.written = 0;
        self.cut = false;
        self.decoder = Decoder::new(to_head);
    }

    /// Sends what it can of `request`; true when there is nothing left to send.
    pub(crate) fn write(&mut self, request: &[u8]) -> bool {
        while self.written < request.len() && !self.cut {
            match send(&self.fd, &request[self.written..], SendFlags::NOSIGNAL) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => self.cut = true,
            }
        }
        true
    }

    /// Reads once. An answer when it is complete; `body` gets what its body holds.
    pub(crate) fn read(
        &mut self,
        room: &mut [u8],
        body: &mut impl FnMut(&[u8]),
    ) -> Result<Option<Answer>, Failure> {
        let count = match recv(&self.fd, &mut *room, RecvFlags::empty()) {
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(_) => return Err(Failure::Broken),
        };
        if count == 0 {
            let cut = self.cut;
            self.decoder.keep = false;
            return self
                .decoder
                .end()
                .map(|()| Some(self.answer()))
                .map_err(|failure| if cut { Failure::Broken } else { failure });
        }
        let complete = if self.pending.is_empty() {
            let mut input = &room[..count];
            let complete = self.decoder.take(&mut input, body)?;
            self.pending.extend_from_slice(input);
            complete
        } else {
            self.pending.extend_from_slice(&room[..count]);
            let mut input = &self.pending[..];
            let complete = self.decoder.take(&mut input, body)?;
            let taken = self.pending.len() - input.len();
            self.pending.drain(..taken);
            complete
        };
        if !complete {
            return Ok(None);
        }
        if !self.pending.is_empty() {
            return Err(Failure::Excess);
        }
        // Connections are many; what one held for a long head is not kept for the next.
        self.pending = Vec::new();
        Ok(Some(self.answer()))
    }

    fn answer(&self) -> Answer {
        let Decoder { status, start, body_bytes, .. } = self.decoder;
        Answer { status, start, body_bytes }
    }

    /// Whether another request can be sent on it, once `request` is answered.
    pub(crate) fn is_usable_after(&self, request: &[u8]) -> bool {
        self.decoder.keep && !self.cut && self.written == request.len()
    }
}
