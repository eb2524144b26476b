//! Whose terminal it is: the session, its foreground, and what happens to who is not in it.

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::{FIRST, Info};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general as linux;

/// `si_code` of what the kernel sends.
const SI_KERNEL: i32 = 0x80;

/// The session a terminal belongs to.
#[derive(Default)]
pub struct Jobs {
    /// `/dev/pts/NUMBER`; nothing: the terminal that the host offers.
    pub number: Option<u32>,
    /// The session; 0: none.
    pub session: Cell<u32>,
    /// The process group in the foreground; 0: none.
    pub foreground: Cell<u32>,
    /// Signals for the foreground that were not sent yet.
    signals: Cell<u64>,
    /// It was hung up, and the session was not told yet.
    hung_up: Cell<bool>,
}

impl Jobs {
    /// A terminal without a session.
    pub fn new(number: Option<u32>) -> Self {
        Self { number, ..Self::default() }
    }

    fn belong_to(&self, session: u32, foreground: u32) {
        self.session.set(session);
        self.foreground.set(foreground);
    }

    /// `st_rdev` of the terminal.
    pub fn device(&self) -> u64 {
        u64::from(linux_device(self.number.unwrap_or(0)))
    }
}

/// Device number of `/dev/pts/NUMBER`.
pub fn linux_device(number: u32) -> u32 {
    136 << 8 | number
}

/// Terminals that have something to tell their sessions: each at most once, so there are not more than terminals.
#[derive(Default)]
pub struct Due(RefCell<Vec<Rc<Jobs>>>);

impl Due {
    fn add(&self, jobs: &Rc<Jobs>) {
        let mut due = self.0.borrow_mut();
        if !due.iter().any(|known| Rc::ptr_eq(known, jobs)) {
            due.push(jobs.clone());
        }
    }

    /// `signal` is for the foreground of `jobs`.
    pub fn signal(&self, jobs: &Rc<Jobs>, signal: u32) {
        jobs.signals.set(jobs.signals.get() | 1 << (signal - 1));
        self.add(jobs);
    }

    /// The terminal of `jobs` is gone.
    pub fn hang_up(&self, jobs: &Rc<Jobs>) {
        jobs.hung_up.set(true);
        self.add(jobs);
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }
}

impl Kernel {
    /// The first process leads a session with the terminal that the host offers.
    pub(crate) fn attach_console(&mut self) {
        let jobs = Rc::new(Jobs::new(None));
        jobs.belong_to(FIRST, FIRST);
        self.terminals.console = Some(jobs.clone());
        self.processes.own_mut().terminal = Some(jobs);
    }

    /// Sends what keys and hang-ups of terminals have to tell.
    pub(crate) fn signal_terminals(&mut self) {
        if !self.terminals.due.is_empty() {
            self.tell_sessions();
        }
    }

    #[cold]
    fn tell_sessions(&mut self) {
        let due = core::mem::take(&mut *self.terminals.due.0.borrow_mut());
        for jobs in due {
            let mut signals = jobs.signals.take();
            while signals != 0 {
                self.signal_group(jobs.foreground.get(), signals.trailing_zeros() + 1);
                signals &= signals - 1;
            }
            if jobs.hung_up.take() {
                self.lose_terminal(&jobs);
            }
        }
    }

    /// Sends `signal` to all processes of `group`.
    pub(crate) fn signal_group(&mut self, group: u32, signal: u32) {
        for pid in self.processes.select(|_, record| record.group == group && record.ended.is_none()) {
            // It is in the table.
            let _ = self.send_to(pid, Info::sent(signal, SI_KERNEL));
        }
    }

    /// The terminal of `jobs` is gone: its session has none any more, and the leader is told.
    fn lose_terminal(&mut self, jobs: &Rc<Jobs>) {
        let session = jobs.session.get();
        let foreground = jobs.foreground.get();
        self.forget_terminal(jobs);
        let leaders = self.processes.select(|pid, record| pid == session && record.ended.is_none());
        for leader in leaders {
            for signal in [linux::SIGHUP, linux::SIGCONT] {
                // It is in the table.
                let _ = self.send_to(leader, Info::sent(signal, SI_KERNEL));
            }
            if let Ok(record) = self.processes.get_mut(leader) {
                record.lost_foreground = foreground;
            }
        }
    }

    /// Nobody has the terminal of `jobs` any more.
    fn forget_terminal(&mut self, jobs: &Rc<Jobs>) {
        jobs.belong_to(0, 0);
        for (_, record) in self.processes.iter_mut() {
            if record.terminal.as_ref().is_some_and(|own| Rc::ptr_eq(own, jobs)) {
                record.terminal = None;
            }
        }
    }

    /// The current process, which leads its session and has no terminal, takes that of `jobs`. Only one that is nobody's,
    /// unless `steals`.
    pub(crate) fn take_terminal(&mut self, jobs: &Rc<Jobs>, steals: bool) -> Result<()> {
        let pid = self.pid();
        let own = self.processes.own();
        let leads = own.session == pid;
        if leads && jobs.session.get() == pid {
            return Ok(());
        }
        if !leads || own.terminal.is_some() || (jobs.session.get() != 0 && !steals) {
            return Err(Errno::EPERM);
        }
        let group = own.group;
        self.forget_terminal(jobs);
        jobs.belong_to(pid, group);
        self.processes.own_mut().terminal = Some(jobs.clone());
        Ok(())
    }

    /// The current process has no terminal any more; if it leads its session, nobody there has.
    pub(crate) fn give_up_terminal(&mut self) {
        let pid = self.pid();
        let record = self.processes.own_mut();
        let (Some(jobs), session) = (record.terminal.take(), record.session) else { return };
        if session == pid && jobs.session.get() == pid {
            let foreground = jobs.foreground.get();
            self.forget_terminal(&jobs);
            self.signal_group(foreground, linux::SIGHUP);
            self.signal_group(foreground, linux::SIGCONT);
        }
    }

    /// The current process, which is about to end, leads its session no more.
    pub(crate) fn end_session(&mut self) {
        let pid = self.pid();
        let record = self.processes.own_mut();
        if record.session != pid {
            return;
        }
        let (terminal, lost) = (record.terminal.take(), core::mem::take(&mut record.lost_foreground));
        match terminal {
            Some(jobs) if jobs.session.get() == pid => {
                let foreground = jobs.foreground.get();
                self.forget_terminal(&jobs);
                self.signal_group(foreground, linux::SIGHUP);
            }
            None if lost != 0 => {
                self.signal_group(lost, linux::SIGHUP);
                self.signal_group(lost, linux::SIGCONT);
            }
            _ => {}
        }
    }

    /// Whether the current process may use the terminal of `jobs` now: it is another's, or the process is in its foreground. If
    /// not, its group gets `signal` and the call ends (`EINTR`), to be made again by who is continued. `EIO`: nobody would
    /// continue it, or it wants to read and takes no notice of the signal.
    pub(crate) fn check_foreground(&mut self, jobs: &Rc<Jobs>, signal: u32) -> Result<()> {
        let own = self.processes.own();
        let (pid, group, foreground) = (self.pid(), own.group, jobs.foreground.get());
        let is_own = own.terminal.as_ref().is_some_and(|terminal| Rc::ptr_eq(terminal, jobs));
        if !is_own || foreground == 0 || foreground == group {
            return Ok(());
        }
        let signals = &self.process.signals;
        if signals.own.blocks(signal) || signals.is_ignored(signal) {
            return if signal == linux::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if self.is_orphaned(group) {
            return Err(Errno::EIO);
        }
        // This thread takes it, whichever of the process's others could.
        self.before_sending(pid, signal);
        self.process.signals.send(Info::sent(signal, SI_KERNEL))?;
        let is_other = |other| other != pid;
        let members = self.processes.select(|other, record| is_other(other) && record.group == group);
        for other in members {
            // Who has ended does not notice.
            let _ = self.send_to(other, Info::sent(signal, SI_KERNEL));
        }
        self.is_interrupted();
        self.process.restartable = true;
        Err(Errno::EINTR)
    }
}
