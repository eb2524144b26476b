//! The places of one function: how many of its requests run at once, and how many wait.

use super::admission::{self, Overload, Service};
use super::fleet::Fleet;
use super::turns::{Shortest, Turn};
use crate::api::InvokeError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Most requests of one function that wait for a place.
const QUEUE_MAX: usize = 1024;

/// The right to run one request of a function on this worker. Given back when its VM is idle again or gone.
pub(super) struct Place {
    _function: OwnedSemaphorePermit,
    _worker: admission::Place,
    _turn: Option<Turn>,
}

/// Places of one function.
pub(super) struct Places {
    limit: usize,
    owner: u64,
    fleet: Arc<Fleet>,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    service: Service,
    shortest: Shortest,
}

impl Places {
    pub(super) fn new(limit: usize, fleet: Arc<Fleet>) -> Self {
        let limit = limit.max(1);
        let (free, waiting) = (Arc::new(Semaphore::new(limit)), AtomicUsize::new(0));
        Self {
            limit,
            owner: fleet.owner(),
            fleet,
            free,
            waiting,
            service: Service::default(),
            shortest: Shortest::default(),
        }
    }

    /// A place for one request; waits for at most `patience` in bounded queues, first the function's, then the
    /// worker's. Then for its turn, if its function takes turns.
    pub(super) async fn place(&self, patience: Duration) -> Result<Place, InvokeError> {
        let deadline = Instant::now() + patience;
        let function = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(deadline).await?,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let worker = self.fleet.admission.place(self.owner, left).await;
        let worker = worker.map_err(|Overload { limit, retry_after }| InvokeError::WorkerOverloaded {
            limit,
            retry_after,
        })?;
        let turn = self.fleet.turns.turn(&self.shortest, deadline).await;
        Ok(Place { _function: function, _worker: worker, _turn: turn })
    }

    async fn wait(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, InvokeError> {
        let _waiting = Waiting::enter(&self.waiting).ok_or_else(|| self.overloaded())?;
        match tokio::time::timeout_at(deadline, self.free.clone().acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| InvokeError::ShuttingDown),
            Err(_) => Err(self.overloaded()),
        }
    }

    fn overloaded(&self) -> InvokeError {
        let retry_after = self.service.retry_after(self.waiting.load(Ordering::Relaxed), self.limit);
        InvokeError::Overloaded { limit: self.limit, retry_after }
    }

    /// Takes into account how long a request had its place.
    pub(super) fn took(&self, time: Duration) {
        self.service.took(time);
        self.fleet.admission.took(time);
    }

    /// Takes into account how long a request was in its VM.
    pub(super) fn ran(&self, time: Duration) {
        self.shortest.took(time);
    }

    /// No new requests, and waits for the running ones.
    pub(super) async fn drain(&self) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        // Holding every place means that nobody else has one.
        let all_places = self.free.acquire_many(all).await;
        self.free.close();
        drop(all_places);
    }
}

/// One request in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn the_queue_is_bounded_and_places_come_back() {
        let count = AtomicUsize::new(0);
        let queue: Vec<_> = (0..QUEUE_MAX).map_while(|_| Waiting::enter(&count)).collect();
        assert_eq!(queue.len(), QUEUE_MAX);
        assert!(Waiting::enter(&count).is_none());
        drop(queue);
        assert!(Waiting::enter(&count).is_some());
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_limits_of_function_and_worker_are_told_apart() {
        let fleet = Arc::new(Fleet::new(2));
        let (one, two) = (Places::new(1, fleet.clone()), Places::new(5, fleet));
        let first = one.place(LONG).await.unwrap();
        let refused = one.place(Duration::from_millis(10)).await.err().unwrap();
        assert!(matches!(refused, InvokeError::Overloaded { limit: 1, .. }), "{refused:?}");
        let _second = two.place(LONG).await.unwrap();
        let refused = two.place(Duration::from_millis(10)).await.err().unwrap();
        assert!(matches!(refused, InvokeError::WorkerOverloaded { limit: 2, .. }), "{refused:?}");
        drop(first);
        let _third = two.place(Duration::ZERO).await.unwrap();
    }
}
