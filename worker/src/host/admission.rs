//! How many requests run at once on this worker, who waits, and who is next.
//!
//! A place is given to functions in turn, whatever the number of requests each has waiting. The queue is bounded, and a
//! function may have at most as many requests in it as there is room left: one alone fills half of it, two a third
//! each, and there is always room for another.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Shortest and longest time after which a client is told to try again.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// How long requests take, as a moving average.
#[derive(Default)]
pub(super) struct Service {
    mean_ns: AtomicU64,
}

impl Service {
    /// Takes one more request into account, at an eighth.
    pub(super) fn took(&self, time: Duration) {
        let sample = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mean = self.mean_ns.load(Ordering::Relaxed);
        let next = if mean == 0 { sample } else { mean - mean / 8 + sample / 8 };
        // A sample that is lost to a race does not matter.
        self.mean_ns.store(next, Ordering::Relaxed);
    }

    /// When a place can be expected by one who would come behind `waiting` others, where `places` work.
    pub(super) fn retry_after(&self, waiting: usize, places: usize) -> Duration {
        let mean = Duration::from_nanos(self.mean_ns.load(Ordering::Relaxed));
        let rounds = u32::try_from((waiting + 1).div_ceil(places.max(1))).unwrap_or(u32::MAX);
        mean.saturating_mul(rounds).clamp(*RETRY.start(), *RETRY.end())
    }
}

/// There is no place, and none in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overload {
    pub(super) limit: usize,
    pub(super) retry_after: Duration,
}

/// The places of one worker.
pub(super) struct Admission {
    limit: usize,
    queue_max: usize,
    state: Mutex<State>,
    released: Notify,
    service: Service,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: usize,
    /// One line a function, in the order of their turns.
    lines: VecDeque<(u64, VecDeque<oneshot::Sender<Place>>)>,
}

impl State {
    fn line(&mut self, owner: u64) -> Option<&mut VecDeque<oneshot::Sender<Place>>> {
        self.lines.iter_mut().find(|(of, _)| *of == owner).map(|(_, line)| line)
    }

    /// The first of the function whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        let (owner, mut line) = self.lines.pop_front()?;
        let next = line.pop_front();
        self.waiting -= usize::from(next.is_some());
        if !line.is_empty() {
            self.lines.push_back((owner, line));
        }
        next
    }

    /// Forgets those of a function that have left.
    fn leave(&mut self, owner: u64) {
        let Some(line) = self.line(owner) else { return };
        let before = line.len();
        line.retain(|waiter| !waiter.is_closed());
        let left = before - line.len();
        self.waiting -= left;
        self.lines.retain(|(_, line)| !line.is_empty());
    }
}

/// The right to run one request. Dropping it passes it on.
pub(super) struct Place(Option<Arc<Admission>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            admission.pass_on();
        }
    }
}

impl Admission {
    pub(super) fn new(limit: usize, queue_max: usize) -> Self {
        let (state, released, service) = (Mutex::default(), Notify::new(), Service::default());
        Self { limit: limit.max(1), queue_max, state, released, service }
    }

    /// A place for a request of the function `owner`; waits for at most `patience`.
    pub(super) async fn place(self: &Arc<Self>, owner: u64, patience: Duration) -> Result<Place, Overload> {
        let Some(waiter) = self.place_or_wait(owner)? else { return Ok(Place(Some(self.clone()))) };
        waiter.wait(patience).await.ok_or_else(|| self.overload(self.lock().waiting))
    }

    /// `None`: there is a place, and it is the caller's.
    fn place_or_wait(self: &Arc<Self>, owner: u64) -> Result<Option<Waiter>, Overload> {
        let mut state = self.lock();
        if state.running < self.limit {
            state.running += 1;
            return Ok(None);
        }
        let mine = state.line(owner).map_or(0, |line| line.len());
        if mine >= self.queue_max.saturating_sub(state.waiting) {
            return Err(self.overload(state.waiting));
        }
        let (sender, receiver) = oneshot::channel();
        match state.line(owner) {
            Some(line) => line.push_back(sender),
            None => state.lines.push_back((owner, VecDeque::from([sender]))),
        }
        state.waiting += 1;
        Ok(Some(Waiter { owner, receiver, admission: self.clone() }))
    }

    fn overload(&self, waiting: usize) -> Overload {
        Overload { limit: self.limit, retry_after: self.service.retry_after(waiting, self.limit) }
    }

    fn pass_on(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                let next = state.next();
                state.running -= usize::from(next.is_none());
                next
            };
            let Some(next) = next else { break };
            match next.send(Place(Some(self.clone()))) {
                Ok(()) => return,
                // It has left; the place is still to be passed on.
                Err(mut place) => drop(place.0.take()),
            }
        }
        self.released.notify_waiters();
    }

    /// Takes into account how long a request took.
    pub(super) fn took(&self, time: Duration) {
        self.service.took(time);
    }

    /// Waits until fewer than `processors` requests run.
    pub(super) async fn quiet(&self, processors: usize) {
        loop {
            let released = self.released.notified();
            if self.lock().running < processors.max(1) {
                return;
            }
            released.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in the queue. Dropping it leaves the queue.
struct Waiter {
    owner: u64,
    receiver: oneshot::Receiver<Place>,
    admission: Arc<Admission>,
}

impl Waiter {
    async fn wait(mut self, patience: Duration) -> Option<Place> {
        tokio::time::timeout(patience, &mut self.receiver).await.ok()?.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.receiver.close();
        // A place that was given just now is passed on, and not under the lock.
        match self.receiver.try_recv() {
            Ok(place) => drop(place),
            Err(_) => self.admission.lock().leave(self.owner),
        }
    }
}

#[cfg(test)]
mod tests;
