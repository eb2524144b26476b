//! How many shells of a function were in use at once lately.

use std::time::{Duration, Instant};

/// The peak of the last minute counts, in steps of this length.
const STEP: Duration = Duration::from_secs(10);
const STEPS: usize = 6;

/// Concurrency of one function, now and lately.
pub(super) struct Demand {
    running: usize,
    /// Peak of each step, the current one first.
    peaks: [usize; STEPS],
    /// When the current step began.
    since: Instant,
    /// When the last request ended, or the function began.
    last: Instant,
}

impl Demand {
    /// Begins as if one request had just been answered, so that there is a shell for the first.
    pub(super) fn new(now: Instant) -> Self {
        let mut peaks = [0; STEPS];
        peaks[0] = 1;
        Self { running: 0, peaks, since: now, last: now }
    }

    /// A request takes a shell.
    pub(super) fn enter(&mut self, now: Instant) {
        self.advance(now);
        self.running += 1;
        self.peaks[0] = self.peaks[0].max(self.running);
    }

    /// A request is over.
    pub(super) fn leave(&mut self, now: Instant) {
        self.advance(now);
        self.running = self.running.saturating_sub(1);
        self.last = now;
    }

    /// Most at once within the last minute or so.
    pub(super) fn peak(&mut self, now: Instant) -> usize {
        self.advance(now);
        self.peaks.into_iter().max().unwrap_or(0)
    }

    /// For how long there has been no request; `None` while there is one.
    pub(super) fn unused(&self, now: Instant) -> Option<Duration> {
        (self.running == 0).then(|| now.saturating_duration_since(self.last))
    }

    fn advance(&mut self, now: Instant) {
        for _ in 0..STEPS {
            if now.saturating_duration_since(self.since) < STEP {
                return;
            }
            self.since += STEP;
            self.peaks.rotate_right(1);
            self.peaks[0] = self.running;
        }
        self.since = self.since.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_lasts_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut demand = Demand::new(start);
        assert_eq!(demand.unused(at(0)), Some(Duration::ZERO));
        assert_eq!(demand.peak(at(0)), 1, "one before the first request");
        for _ in 0..5 {
            demand.enter(at(1));
        }
        (0..5).for_each(|_| demand.leave(at(2)));
        assert_eq!(demand.peak(at(3)), 5);
        demand.enter(at(15));
        demand.enter(at(15));
        demand.leave(at(16));
        assert_eq!(demand.peak(at(59)), 5);
        assert_eq!(demand.peak(at(61)), 2);
        assert_eq!(demand.peak(at(300)), 1, "one still runs");
        assert_eq!(demand.unused(at(300)), None);
        demand.leave(at(301));
        assert_eq!(demand.peak(at(1000)), 0);
        assert_eq!(demand.unused(at(1000)), Some(Duration::from_secs(699)));
    }

    #[test]
    fn clocks_that_stand_still_or_jump_are_no_matter() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        demand.leave(start);
        demand.enter(start + Duration::from_secs(1_000_000));
        assert_eq!(demand.peak(start), 1);
        assert_eq!(demand.peak(start + Duration::from_secs(1_000_001)), 1);
    }
}
