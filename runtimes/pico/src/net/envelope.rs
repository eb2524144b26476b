//! What travels beside the bytes of a message: its sender's address, descriptors, credentials.

use super::budget::Budget;
use super::packet::Packet;
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Most descriptors that are in flight in the whole VM. Sockets that carry each other and that nobody has open any
/// more are never received: they keep their share of this for ever.
pub const FLYING_MAX: usize = crate::file::FD_MAX;

/// Who sent something: process, user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Credentials {
    /// Nobody is known to have sent it.
    pub const NOBODY: Self = Self { pid: 0, uid: 65_534, gid: 65_534 };
    /// There is no peer.
    pub const NONE: Self = Self { pid: 0, uid: u32::MAX, gid: u32::MAX };

    /// As a `ucred`.
    pub fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        for (place, value) in bytes.chunks_exact_mut(4).zip([self.pid, self.uid, self.gid]) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

/// Whose credentials new messages have: those of the process that runs.
pub type Who = Rc<Cell<Credentials>>;

/// The account of descriptors in flight.
pub struct Flight {
    left: Budget,
    /// Files of messages that were dropped; closing one may drop other messages.
    dropped: RefCell<Vec<Rc<OpenFile>>>,
    closing: Cell<bool>,
}

impl Flight {
    /// Nothing is in flight.
    pub fn new() -> Self {
        Self { left: Budget::new(FLYING_MAX), dropped: RefCell::default(), closing: Cell::new(false) }
    }

    /// Closes what messages carried, one after the other: a chain of sockets that carry each other is not a recursion.
    fn close(&self, files: Vec<Rc<OpenFile>>) {
        self.dropped.borrow_mut().extend(files);
        if self.closing.replace(true) {
            return;
        }
        loop {
            let file = self.dropped.borrow_mut().pop();
            if file.is_none() {
                break;
            }
        }
        self.closing.set(false);
    }
}

impl Default for Flight {
    fn default() -> Self {
        Self::new()
    }
}

/// Descriptors in flight.
pub struct Rights {
    files: Vec<Rc<OpenFile>>,
    flight: Rc<Flight>,
}

impl Rights {
    /// Sends `files` off; `ETOOMANYREFS` if too many are in flight.
    pub fn new(files: Vec<Rc<OpenFile>>, flight: &Rc<Flight>) -> Result<Self> {
        flight.left.take(files.len()).map_err(|_| Errno::ETOOMANYREFS)?;
        Ok(Self { files, flight: flight.clone() })
    }

    /// What is carried.
    pub fn files(&self) -> &[Rc<OpenFile>] {
        &self.files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        self.flight.left.give(self.files.len());
        self.flight.close(core::mem::take(&mut self.files));
    }
}

/// What is beside the bytes.
#[derive(Clone, Default)]
pub struct Envelope {
    /// The sender's `sockaddr`, if it has one.
    pub from: Option<Rc<[u8]>>,
    /// Descriptors.
    pub rights: Option<Rc<Rights>>,
    /// The sender.
    pub credentials: Option<Credentials>,
    /// The head of a datagram from the internet.
    pub packet: Packet,
    /// The sender named the credentials itself (`SCM_CREDENTIALS`).
    pub explicit: bool,
}

impl Envelope {
    /// Whether a stream must remember where it lies.
    pub fn is_empty(&self) -> bool {
        self.rights.is_none() && self.credentials.is_none()
    }
}
