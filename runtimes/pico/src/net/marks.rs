//! What lies beside the bytes of a stream, and where it lies: descriptors and credentials.

use super::budget::Budget;
use super::envelope::{Credentials, Envelope};
use crate::errno::Result;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// What a mark costs, counted as bytes of the stream.
const COST: usize = 96;
/// Most marks in one stream.
const MARKS_MAX: usize = 1024;

/// Bytes that were written at once with something beside them.
struct Mark {
    start: u64,
    end: u64,
    envelope: Envelope,
}

/// The marks of one stream.
pub struct Marks {
    marks: RefCell<VecDeque<Mark>>,
    read: Cell<u64>,
    written: Cell<u64>,
    wants_credentials: Cell<bool>,
    budget: Budget,
}

impl Marks {
    /// None, in a stream of which nothing was written.
    pub fn new(budget: Budget) -> Self {
        Self {
            marks: RefCell::default(),
            read: Cell::new(0),
            written: Cell::new(0),
            wants_credentials: Cell::new(false),
            budget,
        }
    }

    /// Whether there can be one more.
    pub fn has_room(&self) -> bool {
        self.marks.borrow().len() < MARKS_MAX
    }

    /// Says whether the reader tells the writers apart.
    pub fn want_credentials(&self, wanted: bool) {
        self.wants_credentials.set(wanted);
    }

    /// `len` bytes were written, with `envelope` beside them, which is taken.
    pub fn add(&self, len: usize, envelope: &mut Envelope) -> Result<()> {
        if !envelope.explicit && !self.wants_credentials.get() {
            envelope.credentials = None;
        }
        let start = self.written.get();
        let end = start + len as u64;
        if !envelope.is_empty() {
            self.budget.take(COST)?;
            let envelope = core::mem::take(envelope);
            self.marks.borrow_mut().push_back(Mark { start, end, envelope });
        }
        self.written.set(end);
        Ok(())
    }

    /// Of `len` bytes that can be read, how many are read at once; what lies beside them goes to `envelope`.
    pub fn take(&self, len: usize, peek: bool, envelope: &mut Envelope) -> usize {
        let start = self.read.get();
        let end = self.stretch(start, start + len as u64, peek, envelope);
        if !peek {
            self.read.set(end);
            self.forget(end);
        }
        usize::try_from(end - start).expect("not more than can be read")
    }

    fn stretch(&self, start: u64, end: u64, peek: bool, envelope: &mut Envelope) -> u64 {
        let mut marks = self.marks.borrow_mut();
        let mut at = start;
        let mut sender: Option<Option<Credentials>> = None;
        let mut differs =
            |credentials| self.wants_credentials.get() && *sender.get_or_insert(credentials) != credentials;
        for mark in marks.iter_mut().take_while(|mark| mark.start < end) {
            if mark.start > at && differs(None) {
                return at;
            }
            at = at.max(mark.start);
            if differs(mark.envelope.credentials) {
                return at;
            }
            at = mark.end.min(end);
            envelope.credentials = mark.envelope.credentials;
            if mark.envelope.rights.is_some() {
                let rights = &mut mark.envelope.rights;
                envelope.rights = if peek { rights.clone() } else { rights.take() };
                return at;
            }
        }
        if at < end && differs(None) { at } else { end }
    }

    fn forget(&self, read: u64) {
        let mut marks = self.marks.borrow_mut();
        while marks.front().is_some_and(|mark| mark.end <= read) {
            marks.pop_front();
            self.budget.give(COST);
        }
    }

    /// Drops all, with what they carry.
    pub fn clear(&self) {
        let dropped = core::mem::take(&mut *self.marks.borrow_mut());
        self.budget.give(COST * dropped.len());
        drop(dropped);
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        self.clear();
    }
}
