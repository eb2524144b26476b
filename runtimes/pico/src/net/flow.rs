//! What streams of bytes and queues of messages have in common: both go one way, from one end to the other.

use super::envelope::Envelope;
use super::messages::Received;
use crate::errno::Result;
use core::cell::Cell;

/// What goes one way. Both ends hold it; each says when it goes.
pub trait Way {
    /// Who sends or receives is told of a reset before all else; otherwise who receives, behind what came before it.
    const RESET_FIRST: bool;

    /// Its ends.
    fn flow(&self) -> &Flow;
    /// Takes out what is next (or looks at it, with `peek`), and into `envelope` what lies beside it. No bytes are the
    /// end; `EAGAIN` if there is nothing yet.
    fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received>;
    /// Puts in what fits (a message: all of it); takes the envelope if anything is put in.
    fn send(&self, buf: &[u8], envelope: &mut Envelope) -> Result<usize>;
    /// Whether there is nothing to receive.
    fn is_empty(&self) -> bool;
    /// Bytes that can be received at once.
    fn pending(&self) -> usize;
    /// Whether there is room for something of moderate size.
    fn has_room(&self) -> bool;
    /// Nobody receives any more; what is in it is dropped.
    fn close_read(&self);
    /// Whether the receiver wants to know who sent what (`SO_PASSCRED`).
    fn want_credentials(&self, wanted: bool);

    /// Whether receiving would not block.
    fn readable(&self) -> bool {
        self.flow().is_closed() || !self.is_empty()
    }
    /// Whether sending would not block.
    fn writable(&self) -> bool {
        self.flow().is_closed() || self.has_room()
    }
}

/// The two ends: which are closed, and what is new for them.
#[derive(Default)]
pub struct Flow {
    read_closed: Cell<bool>,
    write_closed: Cell<bool>,
    /// A writer found too little room since the last read.
    was_full: Cell<bool>,
    read_activity: Cell<u64>,
    write_activity: Cell<u64>,
    /// The writer went without having read what it was sent, or was never accepted.
    reset: Cell<bool>,
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Flow {
    /// Whether the reading end is closed.
    pub fn read_closed(&self) -> bool {
        self.read_closed.get()
    }

    /// Whether the writing end is closed.
    pub fn write_closed(&self) -> bool {
        self.write_closed.get()
    }

    /// Whether one of them is closed.
    pub fn is_closed(&self) -> bool {
        self.read_closed() || self.write_closed()
    }

    /// Nobody reads any more.
    pub(super) fn close_read(&self) {
        self.read_closed.set(true);
        self.add_room();
    }

    /// Nothing more will be written: the reader sees the end behind what is there.
    pub fn close_write(&self) {
        self.write_closed.set(true);
        self.add_data();
    }

    /// Nobody will write or wait any more; what is there can be read.
    pub fn end(&self) {
        self.read_closed.set(true);
        self.add_data();
    }

    /// Says which ends are open; what is there stays. For streams whose ends come and go.
    pub fn set_ends(&self, reading: bool, writing: bool) {
        if self.read_closed.replace(!reading) == reading {
            self.add_room();
        }
        if self.write_closed.replace(!writing) == writing {
            self.add_data();
        }
    }

    /// There is something new for the reader.
    pub(super) fn add_data(&self) {
        bump(&self.read_activity);
    }

    /// There is something new for writers.
    pub(super) fn add_room(&self) {
        bump(&self.write_activity);
    }

    /// A writer found too little room.
    pub(super) fn fill(&self) {
        self.was_full.set(true);
    }

    /// Something was read: there is new room for a writer that found too little. That is news until there is enough
    /// (`has_room`) for the writer to be told.
    pub(super) fn drain(&self, has_room: bool) {
        if self.was_full.get() {
            self.was_full.set(!has_room);
            self.add_room();
        }
    }

    /// Changes when there is something new for the reader.
    pub fn read_activity(&self) -> u64 {
        self.read_activity.get()
    }

    /// Changes when there is new room for a writer that found too little, or the reader has gone.
    pub fn write_activity(&self) -> u64 {
        self.write_activity.get()
    }

    /// The writer goes, and what it was sent it has not read: the reader is told once.
    pub fn reset(&self) {
        self.reset.set(true);
    }

    /// Whether the reader is yet to be told of a reset.
    pub fn is_reset(&self) -> bool {
        self.reset.get()
    }

    /// Takes the error of a reset.
    pub fn take_reset(&self) -> bool {
        self.reset.take()
    }
}
