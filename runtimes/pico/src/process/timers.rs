//! Timers that send signals: timer_create(2).

use super::waiting::expire;
use super::{Action, Info, Process};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::poll::timerfd::Setting;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Most timers of a process.
pub(super) const TIMERS_MAX: usize = 1024;
/// `DELAYTIMER_MAX`
const OVERRUN_MAX: u64 = i32::MAX.unsigned_abs() as u64;

/// One timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer {
    /// When it goes off.
    pub setting: Setting,
    /// Whether its absolute times are wall-clock times.
    pub wall: bool,
    /// What it sends; 0: nothing.
    pub signal: u32,
    /// The thread it sends it to; 0: the process.
    pub thread: u32,
    /// `si_value`
    pub value: u64,
    /// How often it went off without a signal of its own before the one that was delivered last.
    pub overrun: u64,
}

/// Those of a process.
#[derive(Default)]
pub struct Timers {
    timers: BTreeMap<u32, Timer>,
    number: u32,
    /// When the first of them goes off: looked at far more often than it changes.
    next: Option<u64>,
}

impl Timers {
    /// Adds one and returns its number.
    pub fn add(&mut self, timer: impl FnOnce(u32) -> Timer) -> Result<u32> {
        if self.timers.len() >= TIMERS_MAX {
            return Err(Errno::EAGAIN);
        }
        while self.timers.contains_key(&self.number) {
            self.number = (self.number + 1) & i32::MAX.unsigned_abs();
        }
        let id = self.number;
        self.timers.insert(id, timer(id));
        self.number = (id + 1) & i32::MAX.unsigned_abs();
        self.look();
        Ok(id)
    }

    /// The one with this number.
    pub fn get(&self, id: u32) -> Result<&Timer> {
        self.timers.get(&id).ok_or(Errno::EINVAL)
    }

    /// Sets it, and it has overrun nothing.
    pub fn set(&mut self, id: u32, setting: Setting) -> Result<()> {
        let timer = self.timers.get_mut(&id).ok_or(Errno::EINVAL)?;
        *timer = Timer { setting, overrun: 0, ..*timer };
        self.look();
        Ok(())
    }

    /// Removes it.
    pub fn remove(&mut self, id: u32) -> Result<()> {
        self.timers.remove(&id).ok_or(Errno::EINVAL)?;
        self.look();
        Ok(())
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.timers.clear();
        self.next = None;
    }

    /// When the next one goes off.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    fn look(&mut self) {
        self.next = self.timers.values().filter_map(|timer| timer.setting.next).min();
    }

    /// Those whose time has come at `now`, the earliest first, with how often.
    fn due(&mut self, now: u64) -> Vec<(u32, u64)> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let expired = self.timers.iter_mut().filter_map(|(&id, timer)| {
            let at = timer.setting.next;
            Some((at, id, expire(&mut timer.setting, now)?))
        });
        let mut expired: Vec<_> = expired.collect();
        expired.sort();
        self.look();
        expired.into_iter().map(|(_, id, times)| (id, times)).collect()
    }

    /// Its signal is delivered: what that says is what timer_getoverrun(2) says until the next one.
    fn delivered(&mut self, info: &Info) {
        let Some((id, overrun)) = info.timer() else { return };
        if let Some(timer) = self.timers.get_mut(&id) {
            timer.overrun = overrun;
        }
    }
}

impl Process {
    /// Takes the next signal to deliver to the running thread, with its action.
    pub(super) fn take_signal(&mut self) -> Option<(Info, Action)> {
        let (info, action) = self.signals.take()?;
        self.timers.delivered(&info);
        Some((info, action))
    }

    /// Takes a pending signal out of `set`, whether blocked or not: sigtimedwait(2).
    pub fn take_signal_from(&mut self, set: u64) -> Option<Info> {
        let info = self.signals.take_from(set)?;
        self.timers.delivered(&info);
        Some(info)
    }
}

impl Kernel {
    /// Sends what timers of process `pid` have to send at `now`.
    pub(super) fn expire_timers(&mut self, pid: u32, now: u64) {
        let Some(timers) = self.timers_of(pid) else { return };
        for (id, times) in timers.due(now) {
            self.send_of_timer(pid, id, times);
        }
    }

    fn timers_of(&mut self, pid: u32) -> Option<&mut Timers> {
        if pid == self.pid() {
            return Some(&mut self.process.timers);
        }
        Some(&mut self.processes.get_mut(pid).ok()?.stored.as_mut()?.process.timers)
    }

    /// The signal of timer `id`, which went off `times` times. If the one before still waits, it says so.
    fn send_of_timer(&mut self, pid: u32, id: u32, times: u64) {
        let Some(&timer) = self.timers_of(pid).and_then(|timers| timers.get(id).ok()) else { return };
        if timer.signal == 0 {
            return;
        }
        if self.is_told_by_the_one_before(pid, id, times) {
            return;
        }
        let info = Info::of_timer(timer.signal, id, (times - 1).min(OVERRUN_MAX), timer.value);
        // Nobody is told of a thread that has ended, nor of a signal there is no room for.
        let _ = match timer.thread {
            0 => self.send_to(pid, info),
            thread => self.send_to_thread(thread, info),
        };
    }

    /// If a signal of timer `id` still waits, adds `times` to its overrun.
    fn is_told_by_the_one_before(&mut self, pid: u32, id: u32, times: u64) -> bool {
        let add = |info: &mut Info| {
            let before = info.timer().map_or(0, |(_, overrun)| overrun);
            info.set_timer(id, before.saturating_add(times).min(OVERRUN_MAX));
        };
        let mut own = self.threads.iter_mut().filter(|(_, thread)| thread.process == pid);
        if let Some(info) = own.find_map(|(_, thread)| thread.signals.of_timer(id)) {
            add(info);
            return true;
        }
        drop(own);
        self.signals_of(pid).ok().and_then(|signals| signals.of_timer(id)).map(add).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_limit_and_numbers_are_used_again() {
        let mut timers = Timers::default();
        let ids: Vec<u32> = (0..TIMERS_MAX).map(|_| timers.add(|_| Timer::default()).unwrap()).collect();
        assert_eq!(timers.add(|_| Timer::default()), Err(Errno::EAGAIN));
        timers.remove(ids[5]).unwrap();
        assert_eq!(timers.remove(ids[5]), Err(Errno::EINVAL));
        timers.number = ids[4];
        assert_eq!(timers.add(|_| Timer::default()), Ok(ids[5]));
    }

    #[test]
    fn what_is_due_is_told_with_how_often() {
        let mut timers = Timers::default();
        let set = |next, interval| Timer { setting: Setting { next, interval }, ..Timer::default() };
        for timer in [set(Some(10), 0), set(Some(10), 3), set(None, 5), set(Some(30), 1)] {
            timers.add(|_| timer).unwrap();
        }
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.due(20), [(0, 1), (1, 4)]);
        assert_eq!(timers.due(20), []);
        assert_eq!(timers.next(), Some(22));
    }
}
