//! Limits on what pipes, sockets and epoll sets keep in pico's own memory, all of them together.

use crate::errno::{Errno, Result};
use alloc::rc::Rc;
use core::cell::Cell;

/// A shared allowance; clones count together.
#[derive(Clone)]
pub struct Budget(Rc<Cell<usize>>);

impl Budget {
    /// An allowance of `amount` (of bytes, or entries).
    pub fn new(amount: usize) -> Self {
        Self(Rc::new(Cell::new(amount)))
    }

    /// What can still be taken.
    pub fn left(&self) -> usize {
        self.0.get()
    }

    /// Takes `amount` of it, or `ENOBUFS`.
    pub fn take(&self, amount: usize) -> Result<()> {
        let left = self.0.get().checked_sub(amount).ok_or(Errno::ENOBUFS)?;
        self.0.set(left);
        Ok(())
    }

    /// Gives `amount` back.
    pub fn give(&self, amount: usize) {
        self.0.set(self.0.get() + amount);
    }
}
