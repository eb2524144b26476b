//! How a thread ends.

use super::{ANY, Futex, Waiting};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// Most entries of a robust list that are looked at (`ROBUST_LIST_LIMIT`).
const ROBUST_MAX: usize = 2048;
/// A pointer in a robust list with this bit is to a futex with priority inheritance.
const PRIORITY: u64 = 1;

impl Kernel {
    /// exit(2) of a thread that is not the last one of the first process. Does not return.
    pub(crate) fn end_thread(&mut self, status: u32) {
        self.leave_memory();
        let (stack, pid) = (self.threads.current().context.stack_top, self.pid());
        self.threads.retire(status);
        if stack != 0 {
            // This stack is in use until the switch, and nobody takes one before that.
            self.threads.spare_stacks.push(stack);
        }
        let record = self.processes.own_mut();
        record.threads -= 1;
        if record.threads == 0 {
            let status = self.threads.first_status(pid).unwrap_or(status);
            self.finish_process(status);
        } else {
            self.threads.wake_parents(pid);
        }
        self.run_next();
        self.fail("a thread ran after its end");
    }

    /// The running thread does not use its memory any more: who waits for its futexes or for its end is told.
    pub(crate) fn leave_memory(&mut self) {
        // A list that cannot be read is the program's own fault, and as far as possible it has been served.
        let _ = self.release_robust_futexes();
        self.clear_tid();
    }

    /// All other threads of the process end; the running one becomes its first. `EINTR` if it is to end itself.
    pub(crate) fn end_other_threads(&mut self) -> Result<()> {
        let (pid, own) = (self.pid(), self.threads.tid());
        self.kill_threads(pid, Some(own));
        while self.processes.own().threads > 1 {
            if self.process.signals.own.is_killed() {
                return Err(Errno::EINTR);
            }
            self.suspend(Waiting { for_children: true, ..Waiting::default() });
        }
        if own != pid {
            self.threads.become_first(pid);
        }
        Ok(())
    }

    /// Tells who waits for the thread's end (pthread_join).
    fn clear_tid(&mut self) {
        let at = core::mem::take(&mut self.threads.current().clear_child_tid);
        if at != 0 && self.mm.write(at, &0u32).is_ok() {
            self.wake_futex(self.mm.futex_key(at), 1, ANY);
        }
    }

    /// Wakes up to `count` of those who wait for `futex` and care for `bits`. Returns how many.
    pub(crate) fn wake_futex(&mut self, futex: Futex, count: usize, bits: u32) -> usize {
        for woken in 0..count {
            let Some(tid) = self.threads.futexes.take(futex, bits) else { return woken };
            self.threads.wake(tid);
        }
        count
    }

    /// Marks the robust futexes that the thread holds: their owner has died.
    pub(super) fn release_robust_futexes(&mut self) -> Result<()> {
        let head = core::mem::take(&mut self.threads.current().robust_list);
        if head == 0 {
            return Ok(());
        }
        let [mut entry, offset, pending]: [u64; 3] = self.mm.read(head)?;
        let futex = |entry: u64| (entry & !PRIORITY).wrapping_add(offset);
        for _ in 0..ROBUST_MAX {
            if entry & !PRIORITY == head {
                break;
            }
            let next: Result<u64> = self.mm.read(entry & !PRIORITY);
            if entry != pending {
                self.release_robust_futex(futex(entry), false)?;
            }
            entry = next?;
        }
        if pending & !PRIORITY != 0 {
            self.release_robust_futex(futex(pending), pending & PRIORITY == 0)?;
        }
        Ok(())
    }

    /// One of them. `pending`: the thread may have been about to take it, or to wake somebody for it.
    fn release_robust_futex(&mut self, at: u64, pending: bool) -> Result<()> {
        if !at.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let value: u32 = self.mm.read(at)?;
        if value & linux::FUTEX_TID_MASK != self.threads.tid() {
            if pending && value == 0 {
                self.wake_futex(self.mm.futex_key(at), 1, ANY);
            }
            return Ok(());
        }
        self.mm.write(at, &(value & linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED))?;
        if value & linux::FUTEX_WAITERS != 0 {
            self.wake_futex(self.mm.futex_key(at), 1, ANY);
        }
        Ok(())
    }
}
