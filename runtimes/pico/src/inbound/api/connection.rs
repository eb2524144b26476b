//! One HTTP/1.1 connection to the API: a state machine. Requests are answered one after the other; while an answer
//! is not read, nothing more is taken.

use super::body::{Body, Step};
use super::head::Head;
use super::sink::{Ended, Sink};
use super::status::Status;
use super::{Next, Shared, Wait};
use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// Most bytes of the head of a request.
const HEAD_MAX: usize = 16 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// The same with a field long enough for what a client does with long ones.
const REHEARSAL: &[u8] = b"HTTP/1.1 100 Continue\r\n\
    Spore-Rehearsal: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n";

/// The server's side of a connection. Dropping it closes it.
pub struct Connection {
    server: Shared,
    reading: Reading,
    /// The head so far.
    head: Vec<u8>,
    /// What is to be sent, and how much of it was.
    output: Vec<u8>,
    sent: usize,
    /// What is to be sent after that.
    event: &'static [u8],
    /// The connection ends with the answer that is on its way.
    close: bool,
    /// Changes with everything that happens here.
    activity: u64,
}

/// What the next bytes from the client are.
enum Reading {
    Head,
    Body(Body, Sink),
    /// Nothing is expected: the call waits.
    Waiting(Wait),
    /// Nothing is understood any more.
    Closed,
}

impl Connection {
    /// A new connection to `server`.
    pub fn new(server: Shared) -> Self {
        Self {
            server,
            reading: Reading::Head,
            head: Vec::new(),
            output: Vec::new(),
            sent: 0,
            event: &[],
            close: false,
            activity: 0,
        }
    }

    /// Takes bytes from the client; `EAGAIN` while an earlier call is not answered.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize> {
        if matches!(self.reading, Reading::Closed) {
            return Err(Errno::EPIPE);
        }
        let mut taken = 0;
        while taken < bytes.len() && self.takes_bytes() {
            taken += self.take(&bytes[taken..]);
        }
        self.activity += 1;
        if taken == 0 && !bytes.is_empty() { Err(Errno::EAGAIN) } else { Ok(taken) }
    }

    /// Gives bytes to the client; 0 is the end of the connection.
    pub fn receive(&mut self, buf: &mut [u8], peek: bool) -> Result<usize> {
        self.look();
        if self.pending() == 0 {
            let closed = matches!(self.reading, Reading::Closed) || buf.is_empty();
            return if closed { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let text = &self.output[self.sent..];
        let first = text.len().min(buf.len());
        buf[..first].copy_from_slice(&text[..first]);
        let second = self.event.len().min(buf.len() - first);
        buf[first..first + second].copy_from_slice(&self.event[..second]);
        if !peek {
            self.consume(first, second);
        }
        Ok(first + second)
    }

    fn consume(&mut self, first: usize, second: usize) {
        self.sent += first;
        self.event = &self.event[second..];
        self.activity += 1;
        if self.pending() > 0 {
            return;
        }
        self.output.clear();
        self.sent = 0;
        if self.close && matches!(self.reading, Reading::Head) {
            self.reading = Reading::Closed;
        }
    }

    /// Bytes to read now.
    pub fn pending(&self) -> usize {
        self.output.len() - self.sent + self.event.len()
    }

    /// Whether a read would not block.
    pub fn readable(&self) -> bool {
        let over = match self.reading {
            Reading::Waiting(wait) => self.server.borrow().is_over(wait),
            Reading::Closed => true,
            Reading::Head | Reading::Body(..) => false,
        };
        over || self.pending() > 0
    }

    /// Whether nothing but the rest of the output will come.
    pub fn is_closed(&self) -> bool {
        matches!(self.reading, Reading::Closed)
    }

    /// Whether a write would not block.
    pub fn takes_bytes(&self) -> bool {
        match self.reading {
            Reading::Head => self.pending() == 0,
            Reading::Body(_, ref sink) => sink.room(&self.server) > 0,
            Reading::Waiting(_) | Reading::Closed => false,
        }
    }

    /// Whether the program waits here for the request.
    pub fn takes_request(&self) -> bool {
        matches!(self.reading, Reading::Waiting(_))
    }

    /// See [`crate::file::File::activity`].
    pub fn activity(&self) -> u64 {
        self.activity + self.server.borrow().activity()
    }

    /// The client sends nothing more. A request that is not complete is none.
    pub fn end(&mut self) {
        self.abandon();
        if !matches!(self.reading, Reading::Waiting(_)) {
            self.reading = Reading::Closed;
        }
        self.close = true;
        self.activity += 1;
    }

    /// Answers the call that waits, if the time has come.
    fn look(&mut self) {
        let Reading::Waiting(wait) = self.reading else { return };
        let next = self.server.borrow_mut().end_of(wait);
        match next {
            None => return,
            Some(Next::Status(status)) => self.answer(status),
            Some(Next::Event(event)) => {
                self.event = event;
                self.reading = Reading::Head;
            }
        }
        self.activity += 1;
    }

    /// Takes bytes from the front of `bytes`, at least one.
    fn take(&mut self, bytes: &[u8]) -> usize {
        match &mut self.reading {
            Reading::Head => self.take_head(bytes),
            Reading::Body(body, sink) => {
                let bytes = &bytes[..bytes.len().min(sink.room(&self.server))];
                let (taken, data, step) = body.take(bytes);
                let refused = sink.take(&self.server, &bytes[..taken], data);
                if let Some(status) = refused {
                    *sink = Sink::Nowhere(status);
                }
                self.step(step);
                taken
            }
            Reading::Waiting(_) | Reading::Closed => 0,
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let before = self.head.len();
        for (index, &byte) in bytes.iter().enumerate() {
            if before + index == HEAD_MAX {
                self.refuse(Status::HeadTooLarge);
                return index.max(1);
            }
            // Empty lines before a request are passed over.
            if !self.head.is_empty() || !matches!(byte, b'\r' | b'\n') {
                self.head.push(byte);
            }
            if byte == b'\n' && (self.head.ends_with(b"\n\r\n") || self.head.ends_with(b"\n\n")) {
                self.head_ended();
                return index + 1;
            }
        }
        bytes.len()
    }

    fn head_ended(&mut self) {
        let parsed = Head::parse(&self.head);
        self.head.clear();
        let head = match parsed {
            Ok(head) => head,
            Err(status) => return self.refuse(status),
        };
        self.close |= head.close;
        let sink = Sink::of(head.call, &self.server);
        let empty = matches!(head.body, Body::Length(0));
        if head.expects && !empty {
            self.output.extend_from_slice(CONTINUE);
        } else if head.is_own_client && matches!(sink, Sink::Wait(_)) && self.server.borrow().is_starting() {
            // A client that waits for its first request reads an interim response meanwhile, as every HTTP client can
            // (RFC 9110, 15.2). So what it does when it first reads a response is done in the parent, not in every fork.
            self.output.extend_from_slice(REHEARSAL);
        }
        self.reading = Reading::Body(head.body, sink);
        if empty {
            self.step(Step::End);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::More => {}
            Step::Broken(what) => {
                self.abandon();
                self.refuse(Status::Malformed(what));
            }
            Step::End => {
                let Reading::Body(body, sink) = core::mem::replace(&mut self.reading, Reading::Head) else {
                    return;
                };
                match sink.end(&self.server, body.trailers()) {
                    Ended::Waits(wait) => self.reading = Reading::Waiting(wait),
                    Ended::Answered(status) => self.answer(status),
                }
            }
        }
    }

    /// An answer that is on its way will not be completed.
    fn abandon(&mut self) {
        if matches!(&self.reading, Reading::Body(_, sink) if sink.is_answer()) {
            self.server.borrow_mut().abandon();
        }
    }

    fn answer(&mut self, status: Status) {
        status.write(&mut self.output, self.close);
        self.reading = Reading::Head;
    }

    /// Answers, and understands nothing more.
    fn refuse(&mut self, status: Status) {
        self.close = true;
        status.write(&mut self.output, true);
        self.reading = Reading::Closed;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}
