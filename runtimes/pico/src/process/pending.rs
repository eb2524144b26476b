//! Signals that wait to be delivered.

use super::Info;
use super::signals::bit;
use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// Most of them, `RLIMIT_SIGPENDING`: of a thread, and of a process beside those of its threads.
pub(super) const PENDING_MAX: usize = 64;
/// The first of the real-time signals, of which several can wait.
pub(super) const REALTIME: u32 = 32;

/// By number; those of one number in the order in which they came.
#[derive(Default)]
pub(super) struct Pending(Vec<Info>);

impl Pending {
    /// One more; whether it waits now. A second one of the same number waits only if it is a real-time signal, else it is merged
    /// with the first. If there are too many, it is lost, and who sent it by another call than kill(2) gets `EAGAIN`.
    pub(super) fn add(&mut self, info: Info) -> Result<bool> {
        let at = self.0.partition_point(|one| one.signal <= info.signal);
        let is_another = at > 0 && self.0[at - 1].signal == info.signal;
        if is_another && info.signal < REALTIME {
            return Ok(false);
        }
        // Each number has its place.
        if is_another && self.0.len() >= PENDING_MAX {
            return if info.code < 0 { Err(Errno::EAGAIN) } else { Ok(false) };
        }
        self.0.insert(at, info);
        Ok(true)
    }

    /// Takes out the first with this number.
    pub(super) fn remove(&mut self, signal: u32) -> Option<Info> {
        let at = self.0.iter().position(|info| info.signal == signal)?;
        Some(self.0.remove(at))
    }

    /// Those of `mask` wait no more.
    pub(super) fn forget(&mut self, mask: u64) {
        self.0.retain(|info| bit(info.signal) & mask == 0);
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|info| info.signal)
    }

    /// What timer `id` sent, if that still waits.
    pub(super) fn of_timer(&mut self, id: u32) -> Option<&mut Info> {
        self.0.iter_mut().find(|info| info.timer().is_some_and(|(timer, _)| timer == id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux_raw_sys::general as linux;

    #[test]
    fn real_time_signals_wait_in_order_and_others_are_merged() {
        let mut pending = Pending::default();
        let numbered = |signal: u32, value: u64| {
            let mut info = Info::sent(signal, -1);
            info.fields[1] = value;
            info
        };
        for (signal, value) in [(40, 1), (linux::SIGUSR1, 2), (34, 3), (40, 4), (linux::SIGUSR1, 5), (34, 6)]
        {
            pending.add(numbered(signal, value)).unwrap();
        }
        let order: Vec<u32> = pending.numbers().collect();
        assert_eq!(order, [linux::SIGUSR1, 34, 34, 40, 40]);
        let mut take = |signal| pending.remove(signal).map(|info| info.fields[1]);
        assert_eq!([take(40), take(40), take(40)], [Some(1), Some(4), None]);
        assert_eq!([take(linux::SIGUSR1), take(linux::SIGUSR1)], [Some(2), None]);
        pending.forget(bit(34));
        assert_eq!(pending.numbers().count(), 0);
    }

    #[test]
    fn more_than_the_limit_are_refused_but_each_number_has_a_place() {
        let mut pending = Pending::default();
        for _ in 0..PENDING_MAX {
            pending.add(Info::sent(50, -1)).unwrap();
        }
        assert_eq!(pending.add(Info::sent(50, -1)), Err(Errno::EAGAIN));
        assert_eq!(pending.add(Info::sent(51, -1)), Ok(true));
        assert_eq!(pending.add(Info::sent(linux::SIGTERM, 0)), Ok(true));
        assert_eq!(pending.add(Info::sent(linux::SIGTERM, 0)), Ok(false));
        assert_eq!(pending.add(Info::sent(51, -1)), Err(Errno::EAGAIN));
        assert_eq!(pending.add(Info::sent(51, 0)), Ok(false), "by kill(2)");
        assert_eq!(pending.numbers().count(), PENDING_MAX + 2);
    }
}
