//! The one request of a fork: from its arrival to the last byte of the response.
//!
//! The request is read either as a document from `/dev/invocation` ([`device`], contract handler) or as a
//! connection accepted on the declared port ([`crate::net`], contract HTTP), or asked for at the Runtime API ([`api`],
//! contract Runtime API). All share one [`Inbound`]. When
//! the response is complete [`Kernel::settle`] rings the doorbell; nothing after that is part of the request. An HTTP response that
//! takes its time goes out in [`parts`]; a request whose end has not come yet is asked for piece by piece ([`input`]).

mod answer;
pub mod api;
pub mod device;
pub mod http;
mod input;
mod parts;

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use abi::mailbox::Doorbell;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use http::{Progress, ResponseWatch};
use input::Input;

/// [`Inbound`], shared by the kernel, the listening socket, the connection and the device.
pub type Shared = Rc<RefCell<Inbound>>;

/// What an answer of the handler contract begins with that is in chunked coding.
const CHUNKS: &[u8] = b"chunks ";
/// The log stream of standard error.
const STDERR: u32 = 2;

/// Where the request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// None was delivered: this is the parent.
    None,
    /// Delivered, and the program has not seen it yet.
    Pending,
    /// The program is reading it.
    Taken,
    /// The program has begun to answer.
    Responding,
    /// The response is complete, or is longer than the response area.
    Done,
}

/// What is to be told to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// This many bytes of response are in place.
    Response(usize),
    TooLarge,
}

/// State of the one request.
pub struct Inbound {
    state: State,
    request: &'static [u8],
    /// Whether the request is none, but says which function the program is to become.
    is_function: bool,
    /// Bytes of the request the program has read.
    read: usize,
    /// What follows `request`.
    input: Input,
    response: &'static mut [u8],
    /// Bytes of response in the area: all that was written, or what was written since the last part was handed over.
    written: usize,
    /// Whether a part of the response was handed over.
    in_parts: bool,
    /// The program has closed its direction of an upgraded connection; `true` once the host knows.
    output_ended: Option<bool>,
    watch: ResponseWatch,
    outcome: Option<Outcome>,
    /// What is to be added to the program's log.
    report: Vec<u8>,
    /// Changes whenever the readiness of who waits for the request may have changed.
    activity: u64,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            state: State::None,
            request: &[],
            is_function: false,
            read: 0,
            input: Input::default(),
            response: &mut [],
            written: 0,
            in_parts: false,
            output_ended: None,
            watch: ResponseWatch::new(&[]),
            outcome: None,
            report: Vec::new(),
            activity: 0,
        }
    }
}

impl Inbound {
    /// Takes the request the host wrote; the response goes to `response`.
    pub fn deliver(&mut self, request: &'static [u8], response: &'static mut [u8]) {
        *self = Self {
            state: State::Pending,
            request,
            response,
            watch: ResponseWatch::new(request),
            activity: self.activity + 1,
            ..Self::default()
        };
    }

    /// Takes what the host wrote about the function the program is to become. It is read like a request, has no
    /// answer, and when it has been read the program waits for a request again.
    pub fn deliver_function(&mut self, document: &'static [u8]) {
        let (state, activity) = (State::Pending, self.activity + 1);
        *self = Self { state, request: document, is_function: true, activity, ..Self::default() };
    }

    /// Where the request stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// A number that changes when the request arrives or has been read.
    pub fn activity(&self) -> u64 {
        self.activity
    }

    /// The program takes the request; false if there is none to take.
    pub fn take(&mut self) -> bool {
        let pending = self.state == State::Pending;
        if pending {
            self.state = State::Taken;
            self.activity += 1;
        }
        pending
    }

    /// Bytes of the request the program has not read.
    pub fn unread(&self) -> &[u8] {
        &self.input.present(self.request)[self.read..]
    }

    /// The program has read the next `len` bytes.
    pub fn consume(&mut self, len: usize) {
        self.read = (self.read + len).min(self.input.present(self.request).len());
        self.input.was_read();
        if self.is_function && self.read == self.request.len() {
            *self = Self { activity: self.activity + 1, ..Self::default() };
        }
    }

    /// Appends to an HTTP response and completes it when its end is reached. What follows the end is dropped, as
    /// nobody reads the connection any more.
    pub fn respond_http(&mut self, bytes: &[u8]) -> Result<usize> {
        let fitting = self.what_fits(bytes)?;
        self.append(fitting)?;
        match self.watch.advance(&self.response[..self.written]) {
            Progress::Complete { start, end } => {
                self.complete(start, end);
                Ok(bytes.len())
            }
            Progress::More if fitting.len() < bytes.len() && !self.watch.is_past_head() => {
                self.give_up_answer();
                Err(Errno::EPIPE)
            }
            Progress::More => Ok(fitting.len()),
        }
    }

    /// The connection ends: what was written is the response, complete or not.
    pub fn end_http(&mut self) {
        if matches!(self.state, State::Taken | State::Responding) {
            self.complete(self.watch.start(), self.written);
        }
    }

    /// The program ends, and its connections with it. That completes a response which only lacks its end; otherwise
    /// the end of the program is the better news.
    fn end_program(&mut self) {
        if self.state == State::Responding && self.watch.lasts_until_close() {
            self.end_http();
        }
    }

    /// Appends to the answer of the handler contract; it is complete with the write that ends in a newline, or at the end of its
    /// chunked coding if its first line says that it has one ([`abi::runtime_api`]).
    pub fn respond_line(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.state == State::Taken && bytes.starts_with(CHUNKS) {
            let line = bytes.iter().position(|&byte| byte == b'\n').ok_or(Errno::EINVAL)?;
            self.watch = ResponseWatch::in_chunks(line + 1);
        }
        if self.watch.is_past_head() {
            return self.respond_http(bytes);
        }
        self.append(bytes)?;
        if bytes.ends_with(b"\n") {
            self.complete(0, self.written);
        }
        Ok(bytes.len())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match self.state {
            State::Taken | State::Responding => {}
            State::Done => return Err(Errno::EPIPE),
            State::None | State::Pending => return Err(Errno::EINVAL),
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.state = State::Responding;
        let end = self.written.saturating_add(bytes.len());
        let Some(target) = self.response.get_mut(self.written..end) else {
            self.state = State::Done;
            self.outcome = Some(Outcome::TooLarge);
            return Err(Errno::EPIPE);
        };
        target.copy_from_slice(bytes);
        self.written = end;
        Ok(())
    }

    /// What is to be told to the host: something for the log, how the request has ended, and whether something else is due.
    fn news(&mut self) -> (Vec<u8>, Option<Outcome>, bool) {
        let is_due = self.is_full() || self.input.was_looked_for();
        (core::mem::take(&mut self.report), self.outcome.take(), is_due)
    }

    /// The response is `start..end` of what was written; it is moved to where the host looks for it.
    fn complete(&mut self, start: usize, end: usize) {
        if start > 0 {
            self.response.copy_within(start..end, 0);
        }
        self.state = State::Done;
        self.outcome = Some(Outcome::Response(end - start));
    }
}

impl Kernel {
    /// Tells the host if the end of the program has completed the response; does not return if so.
    pub fn settle_at_exit(&mut self) {
        self.inbound.borrow_mut().end_program();
        self.settle();
    }

    /// Tells the host if the response has become complete. Called after every system call; does not return if there
    /// is something to tell.
    pub fn settle(&mut self) {
        let (report, outcome, is_due) = self.inbound.borrow_mut().news();
        if !report.is_empty() {
            self.platform.log(STDERR, &report);
        }
        if is_due && !self.make_room() {
            self.look_for_input();
        }
        let Some(outcome) = outcome else { return };
        match outcome {
            Outcome::Response(len) => {
                self.platform.set_response_len(len as u64);
                self.ring(Doorbell::Response, [0; 4]);
            }
            Outcome::TooLarge => self.ring(Doorbell::ResponseTooLarge, [0; 4]),
        }
        self.fail("the host resumed a fork that had already answered");
    }
}
