//! Who the program is, and its signals.

mod frame;
mod page_fault;
mod registers;
mod signals;
#[cfg(test)]
mod tests;
mod waiting;

use crate::poll::timerfd::Setting;
use abi::identity::Identity;
pub use frame::{FRAME_SIZE, XSTATE_MASK, XSTATE_SIZE};
pub use page_fault::PAGE_FAULT;
pub use registers::Registers;
pub use signals::{Action, AltStack, Fault, Info, Signals, ThreadSignals, fault_signal};

/// The one process: its own parent's child, as in a container.
pub const PID: u64 = 1;

/// Identity and state of the one process.
pub struct Process {
    /// Generation of the fork this is; 0 in a parent.
    pub generation: u64,
    /// Random id of this fork.
    pub instance: [u8; 16],
    /// Signals.
    pub signals: Signals,
    /// Set by `rt_sigreturn`: the registers are to be taken from the frame on the stack.
    pub returning: bool,
    /// Set when a signal ended a call that is made again if the signal's handler has `SA_RESTART`.
    pub restartable: bool,
    /// The timer that sends `SIGALRM`.
    pub alarm: Setting,
    /// `PR_SET_DUMPABLE`.
    pub dumpable: bool,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// `PR_SET_PDEATHSIG`: kept and returned; the process has no parent that could die.
    pub parent_death_signal: u32,
    /// `PR_SET_TIMERSLACK`, ns.
    pub timer_slack: u64,
    /// `RLIMIT_*`: soft and hard limits by number.
    pub limits: [(u64, u64); 16],
}

impl Process {
    /// A program that just started, with `memory` bytes to live in and `stack` bytes of stack.
    pub fn new(memory: u64, stack: u64) -> Self {
        use linux_raw_sys::general as linux;
        let mut limits = [(u64::MAX, u64::MAX); 16];
        let mut set = |resource: u32, value: u64| limits[resource as usize] = (value, value);
        set(linux::RLIMIT_NOFILE, crate::file::FD_MAX as u64);
        set(linux::RLIMIT_STACK, stack);
        set(linux::RLIMIT_AS, memory);
        set(linux::RLIMIT_CORE, 0);
        set(linux::RLIMIT_NPROC, crate::thread::THREADS_MAX as u64);
        set(linux::RLIMIT_SIGPENDING, 64);
        set(linux::RLIMIT_MSGQUEUE, 0);
        set(linux::RLIMIT_NICE, 0);
        set(linux::RLIMIT_RTPRIO, 0);
        Self {
            generation: 0,
            instance: [0; 16],
            signals: Signals::default(),
            returning: false,
            restartable: false,
            alarm: Setting::default(),
            dumpable: true,
            no_new_privs: false,
            parent_death_signal: 0,
            timer_slack: 50_000,
            limits,
        }
    }

    /// There are `memory` bytes to live in from now on.
    pub fn set_memory_limit(&mut self, memory: u64) {
        self.limits[linux_raw_sys::general::RLIMIT_AS as usize] = (memory, memory);
    }

    /// Becomes the fork `identity` describes.
    pub fn adopt(&mut self, identity: &Identity) {
        self.generation = identity.generation;
        self.instance = identity.instance;
    }
}
