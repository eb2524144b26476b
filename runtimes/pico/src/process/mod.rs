//! Processes, their signals, and how they come and go.
//!
//! The state of the process that has the processor lies in the kernel; that of the others is stored. `table` knows who there
//! is, `switch` goes from one to another, `stop` is job control, `space` does the same for address spaces, which two can share for a while.

mod begin;
mod children;
mod finish;
mod frame;
mod ids;
mod info;
mod page_fault;
mod pending;
mod pidfd;
mod registers;
mod signals;
mod space;
mod stop;
#[cfg(test)]
mod stop_tests;
mod switch;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod timers;
mod waiting;

use crate::poll::timerfd::Setting;
use abi::identity::Identity;
use alloc::boxed::Box;
pub use begin::Birth;
pub use children::{Kin, Question, Selector};
pub use frame::{FRAME_SIZE, XSTATE_MASK, XSTATE_SIZE};
pub use ids::{GROUPS_MAX, Ids, Triple};
pub use info::{Fault, Info, fault_signal};
pub use page_fault::PAGE_FAULT;
pub use pidfd::PidFd;
pub use registers::Registers;
pub use signals::{Action, AltStack, Signals, ThreadSignals};
pub use space::{Space, Spaces};
pub use switch::{Stored, View};
pub use table::{Change, Ending, FIRST, News, Processes, Record};
pub use timers::{Timer, Timers};

/// The first process, as in a container.
pub const PID: u64 = 1;

/// What the identity of a fork leaves behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fork {
    /// Generation of the fork this is; 0 in a parent.
    pub generation: u64,
    /// Random id of this fork.
    pub instance: [u8; 16],
}

impl Fork {
    /// Becomes the fork `identity` describes.
    pub fn adopt(&mut self, identity: &Identity) {
        self.generation = identity.generation;
        self.instance = identity.instance;
    }
}

/// How a system call goes back to the program, if not to where it came from.
pub enum Return {
    /// `rt_sigreturn`: with the registers in the frame on the stack.
    Frame,
    /// `execve`: to the first instruction of another program.
    Program(Box<Registers>),
}

/// State of one process.
pub struct Process {
    /// Signals.
    pub signals: Signals,
    /// Users and groups.
    pub ids: Ids,
    /// Set by `rt_sigreturn` and `execve`.
    pub returning: Option<Return>,
    /// Set when a signal ended a call that is made again if the signal's handler has `SA_RESTART`.
    pub restartable: bool,
    /// The timer that sends `SIGALRM`.
    pub alarm: Setting,
    /// The timers that go by CPU time: that of `SIGVTALRM` and that of `SIGPROF`.
    pub cpu_alarms: [Setting; 2],
    /// Those of timer_create(2).
    pub timers: Timers,
    /// As setpriority(2) has it.
    pub nice: i32,
    /// `PR_SET_DUMPABLE`.
    pub dumpable: bool,
    /// `PR_SET_KEEPCAPS`; who has given up root's id may nothing special either way.
    pub keeps_capabilities: bool,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// `PR_SET_PDEATHSIG`: what it gets when its parent ends; 0: nothing.
    pub parent_death_signal: u32,
    /// `PR_SET_TIMERSLACK`, ns.
    pub timer_slack: u64,
    /// `RLIMIT_*`: soft and hard limits by number.
    pub limits: [(u64, u64); 16],
    /// CPU time until it gave the processor to another process last, in ns.
    pub busy: u64,
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
        set(linux::RLIMIT_SIGPENDING, pending::PENDING_MAX as u64);
        set(linux::RLIMIT_MSGQUEUE, 0);
        set(linux::RLIMIT_NICE, 0);
        set(linux::RLIMIT_RTPRIO, 0);
        Self {
            signals: Signals::default(),
            ids: Ids::root(),
            returning: None,
            restartable: false,
            alarm: Setting::default(),
            cpu_alarms: Default::default(),
            timers: Timers::default(),
            nice: 0,
            dumpable: true,
            keeps_capabilities: false,
            no_new_privs: false,
            parent_death_signal: 0,
            timer_slack: 50_000,
            limits,
            busy: 0,
        }
    }

    /// A child of this process, as fork(2) makes it.
    fn child(&self, clears_handlers: bool) -> Self {
        Self {
            signals: self.signals.child(clears_handlers),
            ids: self.ids.clone(),
            returning: None,
            restartable: false,
            alarm: Setting::default(),
            cpu_alarms: Default::default(),
            timers: Timers::default(),
            nice: self.nice,
            dumpable: self.dumpable,
            keeps_capabilities: self.keeps_capabilities,
            no_new_privs: self.no_new_privs,
            parent_death_signal: 0,
            timer_slack: self.timer_slack,
            limits: self.limits,
            busy: 0,
        }
    }

    /// When the next of its timers goes off.
    pub fn next_alarm(&self) -> Option<u64> {
        self.alarm.next.into_iter().chain(self.timers.next()).min()
    }

    /// Whether a timer goes by its CPU time.
    pub fn has_cpu_alarm(&self) -> bool {
        self.cpu_alarms.iter().any(|alarm| alarm.next.is_some())
    }

    /// There are `memory` bytes to live in from now on.
    pub fn set_memory_limit(&mut self, memory: u64) {
        self.limits[linux_raw_sys::general::RLIMIT_AS as usize] = (memory, memory);
    }
}
