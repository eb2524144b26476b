//! Signals: what the program wants done, what is blocked, what is pending.
//!
//! ```text
//! send -> ignored: gone
//!      -> blocked: pending -> unblocked -> delivered
//!      -> delivered: default action ends or stops the process, a handler gets a frame on its stack
//! ```
//! Signals come from the program's processes, from their faults, and from the host. Actions are the process's;
//! masks and alternate stacks are each thread's; pending is what was sent to a thread, or to the process while all of
//! its threads blocked it.

use super::Info;
use super::pending::Pending;
use crate::errno::{Errno, Result};
use linux_raw_sys::general as linux;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Highest signal number.
pub(super) const SIGNAL_MAX: u32 = 64;

/// `struct kernel_sigaction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Action {
    /// `SIG_DFL`, `SIG_IGN` or the handler.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to; calls `rt_sigreturn`.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: u64,
}

impl Action {
    /// Whether children that end, if this is the action of `SIGCHLD`, are not to be waited for.
    pub fn disowns_children(&self) -> bool {
        self.handler == IGNORE || self.flags & u64::from(linux::SA_NOCLDWAIT) != 0
    }
}

/// `SIG_DFL`
pub(super) const DEFAULT: u64 = 0;
/// `SIG_IGN`
pub(super) const IGNORE: u64 = 1;

/// `stack_t`: where handlers with `SA_ONSTACK` run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct AltStack {
    /// First address.
    pub base: u64,
    /// `SS_*`.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// Bytes.
    pub size: u64,
}

impl AltStack {
    /// No alternate stack.
    pub fn none() -> Self {
        Self { base: 0, flags: linux::SS_DISABLE, reserved: 0, size: 0 }
    }

    /// Whether `rsp` is on this stack.
    pub fn holds(&self, rsp: u64) -> bool {
        self.flags & linux::SS_DISABLE == 0 && rsp > self.base && rsp - self.base <= self.size
    }
}

/// The bit of a signal in a mask.
pub(super) fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Signals that cannot be caught, blocked or ignored.
const UNSTOPPABLE: u64 = 1 << (linux::SIGKILL - 1) | 1 << (linux::SIGSTOP - 1);

/// Signals whose default is to stop the process.
pub(super) const STOPS: u64 = 1 << (linux::SIGSTOP - 1)
    | 1 << (linux::SIGTSTP - 1)
    | 1 << (linux::SIGTTIN - 1)
    | 1 << (linux::SIGTTOU - 1);
/// The signal that continues it.
pub(super) const CONTINUE: u64 = 1 << (linux::SIGCONT - 1);

/// Signals whose default is to do nothing, or nothing more than they do when they are sent.
fn ignored_by_default(signal: u32) -> bool {
    matches!(signal, linux::SIGCHLD | linux::SIGURG | linux::SIGWINCH | linux::SIGCONT)
}

/// The signals of one thread.
pub struct ThreadSignals {
    blocked: u64,
    /// The thread is to end.
    killed: bool,
    /// The mask that comes back when the signal that ended a call with a mask of its own is delivered.
    pub blocked_before: Option<u64>,
    /// Those the call it is in waits for: sigtimedwait(2).
    pub awaited: u64,
    /// The call it is in ends when the process is continued after a stop: signal(7) lists which do.
    pub ends_with_stop: bool,
    pending: Pending,
    /// The alternate stack.
    pub alt_stack: AltStack,
}

impl Default for ThreadSignals {
    fn default() -> Self {
        Self::new(0, AltStack::none())
    }
}

impl ThreadSignals {
    /// Signals of a thread that blocks `blocked`.
    pub fn new(blocked: u64, alt_stack: AltStack) -> Self {
        Self {
            blocked,
            killed: false,
            blocked_before: None,
            awaited: 0,
            ends_with_stop: false,
            pending: Pending::default(),
            alt_stack,
        }
    }

    /// The thread is to end as soon as it leaves pico; what it waits for is over.
    pub fn kill(&mut self) {
        self.killed = true;
    }

    /// Whether the thread is to end.
    pub fn is_killed(&self) -> bool {
        self.killed
    }

    /// The mask of blocked signals.
    pub fn blocked(&self) -> u64 {
        self.blocked
    }

    /// Whether `signal` is blocked.
    pub fn blocks(&self, signal: u32) -> bool {
        self.blocked & bit(signal) != 0
    }

    /// Whether it takes `signal` that is sent to the process, now or by the call it is in.
    pub fn takes(&self, signal: u32) -> bool {
        !self.blocks(signal) || self.awaited & bit(signal) != 0
    }

    /// `info` is to be delivered to this thread; see [`Pending::add`].
    pub fn add(&mut self, info: Info) -> Result<bool> {
        self.pending.add(info)
    }

    /// What timer `id` sent, if that still waits.
    pub fn of_timer(&mut self, id: u32) -> Option<&mut Info> {
        self.pending.of_timer(id)
    }

    /// Signals of `mask` are not to be delivered any more.
    pub fn forget(&mut self, mask: u64) {
        self.pending.forget(mask);
    }
}

/// State of all signals of the process and of the thread that runs.
pub struct Signals {
    actions: [Action; SIGNAL_MAX as usize],
    /// Sent to the process when every thread blocked them.
    shared: Pending,
    /// Those of the running thread.
    pub own: ThreadSignals,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            actions: [Action::default(); SIGNAL_MAX as usize],
            shared: Pending::default(),
            own: ThreadSignals::default(),
        }
    }
}

impl Signals {
    /// Those of a new process: the same actions, or none, and nothing pending.
    pub fn child(&self, clears_handlers: bool) -> Self {
        let mut child =
            Self { actions: self.actions, shared: Pending::default(), own: ThreadSignals::default() };
        if clears_handlers {
            child.reset_handlers();
        }
        child
    }

    /// Handlers are gone; what was ignored stays ignored.
    pub fn reset_handlers(&mut self) {
        for action in &mut self.actions {
            let handler = if action.handler == IGNORE { IGNORE } else { DEFAULT };
            *action = Action { handler, ..Action::default() };
        }
    }

    fn index(signal: u32) -> Result<usize> {
        if (1..=SIGNAL_MAX).contains(&signal) { Ok(signal as usize - 1) } else { Err(Errno::EINVAL) }
    }

    /// What happens on `signal`.
    pub fn action(&self, signal: u32) -> Result<Action> {
        Self::index(signal).map(|index| self.actions[index])
    }

    /// Sets what happens on `signal`. Pending ones that are ignored now are dropped.
    pub fn set_action(&mut self, signal: u32, action: Action) -> Result<()> {
        let index = Self::index(signal)?;
        if bit(signal) & UNSTOPPABLE != 0 {
            return Err(Errno::EINVAL);
        }
        self.actions[index] = Action { mask: action.mask & !UNSTOPPABLE, ..action };
        if self.is_ignored(signal) {
            self.forget(bit(signal));
        }
        Ok(())
    }

    /// Signals of `mask` are not to be delivered any more, unless to another thread.
    pub fn forget(&mut self, mask: u64) {
        self.shared.forget(mask);
        self.own.forget(mask);
    }

    /// Whether the default action of `signal`, which is to be taken, is to stop the process.
    fn stops(&self, signal: u32) -> bool {
        bit(signal) & STOPS != 0 && self.actions[signal as usize - 1].handler == DEFAULT
    }

    /// Takes the next signal to deliver if it is to stop the process.
    pub fn take_stop(&mut self) -> Option<u32> {
        let signal = self.next_due().filter(|&signal| !self.own.killed && self.stops(signal))?;
        self.remove(signal);
        Some(signal)
    }

    /// Whether `signal` has no effect.
    pub fn is_ignored(&self, signal: u32) -> bool {
        match self.actions[signal as usize - 1].handler {
            IGNORE => true,
            DEFAULT => ignored_by_default(signal),
            _ => false,
        }
    }

    /// The mask of blocked signals.
    pub fn blocked(&self) -> u64 {
        self.own.blocked
    }

    /// Sets the mask of blocked signals.
    pub fn set_blocked(&mut self, mask: u64) {
        self.own.blocked = mask & !UNSTOPPABLE;
    }

    /// Whether a fault's signal can reach a handler.
    pub fn catches(&self, signal: u32) -> bool {
        self.actions[signal as usize - 1].handler > IGNORE && !self.own.blocks(signal)
    }

    /// The mask of signals that wait to be unblocked.
    pub fn pending(&self) -> u64 {
        self.all_pending().fold(0, |mask, signal| mask | bit(signal))
    }

    /// Sends `info` to the running thread. Whether it waits now.
    pub fn send(&mut self, info: Info) -> Result<bool> {
        Self::index(info.signal)?;
        if self.is_ignored(info.signal) && !self.own.blocks(info.signal) {
            return Ok(false);
        }
        self.own.add(info)
    }

    /// What timer `id` sent to the running thread or to the process, if that still waits.
    pub fn of_timer(&mut self, id: u32) -> Option<&mut Info> {
        self.own.of_timer(id).or_else(|| self.shared.of_timer(id))
    }

    /// Keeps `info` for whichever thread unblocks it first. Whether it waits now.
    pub fn send_shared(&mut self, info: Info) -> Result<bool> {
        Self::index(info.signal)?;
        self.shared.add(info)
    }

    /// Numbers of the signals that are pending for the running thread: its own, then those of the process.
    fn all_pending(&self) -> impl Iterator<Item = u32> {
        self.own.pending.numbers().chain(self.shared.numbers())
    }

    /// The next signal to deliver.
    fn next_due(&self) -> Option<u32> {
        self.all_pending().find(|&signal| !self.own.blocks(signal) && !self.is_ignored(signal))
    }

    fn remove(&mut self, signal: u32) -> Option<Info> {
        self.own.pending.remove(signal).or_else(|| self.shared.remove(signal))
    }

    /// Whether there is a signal to deliver, or the thread is to end.
    pub fn is_due(&self) -> bool {
        self.own.killed || self.next_due().is_some()
    }

    /// Whether the system call that the next signal ended is to be made again.
    pub fn restarts(&self) -> bool {
        let action = self.next_due().map(|signal| self.actions[signal as usize - 1]);
        action.is_none_or(|action| action.flags & u64::from(linux::SA_RESTART) != 0)
    }

    /// The mask that a handler that starts now leaves behind.
    pub fn take_blocked_before(&mut self) -> u64 {
        self.own.blocked_before.take().unwrap_or(self.own.blocked)
    }

    /// Takes the next signal to deliver, with its action.
    pub fn take(&mut self) -> Option<(Info, Action)> {
        loop {
            let signal = self.all_pending().find(|&signal| !self.own.blocks(signal))?;
            let info = self.remove(signal)?;
            if !self.is_ignored(signal) {
                return Some((info, self.actions[signal as usize - 1]));
            }
        }
    }

    /// Takes a pending signal out of `set`, whether blocked or not: sigtimedwait(2).
    pub fn take_from(&mut self, set: u64) -> Option<Info> {
        let signal = self.all_pending().find(|&signal| set & bit(signal) != 0)?;
        self.remove(signal)
    }

    /// A handler for `signal` starts: its mask takes effect.
    pub fn enter_handler(&mut self, signal: u32, action: &Action) {
        self.own.blocked |= action.mask;
        if action.flags & u64::from(linux::SA_NODEFER) == 0 {
            self.own.blocked |= bit(signal);
        }
        if action.flags & u64::from(linux::SA_RESETHAND) != 0 {
            self.actions[signal as usize - 1].handler = DEFAULT;
        }
    }
}
