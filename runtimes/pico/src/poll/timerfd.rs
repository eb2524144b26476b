//! timerfd_create(2): a timer that can be waited for.

use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::net::{anonymous_stat, next_inode};
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::stat as Stat;

/// What a timer is set to, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Next expiration: monotonic time. Nothing if the timer is off.
    pub next: Option<u64>,
    /// Time between later expirations; 0 if there are none.
    pub interval: u64,
}

/// The timer. It knows the time it was last told with [`File::tick`].
pub struct TimerFd {
    setting: Cell<Setting>,
    /// Expirations that were not read.
    expired: Cell<u64>,
    activity: Cell<u64>,
    /// Whether its absolute times are wall-clock times.
    pub wall: bool,
    inode: u64,
}

impl TimerFd {
    /// A timer that is off. `wall`: it goes by the wall clock.
    pub fn new(wall: bool) -> Self {
        Self {
            setting: Cell::default(),
            expired: Cell::new(0),
            activity: Cell::new(0),
            wall,
            inode: next_inode(),
        }
    }

    /// What it is set to.
    pub fn setting(&self) -> Setting {
        self.setting.get()
    }

    /// Sets it; expirations that were not read are forgotten.
    pub fn set(&self, setting: Setting) {
        self.setting.set(setting);
        self.expired.set(0);
    }
}

impl File for TimerFd {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        let target = buf.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        if self.expired.get() == 0 {
            return Err(Errno::EAGAIN);
        }
        *target = self.expired.take().to_ne_bytes();
        Ok(8)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anonymous_stat(0o600, self.inode))
    }

    fn ready(&self) -> Ready {
        if self.expired.get() > 0 { Ready::IN } else { Ready::empty() }
    }

    fn activity(&self) -> u64 {
        self.activity.get()
    }

    fn tick(&self, now: u64) {
        let Setting { next, interval } = self.setting.get();
        let Some(late) = next.and_then(|next| now.checked_sub(next)) else { return };
        let times = late.checked_div(interval).map_or(1, |more| more.saturating_add(1));
        let next = (interval > 0).then(|| now - late % interval).and_then(|last| last.checked_add(interval));
        self.setting.set(Setting { next, interval });
        self.expired.set(self.expired.get().saturating_add(times));
        self.activity.set(self.activity.get() + 1);
    }

    fn wakes_at(&self) -> Option<u64> {
        self.setting.get().next
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(timer: &TimerFd) -> Result<u64> {
        let mut buf = [0; 8];
        timer.read(0, &mut buf).map(|_| u64::from_ne_bytes(buf))
    }

    #[test]
    fn a_single_timer_expires_once() {
        let timer = TimerFd::new(false);
        assert_eq!(timer.wakes_at(), None);
        timer.set(Setting { next: Some(100), interval: 0 });
        timer.tick(99);
        assert_eq!((timer.wakes_at(), read(&timer)), (Some(100), Err(Errno::EAGAIN)));
        timer.tick(100);
        timer.tick(500);
        assert_eq!((timer.wakes_at(), timer.ready()), (None, Ready::IN));
        assert_eq!([read(&timer), read(&timer)], [Ok(1), Err(Errno::EAGAIN)]);
    }

    #[test]
    fn missed_periods_are_counted_and_the_phase_is_kept() {
        let timer = TimerFd::new(false);
        timer.set(Setting { next: Some(100), interval: 10 });
        timer.tick(135);
        assert_eq!((read(&timer), timer.wakes_at()), (Ok(4), Some(140)));
        timer.tick(139);
        assert_eq!(read(&timer), Err(Errno::EAGAIN));
        timer.tick(u64::MAX);
        assert!(read(&timer).is_ok_and(|times| times > 1));
        assert_eq!(timer.wakes_at(), None, "there is no time after the last");
    }

    #[test]
    fn setting_a_timer_forgets_what_was_not_read() {
        let timer = TimerFd::new(false);
        timer.set(Setting { next: Some(1), interval: 1 });
        timer.tick(5);
        timer.set(Setting::default());
        assert_eq!((read(&timer), timer.ready()), (Err(Errno::EAGAIN), Ready::empty()));
    }
}
