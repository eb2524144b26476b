//! How a thread begins.

use super::{Context, STACK_PAGES, State, Thread};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::{AltStack, Registers, ThreadSignals};

/// What becomes of the registers of the thread that called clone(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The new thread.
    pub tid: u32,
    /// Its stack pointer; 0: as it is.
    pub rsp: u64,
}

/// Written at the end of every stack of a thread: what is found changed was overwritten.
const CANARY: u64 = 0x5350_4f52_4543_414e;
const STACK_BYTES: usize = STACK_PAGES * 4096;

impl Kernel {
    /// Makes a thread with the thread pointer `fs_base`, or that of the running thread, and the stack pointer `rsp`.
    /// It begins when the system call is over.
    /// `is_process`: it is the first one of a new process.
    pub(crate) fn add_thread(&mut self, rsp: u64, fs_base: Option<u64>, is_process: bool) -> Result<u32> {
        let processes = &self.processes;
        let tid = self.threads.next_tid(|tid| processes.is_in_use(tid))?;
        let process = if is_process { tid } else { self.pid() };
        let stack_top = self.take_stack()?;
        let own = &self.process.signals.own;
        let signals = ThreadSignals::new(own.blocked(), AltStack::none());
        let context = Context {
            rsp: 0,
            stack_top,
            fs_base: fs_base.unwrap_or_else(|| self.platform.fs_base()),
            gs_base: self.platform.gs_base(),
        };
        let name = self.threads.current().name;
        // Ready, but in no queue yet.
        let state = State::Ready;
        let thread =
            Thread { state, process, seen: 0, context, signals, name, clear_child_tid: 0, robust_list: 0 };
        self.threads.add(tid, thread);
        if !is_process {
            self.processes.own_mut().threads += 1;
        }
        self.threads.beginning = Some(Beginning { tid, rsp });
        Ok(tid)
    }

    /// Takes back the thread `tid`, which was to be the first one of a process.
    pub(crate) fn abandon_thread(&mut self, tid: u32) {
        self.threads.beginning = None;
        if let Some(thread) = self.threads.take_back(tid) {
            self.threads.spare_stacks.push(thread.context.stack_top);
        }
    }

    /// At the end of the system call that made a thread: it starts with the caller's `registers`, but 0 as result.
    pub(crate) fn begin_thread(&mut self, registers: &Registers) {
        let Some(Beginning { tid, rsp }) = self.threads.beginning.take() else { return };
        let rsp = if rsp == 0 { registers.rsp } else { rsp };
        let registers = Registers { rax: 0, rsp, ..*registers };
        let top = self.threads.find(tid).map_or(0, |thread| thread.context.stack_top);
        let stack = self.mm.raw(top - STACK_BYTES as u64, STACK_BYTES as u64);
        let start = self.platform.prepare(stack, &registers);
        if let Some(thread) = self.threads.find(tid) {
            thread.context.rsp = start;
        }
        self.threads.make_ready(tid);
        if self.processes.get(tid).is_ok_and(|child| child.lender.is_some()) {
            self.announce_ticks();
            self.await_loan(tid);
        }
    }

    /// A stack for a thread; returns its top.
    fn take_stack(&mut self) -> Result<u64> {
        if let Some(top) = self.threads.spare_stacks.pop() {
            return Ok(top);
        }
        let stack = self.mm.alloc_pages(STACK_PAGES).map_err(|_| Errno::EAGAIN)?;
        stack[..8].copy_from_slice(&CANARY.to_le_bytes());
        Ok(stack.as_ptr().expose_provenance() as u64 + STACK_BYTES as u64)
    }

    /// Ends the VM if the running thread has used more of pico's stack than there is.
    pub(super) fn check_stack(&mut self) {
        let tid = self.threads.tid();
        let top = self.threads.context(tid).map_or(0, |context| context.stack_top);
        if top != 0 && self.mm.raw(top - STACK_BYTES as u64, 8) != CANARY.to_le_bytes() {
            self.fail("a system call needed more stack than a thread has");
        }
    }
}
