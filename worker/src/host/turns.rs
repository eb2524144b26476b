//! Turns of short requests. More VMs at work than the machine has processors take each other's caches and time slices,
//! and answer fewer requests. So requests of functions that answer within a few milliseconds run a few at a time, in
//! the order in which they came. It is a matter of speed only: a request that takes longer than that goes on without
//! its turn, and the next has it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a turn is. Functions whose requests never were shorter lately take none.
const TURN: Duration = Duration::from_millis(5);
/// Turns for each processor: one computes while the other is put back, or waits for its response to be taken.
const PER_PROCESSOR: usize = 2;
/// Requests after which a time is no longer recent.
const RECENT: u64 = 32;

/// The shortest time a request of a function took lately. The shortest, because a long one may have waited for others.
#[derive(Debug)]
pub(super) struct Shortest {
    seen: AtomicU64,
    now: AtomicU64,
    before: AtomicU64,
}

impl Default for Shortest {
    fn default() -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self { seen: AtomicU64::new(0), now: never(), before: never() }
    }
}

impl Shortest {
    /// Takes one more request into account. What is lost to a race does not matter.
    pub(super) fn took(&self, time: Duration) {
        if self.seen.fetch_add(1, Ordering::Relaxed) % RECENT == RECENT - 1 {
            self.before.store(self.now.swap(u64::MAX, Ordering::Relaxed), Ordering::Relaxed);
        }
        let sample = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.now.fetch_min(sample, Ordering::Relaxed);
    }

    fn is_short(&self) -> bool {
        let shortest = self.now.load(Ordering::Relaxed).min(self.before.load(Ordering::Relaxed));
        Duration::from_nanos(shortest) < TURN
    }
}

/// The turns of one worker.
pub(super) struct Turns {
    /// The first in line has it: only one has to watch the time.
    line: tokio::sync::Mutex<()>,
    free: Arc<Semaphore>,
    /// Turns that were taken, oldest first: at most those of the last [`TURN`] once somebody has looked.
    taken: Mutex<VecDeque<(Instant, Arc<AtomicBool>)>>,
}

/// The right to be at work now. Dropping it passes it on.
pub(super) struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    /// Over: it ended, or somebody else has it.
    over: Arc<AtomicBool>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let passed_on = self.over.swap(true, Ordering::Relaxed);
        if let Some(permit) = self.permit.take().filter(|_| passed_on) {
            permit.forget();
        }
    }
}

impl Turns {
    pub(super) fn new(processors: usize) -> Self {
        let free = Arc::new(Semaphore::new(PER_PROCESSOR * processors.max(1)));
        Self { line: tokio::sync::Mutex::default(), free, taken: Mutex::default() }
    }

    /// A turn for a request of a function; `None` if the function takes none, or if there was none until `deadline`.
    pub(super) async fn turn(&self, function: &Shortest, deadline: Instant) -> Option<Turn> {
        if !function.is_short() {
            return None;
        }
        timeout_at(deadline, self.next()).await.ok()?
    }

    async fn next(&self) -> Option<Turn> {
        let _first = self.line.lock().await;
        let mut next = std::pin::pin!(self.free.clone().acquire_owned());
        let permit = loop {
            match timeout(TURN, &mut next).await {
                Ok(permit) => break permit.ok()?,
                Err(_) => drop(self.pass_on()),
            }
        };
        let over = Arc::new(AtomicBool::new(false));
        self.pass_on().push_back((Instant::now(), over.clone()));
        Some(Turn { permit: Some(permit), over })
    }

    /// Gives the turns whose time is up, though their requests go on, to others.
    fn pass_on(&self) -> MutexGuard<'_, VecDeque<(Instant, Arc<AtomicBool>)>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |(begun, over): &(Instant, Arc<AtomicBool>)| {
            over.load(Ordering::Relaxed) || begun.elapsed() >= TURN
        };
        while taken.front().is_some_and(is_over) {
            if let Some((_, over)) = taken.pop_front()
                && !over.swap(true, Ordering::Relaxed)
            {
                self.free.add_permits(1);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    fn short() -> Arc<Shortest> {
        let shortest = Shortest::default();
        shortest.took(Duration::from_micros(300));
        Arc::new(shortest)
    }

    async fn all(turns: &Turns, function: &Shortest) -> Vec<Turn> {
        let mut taken = Vec::new();
        for _ in 0..PER_PROCESSOR {
            taken.push(turns.turn(function, far()).await.expect("free"));
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_goes_when_one_ends() {
        let (turns, function) = (Arc::new(Turns::new(1)), short());
        let mut taken = all(&turns, &function).await;
        let begun = Instant::now();
        let (others, other) = (turns.clone(), function.clone());
        let waiting = tokio::spawn(async move { others.turn(&other, far()).await.is_some() });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        taken.pop();
        assert!(waiting.await.unwrap());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_though_its_request_does_not() {
        let (turns, function) = (Turns::new(1), short());
        let long = all(&turns, &function).await;
        let begun = Instant::now();
        let second = all(&turns, &function).await;
        assert_eq!(begun.elapsed(), TURN);
        // What comes back late is not counted twice.
        drop((long, second));
        assert_eq!(turns.free.available_permits(), PER_PROCESSOR);
        let _third = all(&turns, &function).await;
        assert_eq!(turns.free.available_permits(), 0);
        assert_eq!(turns.taken.lock().unwrap().len(), PER_PROCESSOR, "what has ended is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_the_line_takes_nothing() {
        let (turns, function) = (Turns::new(1), short());
        let taken = all(&turns, &function).await;
        assert!(timeout(TURN / 2, turns.turn(&function, far())).await.is_err());
        drop(taken);
        assert_eq!(turns.free.available_permits(), PER_PROCESSOR);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_deadline() {
        let (turns, function) = (Turns::new(1), short());
        let taken = all(&turns, &function).await;
        let begun = Instant::now();
        let deadline = begun + Duration::from_millis(2);
        assert!(turns.turn(&function, deadline).await.is_none());
        assert_eq!(Instant::now(), deadline);
        drop(taken);
        assert!(turns.turn(&function, begun).await.is_some(), "free ones are for everybody");
    }

    #[tokio::test]
    async fn long_and_unknown_functions_take_no_turns() {
        let turns = Turns::new(1);
        let function = Shortest::default();
        assert!(turns.turn(&function, far()).await.is_none(), "unknown");
        function.took(TURN);
        assert!(turns.turn(&function, far()).await.is_none(), "long");
        function.took(TURN / 2);
        assert!(turns.turn(&function, far()).await.is_some(), "short");
        for _ in 0..2 * RECENT {
            function.took(TURN);
        }
        assert!(turns.turn(&function, far()).await.is_none(), "no longer short");
    }
}
