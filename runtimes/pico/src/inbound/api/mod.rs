//! AWS Lambda's Runtime API: what a program asks at `AWS_LAMBDA_RUNTIME_API`, answered by pico itself.
//!
//! The first `GET .../runtime/invocation/next` (or `.../runtime/restore/next`) waits for the request: there the parent is
//! captured. A fork goes on with the answer to it. When the result has been posted the request is over.
//!
//! | module | what it knows |
//! |---|---|
//! | this one | the calls in their order: what is allowed when, and what comes of it |
//! | `connection` | one HTTP/1.1 connection: bytes in, bytes out |
//! | `head` | the head of a request: which call it is, and how its body ends |
//! | `sink` | where a body goes |
//! | `body` | where a body ends, and its trailers |
//! | `status` | what a call is answered with |

pub mod body;
pub mod connection;
pub mod head;
pub mod sink;
pub mod status;

use super::State;
use abi::runtime_api::{Kind, REQUEST_ID};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use status::Status;

/// [`Server`], shared by all connections to it.
pub type Shared = Rc<RefCell<Server>>;

/// Most header fields of a message that is understood.
const FIELDS_MAX: usize = 64;
/// Most bytes of an initialisation error that are logged.
const REPORT_MAX: usize = 16 << 10;

/// A call that waits for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// `invocation/next`: is given the event.
    Invocation,
    /// `restore/next`: learns that this is a fork.
    Restore,
}

/// What a call that waited is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole HTTP/1.1 response with the event.
    Event(&'static [u8]),
    /// Only a status.
    Status(Status),
}

/// Where the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It initialises itself, or waits for its first request.
    Starting,
    /// It has said that it cannot start.
    Failed,
    /// It knows that it is a fork, and has not asked for the event yet.
    Restored,
    /// It has the event of the invocation with this id.
    Running(&'static [u8]),
}

/// The API of one VM.
pub struct Server {
    inbound: super::Shared,
    phase: Phase,
    /// A connection is posting the answer.
    posting: bool,
    /// An answer was refused because it is too long.
    too_large: bool,
}

impl Server {
    /// The API for the request in `inbound`.
    pub fn new(inbound: super::Shared) -> Self {
        Self { inbound, phase: Phase::Starting, posting: false, too_large: false }
    }

    /// Most bytes of an answer.
    fn limit(&self) -> usize {
        self.inbound.borrow().answer_max()
    }

    /// Changes when the request arrives.
    fn activity(&self) -> u64 {
        self.inbound.borrow().activity()
    }

    /// Whether this may still be the parent.
    fn is_starting(&self) -> bool {
        self.phase == Phase::Starting
    }

    /// A program begins to wait.
    fn wait(&mut self, wait: Wait) -> Result<(), Status> {
        match (wait, self.phase) {
            (_, Phase::Failed) | (Wait::Restore, Phase::Restored | Phase::Running(_)) => {
                Err(Status::InvalidStateTransition)
            }
            (Wait::Invocation, Phase::Running(_)) if self.too_large => {
                self.inbound.borrow_mut().give_up_answer();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the end of `wait` has come.
    fn is_over(&self, wait: Wait) -> bool {
        let pending = self.inbound.borrow().state() == State::Pending;
        pending && (wait == Wait::Invocation || self.phase == Phase::Starting)
    }

    /// What ends `wait`, if its end has come.
    fn end_of(&mut self, wait: Wait) -> Option<Next> {
        if !self.is_over(wait) {
            return None;
        }
        if wait == Wait::Restore {
            self.phase = Phase::Restored;
            return Some(Next::Status(Status::Restored));
        }
        let mut inbound = self.inbound.borrow_mut();
        inbound.take();
        let event = inbound.request();
        inbound.consume(event.len());
        let Some(id) = id_of(event) else { return Some(Next::Status(Status::Internal)) };
        self.phase = Phase::Running(id);
        Some(Next::Event(event))
    }

    /// A program begins to post an answer to the invocation `id`.
    fn begin(&mut self, id: &[u8], kind: Kind, detail: &[u8]) -> Result<(), Status> {
        let Phase::Running(running) = self.phase else { return Err(Status::InvalidStateTransition) };
        if id != running {
            return Err(Status::InvalidRequestId);
        }
        if self.posting || (self.too_large && kind != Kind::Error) {
            return Err(Status::InvalidStateTransition);
        }
        self.begin_answer(kind, detail)
    }

    /// A program begins to post why it cannot go on as a fork.
    fn begin_restore_error(&mut self, detail: &[u8]) -> Result<(), Status> {
        if self.phase != Phase::Restored || self.posting {
            return Err(Status::InvalidStateTransition);
        }
        self.inbound.borrow_mut().take();
        self.begin_answer(Kind::Error, detail)
    }

    fn begin_answer(&mut self, kind: Kind, detail: &[u8]) -> Result<(), Status> {
        self.inbound.borrow_mut().begin_answer();
        self.posting = true;
        let word = kind.word().as_bytes();
        let whole = [word, b" ", detail, b"\n"].into_iter().all(|part| self.extend(part));
        if whole && kind == Kind::Chunks {
            self.inbound.borrow_mut().goes_on_in_chunks();
        }
        if whole { Ok(()) } else { Err(self.refuse_large()) }
    }

    /// Bytes of an answer there is room for now.
    fn room(&self) -> usize {
        self.inbound.borrow().room()
    }

    /// Adds to the answer that is being posted; false if there is no room.
    fn extend(&mut self, bytes: &[u8]) -> bool {
        self.inbound.borrow_mut().extend_answer(bytes)
    }

    /// The answer that is being posted is too long.
    fn refuse_large(&mut self) -> Status {
        self.posting = false;
        self.too_large = true;
        Status::TooLarge { limit: self.limit() }
    }

    /// The answer that is being posted is complete.
    fn finish(&mut self) {
        self.posting = false;
        self.inbound.borrow_mut().finish_answer();
    }

    /// The stream that is being posted ended in an error; `document` is base64.
    fn finish_broken(&mut self, detail: &[u8], document: &[u8]) -> Result<(), Status> {
        self.posting = false;
        self.begin_answer(Kind::Broken, detail)?;
        if !self.extend(document) {
            return Err(self.refuse_large());
        }
        self.finish();
        Ok(())
    }

    /// The connection on which an answer was being posted is gone. Of what the client has seen a part of there is no other
    /// beginning: it ends here, inside its coding.
    fn abandon(&mut self) {
        self.posting = false;
        let mut inbound = self.inbound.borrow_mut();
        if inbound.in_parts { inbound.finish_answer() } else { inbound.begin_answer() }
    }

    /// Whether a program may still say that it cannot start.
    fn may_fail(&self) -> Result<(), Status> {
        if self.phase == Phase::Starting { Ok(()) } else { Err(Status::InvalidStateTransition) }
    }

    /// The program cannot start; that goes to its log.
    fn fail(&mut self, kind: &[u8], document: &[u8]) {
        self.phase = Phase::Failed;
        let kind = if kind.is_empty() { b"Runtime.Unknown" } else { kind };
        let document = &document[..document.len().min(REPORT_MAX)];
        let report = [b"[ERROR] ", kind, b": ", document, b"\n"].concat();
        self.inbound.borrow_mut().report = report;
    }
}

/// The id of the invocation in the answer to `invocation/next`.
fn id_of(event: &'static [u8]) -> Option<&'static [u8]> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(event).ok().filter(httparse::Status::is_complete)?;
    let named = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(REQUEST_ID));
    named.map(|field| field.value).filter(|id| !id.is_empty())
}

/// The value of a header field, without blanks around it.
fn field<'a>(fields: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    found.map(|field| field.value.trim_ascii())
}

/// `value` as something that fits into one line.
fn one_line(value: Option<&[u8]>) -> Vec<u8> {
    value.unwrap_or_default().iter().copied().filter(|byte| !byte.is_ascii_control()).collect()
}

#[cfg(test)]
mod tests;
