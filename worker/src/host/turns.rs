//! Turns of short requests. More VMs at work than the machine has processors take each other's caches and time slices,
//! and answer fewer requests. So requests of functions that answer within a few milliseconds run a few at a time, in
//! the order in which they came. It is a matter of speed only: whoever would wait for requests that do not end goes
//! ahead without a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Functions whose requests take less than this on average take turns.
const SHORT: Duration = Duration::from_millis(5);
/// Time in which some turn must have ended: else those who have one are not short after all.
const PROGRESS: Duration = Duration::from_millis(5);
/// Turns for each processor: one computes while the other is put back, or waits for its response to be taken.
const PER_PROCESSOR: usize = 2;

/// The turns of one worker.
pub(super) struct Turns {
    free: Arc<Semaphore>,
    begun: Instant,
    /// When a turn ended last, in nanoseconds after `begun`.
    ended: AtomicU64,
}

/// The right to be at work now. Dropping it passes it on.
pub(super) struct Turn {
    turns: Arc<Turns>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.ended.store(self.turns.now(), Ordering::Relaxed);
    }
}

impl Turns {
    pub(super) fn new(processors: usize) -> Self {
        let free = Arc::new(Semaphore::new(PER_PROCESSOR * processors.max(1)));
        Self { free, begun: Instant::now(), ended: AtomicU64::new(0) }
    }

    /// A turn for a request that is expected to take `mean`; `None` if it goes ahead without.
    pub(super) async fn turn(self: &Arc<Self>, mean: Duration) -> Option<Turn> {
        if mean.is_zero() || mean >= SHORT {
            return None;
        }
        let mut next = std::pin::pin!(self.free.clone().acquire_owned());
        loop {
            match timeout(PROGRESS, &mut next).await {
                Ok(permit) => return Some(Turn { turns: self.clone(), _permit: permit.ok()? }),
                Err(_) if self.is_stuck() => return None,
                Err(_) => {}
            }
        }
    }

    fn is_stuck(&self) -> bool {
        let since = self.now().saturating_sub(self.ended.load(Ordering::Relaxed));
        Duration::from_nanos(since) >= PROGRESS
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(300);

    async fn all(turns: &Arc<Turns>) -> Vec<Turn> {
        let mut taken = Vec::new();
        for _ in 0..PER_PROCESSOR {
            taken.push(turns.turn(FAST).await.expect("free"));
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_goes_when_one_ends() {
        let turns = Arc::new(Turns::new(1));
        let mut taken = all(&turns).await;
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.turn(FAST).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        taken.pop();
        assert!(waiting.await.unwrap(), "it got the turn that ended");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_does_not_end() {
        let turns = Arc::new(Turns::new(1));
        let _taken = all(&turns).await;
        let begun = Instant::now();
        assert!(turns.turn(FAST).await.is_none());
        assert_eq!(begun.elapsed(), PROGRESS);
    }

    #[tokio::test(start_paused = true)]
    async fn as_long_as_turns_end_everybody_waits() {
        let turns = Arc::new(Turns::new(1));
        let mut taken = all(&turns).await;
        let _ahead = [(); 3].map(|()| {
            let turns = turns.clone();
            tokio::spawn(async move { std::mem::forget(turns.turn(FAST).await) })
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let last = tokio::spawn({
            let turns = turns.clone();
            async move { turns.turn(FAST).await.is_some() }
        });
        tokio::time::advance(PROGRESS - Duration::from_millis(1)).await;
        taken.pop();
        // One ended 1 ms ago: it waits on, and goes without when none has ended for as long as that takes.
        assert!(!last.await.unwrap());
        assert!(begun.elapsed() > PROGRESS);
    }

    #[tokio::test]
    async fn long_and_unknown_functions_take_no_turns() {
        let turns = Arc::new(Turns::new(1));
        let _taken = all(&turns).await;
        assert!(turns.turn(SHORT).await.is_none());
        assert!(turns.turn(Duration::ZERO).await.is_none());
    }
}
