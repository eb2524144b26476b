//! Time since the start of a run, and waking at a time.

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::net::unix::pipe::Receiver;

/// The start of a run, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start_ns: u64,
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl Clock {
    /// A run that starts `delay_ns` from now.
    pub(crate) fn starting_in(delay_ns: u64) -> Clock {
        Clock { start_ns: monotonic_ns() + delay_ns }
    }

    /// Nanoseconds since the start; 0 before it.
    pub(crate) fn now(&self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns)
    }
}

/// A timer that is not rounded to milliseconds, as those of epoll_wait(2) and of tokio are.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
    armed_for: Option<u64>,
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Timer { fd, armed_for: None })
    }

    /// Makes its descriptor readable at `at_ns` of `clock`.
    pub(crate) fn arm(&mut self, clock: &Clock, at_ns: u64) -> io::Result<()> {
        if self.armed_for == Some(at_ns) {
            return Ok(());
        }
        let absolute = clock.start_ns.saturating_add(at_ns);
        let seconds = i64::try_from(absolute / 1_000_000_000).unwrap_or(i64::MAX);
        // Never 0, which would disarm it.
        let rest = i64::try_from(absolute % 1_000_000_000).unwrap_or(0).max(1);
        let value = Timespec { tv_sec: seconds, tv_nsec: rest };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &setting)?;
        self.armed_for = Some(at_ns);
        Ok(())
    }
}

/// A timer that a task can wait for.
#[derive(Debug)]
pub(crate) struct TaskTimer {
    timer: Timer,
    /// The same timer. For tokio it is a pipe: something to wait for and to read from, without unsafe code.
    readable: Receiver,
}

impl TaskTimer {
    pub(crate) fn new() -> io::Result<TaskTimer> {
        let timer = Timer::new()?;
        let readable = Receiver::from_owned_fd_unchecked(timer.fd.try_clone()?)?;
        Ok(TaskTimer { timer, readable })
    }

    /// Waits until `at_ns` of `clock`.
    pub(crate) async fn until(&mut self, clock: &Clock, at_ns: u64) -> io::Result<()> {
        self.timer.arm(clock, at_ns)?;
        loop {
            self.readable.readable().await?;
            match self.readable.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.timer.armed_for = None;
                    return result.map(drop);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timer_rings_at_its_time_and_not_before() {
        let clock = Clock::starting_in(0);
        let mut timer = TaskTimer::new().unwrap();
        for at in [0, 1_000_000, 1_300_000, 500] {
            timer.until(&clock, at).await.unwrap();
            assert!(clock.now() >= at);
        }
        assert_eq!(Clock::starting_in(1 << 50).now(), 0);
    }
}
