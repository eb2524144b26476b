//! Waiting that signals interrupt, and the timers that send signals.
//!
//! Nothing interrupts a program that computes: a signal arrives when its thread makes a system call or waits in one.

use super::{FIRST, Info, Stored};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::poll::timerfd::Setting;
use crate::thread::Thread;
use linux_raw_sys::general as linux;

/// `si_code` of what the kernel sends.
const SI_KERNEL: i32 = 0x80;

/// Sets an alarm whose time has come at `now` to its next time, if it has one. How often it had come.
pub(super) fn expire(alarm: &mut Setting, now: u64) -> Option<u64> {
    let Setting { next: Some(next), interval } = *alarm else { return None };
    let late = now.checked_sub(next)?;
    let periods = late.checked_div(interval).map(|whole| whole + 1);
    let next = periods.and_then(|periods| next.checked_add(periods.checked_mul(interval)?));
    *alarm = Setting { next, interval };
    Some(periods.unwrap_or(1))
}

impl Kernel {
    /// As [`Kernel::wait`], or `EINTR` at once if a signal is to be delivered first. Callers look at what they wait
    /// for before they call this, so what is ready is reported even if a signal came as well.
    pub fn wait_interruptibly(&mut self, until: Option<u64>, takes_request: bool) -> Result<()> {
        let before = self.threads.change();
        self.expire_alarm();
        if self.process.signals.is_due() {
            // Who was only stopped and continued looks again, with few exceptions.
            let ends = self.is_interrupted() || self.process.signals.own.ends_with_stop;
            return if ends { Err(Errno::EINTR) } else { Ok(()) };
        }
        if self.threads.change() != before {
            // A signal that is blocked may be what the caller waits for.
            return Ok(());
        }
        self.wait(until, takes_request);
        self.expire_alarm();
        Ok(())
    }

    /// Makes `call`, which ends with `EINTR` when the process is continued after a stop.
    pub fn ending_with_stop<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.process.signals.own.ends_with_stop = true;
        let result = call(self);
        self.process.signals.own.ends_with_stop = false;
        result
    }

    /// Sends `info` to the current process.
    pub fn send_to_process(&mut self, info: Info) -> Result<()> {
        self.send_to(self.pid(), info)
    }

    /// Sends `info` to process `pid`: to its first thread if that does not block it, or waits for it, else to another one. A
    /// process that has ended does not notice.
    pub fn send_to(&mut self, pid: u32, info: Info) -> Result<()> {
        let signal = info.signal;
        self.process.signals.action(signal)?;
        self.before_sending(pid, signal);
        let own = self.threads.tid();
        let own_takes_it = self.process.signals.own.takes(signal);
        let takes = |tid: u32, thread: &Thread| {
            thread.process == pid && if tid == own { own_takes_it } else { thread.signals.takes(signal) }
        };
        let taker = self.threads.iter_mut().find(|(tid, thread)| takes(*tid, thread)).map(|(tid, _)| tid);
        match taker {
            Some(tid) => self.give_to_thread(tid, info),
            None if self.processes.get(pid)?.ended.is_some() => Ok(()),
            None => {
                let waits = self.signals_of(pid)?.send_shared(info)?;
                self.note_signal(waits);
                Ok(())
            }
        }
    }

    /// Sends `info` to thread `tid`, and wakes it if it is to take it now. `ESRCH` if there is no such thread.
    pub fn send_to_thread(&mut self, tid: u32, info: Info) -> Result<()> {
        self.process.signals.action(info.signal)?;
        let process = self.threads.find(tid).ok_or(Errno::ESRCH)?.process;
        self.before_sending(process, info.signal);
        self.give_to_thread(tid, info)
    }

    fn give_to_thread(&mut self, tid: u32, info: Info) -> Result<()> {
        let (waits, is_due) = if tid == self.threads.tid() && self.threads.is_alive(tid) {
            (self.process.signals.send(info)?, self.process.signals.is_due())
        } else {
            self.give_to_other(tid, info)?
        };
        self.note_signal(waits);
        // The running thread, too: that is the last one that ran, if all wait.
        if is_due {
            self.threads.wake(tid);
        }
        Ok(())
    }

    /// Sends `info` to thread `tid`, which does not run. Whether it waits now, and whether it is to be taken now.
    fn give_to_other(&mut self, tid: u32, info: Info) -> Result<(bool, bool)> {
        let process = self.threads.find(tid).ok_or(Errno::ESRCH)?.process;
        let is_ignored = self.signals_of(process)?.is_ignored(info.signal);
        let thread = self.threads.find(tid).ok_or(Errno::ESRCH)?;
        let blocks_it = thread.signals.blocks(info.signal);
        if is_ignored && !blocks_it {
            return Ok((false, false));
        }
        Ok((thread.signals.add(info)?, !blocks_it))
    }

    /// If one more signal `waits`, who waits in sigwait(3), or for a signalfd, looks again.
    fn note_signal(&mut self, waits: bool) {
        if waits {
            self.pending_signals.arrived();
            self.threads.note_change();
        }
    }

    /// Sends the program what the host has for it: Ctrl-C and the like.
    fn receive_signals(&mut self) {
        if self.console.is_none() {
            return;
        }
        let mut signals = self.platform.take_signals();
        while signals != 0 {
            let signal = signals.trailing_zeros() + 1;
            signals &= signals - 1;
            self.send_from_terminal(Info::sent(signal, SI_KERNEL));
        }
    }

    /// What a key sends goes to the foreground; anything else to the first process.
    fn send_from_terminal(&mut self, info: Info) {
        let console = self.terminals.console.as_ref();
        let foreground = console.map_or(FIRST, |jobs| jobs.foreground.get());
        let is_key = matches!(
            info.signal,
            linux::SIGINT | linux::SIGQUIT | linux::SIGTSTP | linux::SIGCONT | linux::SIGWINCH
        );
        let members = self.processes.select(|_, record| record.group == foreground);
        let takers = if is_key && !members.is_empty() { members } else { [FIRST].into() };
        for pid in takers {
            self.send_to(pid, info).expect("there are 64 signals, and it is in the table");
        }
    }

    /// Sends `SIGALRM` if it is time, and what the host has to send.
    pub fn expire_alarm(&mut self) {
        self.receive_signals();
        self.signal_terminals();
        if self.process.next_alarm().is_some() {
            let now = self.now();
            if expire(&mut self.process.alarm, now).is_some() {
                self.send_alarm(self.pid());
            }
            self.expire_timers(self.pid(), now);
        }
        if self.process.has_cpu_alarm() {
            self.expire_cpu_alarms();
        }
        if !self.processes.is_alone() {
            self.expire_alarms_of_others();
        }
    }

    /// Whether a timer of the current process has a signal to send.
    pub fn is_alarm_due(&self) -> bool {
        let is_over = |setting: &Setting| setting.next.is_some_and(|next| next <= self.own_busy());
        let is_cpu_time_over = || self.process.cpu_alarms.iter().any(is_over);
        self.process.next_alarm().is_some_and(|next| next <= self.now()) || is_cpu_time_over()
    }

    /// The clock of the CPU time, which said `before`, begins anew: timers that go by it keep what they have left.
    pub(crate) fn restart_cpu_alarms(&mut self, before: u64) {
        let now = self.own_busy();
        for alarm in &mut self.process.cpu_alarms {
            alarm.next = alarm.next.map(|next| next.saturating_sub(before) + now);
        }
    }

    /// Sends the signals of timers that go by the current process's CPU time: nobody else uses any.
    fn expire_cpu_alarms(&mut self) {
        let busy = self.own_busy();
        for (index, signal) in [linux::SIGVTALRM, linux::SIGPROF].into_iter().enumerate() {
            if expire(&mut self.process.cpu_alarms[index], busy).is_some() {
                let info = Info::sent(signal, SI_KERNEL);
                self.send_to(self.pid(), info).expect("the process is in the table");
            }
        }
    }

    fn expire_alarms_of_others(&mut self) {
        let now = self.now();
        let is_due = |stored: &Stored| stored.process.next_alarm().is_some_and(|next| next <= now);
        for pid in self.processes.select(|_, record| record.stored.as_deref().is_some_and(is_due)) {
            let stored = self.processes.get_mut(pid).ok().and_then(|record| record.stored.as_mut());
            if stored.is_some_and(|stored| expire(&mut stored.process.alarm, now).is_some()) {
                self.send_alarm(pid);
            }
            self.expire_timers(pid, now);
        }
    }

    fn send_alarm(&mut self, pid: u32) {
        self.send_to(pid, Info::sent(linux::SIGALRM, SI_KERNEL)).expect("the process is in the table");
    }

    /// When the next alarm of any process goes off.
    pub(crate) fn next_alarm(&self) -> Option<u64> {
        let others =
            self.processes.iter().filter_map(|(_, record)| record.stored.as_ref()?.process.next_alarm());
        others.chain(self.process.next_alarm()).min()
    }

    /// Runs `call` with the signal mask `mask`, if there is one. If a signal ends the call, the mask stays until it
    /// is delivered: the handler's frame holds the mask from before.
    pub fn with_mask<T>(
        &mut self,
        mask: Option<u64>,
        call: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let Some(mask) = mask else { return call(self) };
        let before = self.process.signals.blocked();
        self.process.signals.set_blocked(mask);
        let result = call(self);
        if matches!(result, Err(Errno::EINTR)) {
            self.process.signals.own.blocked_before = Some(before);
        } else {
            self.process.signals.set_blocked(before);
        }
        result
    }
}
