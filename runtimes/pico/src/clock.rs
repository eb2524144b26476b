//! Time: what the host said at the last entry, carried on with the time-stamp counter.

use abi::identity::Identity;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// More than this between writing an identity and running with it is not a lag but an error.
const LAG_MAX: u64 = SECOND;

/// The clocks of one fork (or of the parent, while it boots).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start_tsc: u64,
    wall_ns: u64,
    monotonic_ns: u64,
    /// How far that is ahead of the host's clock.
    ahead_ns: u64,
    /// Nanoseconds per tick, as a fraction of 2^32.
    scale: u64,
    /// Ticks that were spent waiting.
    idle: u64,
}

impl Clock {
    /// Clocks that continue from `identity` at the tick `tsc`. A frequency of 0 stops them.
    pub fn new(identity: &Identity, tsc: u64) -> Self {
        let scale = (1_000_000u64 << 32).checked_div(identity.tsc_khz).unwrap_or(0);
        Self {
            start_tsc: tsc,
            wall_ns: identity.wall_ns,
            monotonic_ns: identity.monotonic_ns,
            ahead_ns: 0,
            scale,
            idle: 0,
        }
    }

    /// Clocks of a fork of a parent that was captured at the monotonic time `captured`. Monotonic time does not go back,
    /// even if the host was started anew in between and its clock with it.
    pub fn after(identity: &Identity, tsc: u64, captured: u64) -> Self {
        let ahead_ns = captured.saturating_sub(identity.monotonic_ns);
        let clock = Self::new(identity, tsc);
        Self { monotonic_ns: identity.monotonic_ns + ahead_ns, ahead_ns, ..clock }
    }

    /// The host's monotonic time when it is `monotonic` here.
    pub fn of_host(&self, monotonic: u64) -> u64 {
        monotonic.saturating_sub(self.ahead_ns)
    }

    /// The host says that it is `monotonic` at the tick `tsc`. A clock that is a little behind (the identity was
    /// written before this VM began to run) goes forward; it never goes back.
    pub fn catch_up(&mut self, tsc: u64, monotonic: u64) {
        let behind = monotonic.saturating_sub(self.monotonic(tsc));
        if behind <= LAG_MAX {
            self.monotonic_ns += behind;
            self.wall_ns += behind;
        }
    }

    /// `CLOCK_MONOTONIC` in ns at the tick `tsc`.
    pub fn monotonic(&self, tsc: u64) -> u64 {
        self.monotonic_ns.saturating_add(self.elapsed(tsc))
    }

    /// `CLOCK_REALTIME` in ns at the tick `tsc`.
    pub fn wall(&self, tsc: u64) -> u64 {
        self.wall_ns.saturating_add(self.elapsed(tsc))
    }

    /// The VM waited from the tick `start` to the tick `end`.
    pub fn rest(&mut self, start: u64, end: u64) {
        self.idle = self.idle.saturating_add(end.saturating_sub(start));
    }

    /// Time since this fork started, in ns.
    pub fn elapsed(&self, tsc: u64) -> u64 {
        self.nanoseconds(tsc.saturating_sub(self.start_tsc))
    }

    /// Time since this fork started without what it waited, in ns: its CPU time.
    pub fn busy(&self, tsc: u64) -> u64 {
        self.nanoseconds(tsc.saturating_sub(self.start_tsc).saturating_sub(self.idle))
    }

    fn nanoseconds(&self, ticks: u64) -> u64 {
        u64::try_from((u128::from(ticks) * u128::from(self.scale)) >> 32).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(tsc_khz: u64) -> Identity {
        Identity { generation: 1, wall_ns: 100, monotonic_ns: 10, tsc_khz, seed: [0; 32], instance: [0; 16] }
    }

    #[test]
    fn ticks_become_nanoseconds() {
        let clock = Clock::new(&identity(2_000_000), 1000);
        assert_eq!(clock.monotonic(1000), 10);
        assert_eq!(clock.monotonic(1000 + 4_000_000_000), 10 + 2 * SECOND);
        assert_eq!(clock.wall(3000), 1100);
    }

    #[test]
    fn odd_frequencies_keep_a_day_within_a_millisecond() {
        let clock = Clock::new(&identity(2_794_748), 0);
        let day = 86_400 * SECOND;
        let measured = clock.elapsed(2_794_748 * 86_400_000);
        assert!(measured.abs_diff(day) < 1_000_000, "{measured}");
    }

    #[test]
    fn a_late_start_is_made_up_for_and_an_error_is_not_believed() {
        let mut clock = Clock::new(&identity(1_000_000), 0);
        clock.catch_up(100, 10 + 150);
        assert_eq!((clock.monotonic(100), clock.wall(100)), (160, 250));
        clock.catch_up(100, 100);
        assert_eq!(clock.monotonic(100), 160, "never back");
        clock.catch_up(100, 2 * SECOND);
        assert_eq!(clock.monotonic(100), 160);
    }

    #[test]
    fn waiting_is_no_cpu_time() {
        let mut clock = Clock::new(&identity(1_000_000), 100);
        clock.rest(200, 700);
        clock.rest(900, 800);
        assert_eq!((clock.elapsed(1100), clock.busy(1100)), (1000, 500));
    }

    #[test]
    fn a_counter_that_went_back_or_no_frequency_stops_time() {
        assert_eq!(Clock::new(&identity(1_000_000), 1000).monotonic(5), 10);
        assert_eq!(Clock::new(&identity(0), 0).monotonic(u64::MAX), 10);
    }

    #[test]
    fn monotonic_time_continues_where_the_parent_was_captured() {
        let forked = |captured| Clock::after(&identity(1_000_000), 1000, captured);
        assert_eq!((forked(4).monotonic(1000), forked(4).of_host(15)), (10, 15));
        assert_eq!((forked(25).monotonic(1000), forked(25).of_host(30)), (25, 15));
        assert_eq!(forked(25).wall(1000), 100);
    }
}
