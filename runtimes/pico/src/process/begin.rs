//! How a process begins: fork(2), vfork(2), and clone(2) without `CLONE_THREAD`.

use super::{Space, Stored};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::thread::Waiting;

/// A copy of a process needs memory as soon as it runs. There is none for it while less than this part of all is left.
const RESERVE: u64 = 16;

/// What is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Birth {
    /// Whether the child lives in the caller's address space.
    pub shares_memory: bool,
    /// Whether the caller waits until the child has one of its own, or ends.
    pub lends: bool,
    /// Whether the child's signals all have their default actions.
    pub clears_handlers: bool,
    /// The signal for the parent at the child's end; 0: none.
    pub exit_signal: u32,
    /// Stack pointer; 0: as it is.
    pub rsp: u64,
    /// Thread pointer, if it is to be another.
    pub fs_base: Option<u64>,
    /// Where the child's memory is to hold its id; 0: nowhere.
    pub child_tid: u64,
}

impl Kernel {
    /// Makes a child of the current process with one thread, a copy of the running one, and returns its id. It begins
    /// when the system call is over.
    pub(crate) fn fork(&mut self, birth: &Birth) -> Result<u32> {
        let own_bytes = self.fds.own_bytes() + self.vfs.place.program.own_bytes();
        let charged = self.processes.charge(own_bytes)?;
        let result = self.fork_charged(birth, charged);
        if result.is_err() {
            self.processes.refund(charged);
        }
        result
    }

    fn fork_charged(&mut self, birth: &Birth, charged: usize) -> Result<u32> {
        if !birth.shares_memory && self.mm.free() < self.mm.total() / RESERVE {
            self.mm.note_refused();
            return Err(Errno::ENOMEM);
        }
        let pid = self.add_thread(birth.rsp, birth.fs_base, true)?;
        let space = match self.child_space(birth, pid) {
            Ok(space) => space,
            Err(errno) => {
                self.abandon_thread(pid);
                return Err(errno);
            }
        };
        let process = self.process.child(birth.clears_handlers);
        let stored = Stored { process, fds: self.fds.clone(), place: self.vfs.place.clone() };
        self.processes.add(pid, space, birth.exit_signal, charged, stored);
        let own = self.threads.tid();
        if birth.lends
            && let Ok(record) = self.processes.get_mut(pid)
        {
            record.lender = Some(own);
        }
        let alt_stack = self.process.signals.own.alt_stack;
        if (birth.lends || !birth.shares_memory)
            && let Some(thread) = self.threads.find(pid)
        {
            thread.signals.alt_stack = alt_stack;
        }
        Ok(pid)
    }

    /// The address space of the child `pid`.
    fn child_space(&mut self, birth: &Birth, pid: u32) -> Result<u32> {
        if birth.shares_memory {
            let space = self.processes.spaces.current();
            self.processes.spaces.join(space);
            if birth.child_tid != 0 {
                // As on Linux, the child exists even if it cannot be told its id.
                let _ = self.mm.write(birth.child_tid, &pid);
            }
            return Ok(space);
        }
        // Only the child is to see its id. Nobody else runs meanwhile.
        let before: Option<u32> =
            Some(birth.child_tid).filter(|&at| at != 0).and_then(|at| self.mm.read(at).ok());
        let told = before.filter(|_| self.mm.write(birth.child_tid, &pid).is_ok());
        let copy = self.mm.copy();
        if let Some(before) = told {
            self.mm.write(birth.child_tid, &before)?;
        }
        let mm = copy?;
        let (rewriter, mut shared) = (self.rewriter.clone(), self.vfs.shared.copy());
        // Some may not be the child's.
        shared.release(&mm);
        Ok(self.processes.spaces.add(Space { mm, rewriter, shared }))
    }

    /// Waits while the child `pid` lives in memory that is lent to it.
    pub(crate) fn await_loan(&mut self, pid: u32) {
        let own = self.threads.tid();
        let is_lent =
            |kernel: &Self| kernel.processes.get(pid).is_ok_and(|record| record.lender == Some(own));
        while is_lent(self) && self.threads.tid() == own && !self.process.signals.own.is_killed() {
            self.suspend(Waiting::default());
        }
    }

    /// The process `pid` needs no memory of others any more.
    pub(crate) fn return_loan(&mut self, pid: u32) {
        let lender = self.processes.get_mut(pid).ok().and_then(|record| record.lender.take());
        if let Some(lender) = lender {
            self.threads.wake(lender);
        }
    }
}
