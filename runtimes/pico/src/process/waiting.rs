//! Waiting that signals interrupt, and the one timer that sends a signal (`ITIMER_REAL`).
//!
//! Nothing interrupts a program that computes: a signal arrives when its thread makes a system call or waits in one.

use super::Info;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::poll::timerfd::Setting;
use linux_raw_sys::general as linux;

/// `si_code` of what the kernel sends.
const SI_KERNEL: i32 = 0x80;

impl Kernel {
    /// As [`Kernel::wait`], or `EINTR` at once if a signal is to be delivered first. Callers look at what they wait
    /// for before they call this, so what is ready is reported even if a signal came as well.
    pub fn wait_interruptibly(&mut self, until: Option<u64>, takes_request: bool) -> Result<()> {
        self.expire_alarm();
        if self.process.signals.is_due() {
            return Err(Errno::EINTR);
        }
        self.wait(until, takes_request);
        self.expire_alarm();
        Ok(())
    }

    /// Sends `info` to the process: to the first thread if it does not block it, else to another one that does not.
    pub fn send_to_process(&mut self, info: Info) -> Result<()> {
        let signal = info.signal;
        self.process.signals.action(signal)?;
        let own = self.threads.tid();
        let blocks_it = self.process.signals.own.blocks(signal);
        let taker = self
            .threads
            .iter_mut()
            .find(|(tid, thread)| if *tid == own { !blocks_it } else { !thread.signals.blocks(signal) });
        match taker.map(|(tid, _)| tid) {
            Some(tid) => self.send_to_thread(tid, info),
            None => self.process.signals.send_shared(info),
        }
    }

    /// Sends `info` to thread `tid`, and wakes it if it is to take it now. `ESRCH` if there is no such thread.
    pub fn send_to_thread(&mut self, tid: u32, info: Info) -> Result<()> {
        let signal = info.signal;
        self.process.signals.action(signal)?;
        if tid == self.threads.tid() && self.threads.is_alive(tid) {
            return self.process.signals.send(info);
        }
        let is_ignored = self.process.signals.is_ignored(signal);
        let thread = self.threads.find(tid).ok_or(Errno::ESRCH)?;
        let blocks_it = thread.signals.blocks(signal);
        if !is_ignored || blocks_it {
            thread.signals.add(info);
        }
        if !is_ignored && !blocks_it {
            self.threads.wake(tid);
        }
        Ok(())
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
            self.send_to_process(Info::sent(signal, SI_KERNEL)).expect("there are 64 signals");
        }
    }

    /// Sends `SIGALRM` if it is time, and what the host has to send.
    pub fn expire_alarm(&mut self) {
        self.receive_signals();
        let Setting { next: Some(next), interval } = self.process.alarm else { return };
        let Some(late) = self.now().checked_sub(next) else { return };
        let periods = late.checked_div(interval).map(|whole| whole + 1);
        let next = periods.and_then(|periods| next.checked_add(periods.checked_mul(interval)?));
        self.process.alarm = Setting { next, interval };
        self.send_to_process(Info::sent(linux::SIGALRM, SI_KERNEL)).expect("SIGALRM is a signal");
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
