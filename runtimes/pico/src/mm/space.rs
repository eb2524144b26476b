//! Several address spaces.

use super::Mm;
use crate::errno::{Errno, Result};

impl Mm {
    /// A copy of this address space, copy on write (fork).
    pub fn copy(&mut self) -> Result<Mm> {
        Err(Errno::ENOSYS)
    }

    /// An address space in which nothing of a program is mapped (execve).
    pub fn empty(&mut self) -> Result<Mm> {
        Err(Errno::ENOSYS)
    }

    /// Gives back all that only this address space holds. It must not be the processor's: another one was activated.
    pub fn release(self) {}

    /// Identity of the address space among those that exist.
    pub fn space(&self) -> u32 {
        0
    }

    /// Identity of the memory at `addr` for futexes: the same in all address spaces that share it.
    pub fn futex_key(&self, addr: u64) -> (u32, u64) {
        (self.space(), addr)
    }

    /// The processor goes on in this address space.
    pub fn activate(&self) {}
}
