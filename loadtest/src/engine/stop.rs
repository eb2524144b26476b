//! What ends a run early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a run early. What is under way is waited for, but not longer than a second.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    outer: Option<Stop>,
}

impl Stop {
    /// One for a part of what this one ends: it is set with this one, or alone.
    pub fn part(&self) -> Stop {
        Stop(Arc::new(Flag { set: AtomicBool::new(false), outer: Some(self.clone()) }))
    }

    /// Sends no more requests.
    pub fn stop(&self) {
        self.0.set.store(true, Ordering::Relaxed);
    }

    /// Whether it was stopped.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Relaxed) || self.0.outer.as_ref().is_some_and(Stop::is_set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_with_the_whole_and_not_the_whole_with_a_part() {
        let whole = Stop::default();
        let (one, other) = (whole.part(), whole.part());
        one.stop();
        assert_eq!([&whole, &one, &other].map(Stop::is_set), [false, true, false]);
        whole.clone().stop();
        assert_eq!([&whole, &one, &other].map(Stop::is_set), [true, true, true]);
    }
}
