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

/// Most requests of one function that wait for a place; as many again may that go on while they run.
const QUEUE_MAX: usize = 1024;

/// The right to run one request of a function on this worker. Given back when its VM is idle again or gone.
pub(super) struct Place {
    _function: OwnedSemaphorePermit,
    _worker: admission::Place,
    _turn: Option<Turn>,
    _lasting: Option<Lasting>,
}

/// The right to keep a place for as long as a client likes. A client that is slow with its body, or has an upgraded connection, holds a VM
/// until the function's time is over: such requests of one function get at most half of the worker's places, those of all functions three
/// quarters.
struct Lasting {
    _function: OwnedSemaphorePermit,
    _worker: OwnedSemaphorePermit,
}

/// Places of one function.
pub(super) struct Places {
    limit: usize,
    owner: u64,
    fleet: Arc<Fleet>,
    free: Arc<Semaphore>,
    /// Places for requests that go on while they run.
    lasting: Arc<Semaphore>,
    lasting_max: usize,
    waiting: AtomicUsize,
    /// Those that go on while they run. They wait long, and take no room from others.
    lasting_waiting: AtomicUsize,
    service: Service,
    shortest: Shortest,
}

impl Places {
    pub(super) fn new(limit: usize, fleet: Arc<Fleet>) -> Self {
        let limit = limit.max(1);
        let free = Arc::new(Semaphore::new(limit));
        let lasting_max = limit.min((fleet.vms().1 / 2).max(1));
        let lasting = Arc::new(Semaphore::new(lasting_max));
        Self {
            limit,
            owner: fleet.owner(),
            fleet,
            free,
            lasting,
            lasting_max,
            waiting: AtomicUsize::new(0),
            lasting_waiting: AtomicUsize::new(0),
            service: Service::default(),
            shortest: Shortest::default(),
        }
    }

    /// A place for one request; waits for at most `patience` in bounded queues, first the function's, then the
    /// worker's. Then for its turn, if its function takes turns. `goes_on`: while it runs.
    pub(super) async fn place(&self, patience: Duration, goes_on: bool) -> Result<Place, InvokeError> {
        let deadline = Instant::now() + patience;
        let (function, lasting) =
            if goes_on { self.lasting(deadline).await? } else { (self.function(deadline).await?, None) };
        let left = deadline.saturating_duration_since(Instant::now());
        let worker = self.fleet.admission.place(self.owner, left).await;
        let worker = worker.map_err(|Overload { limit, retry_after }| InvokeError::WorkerOverloaded {
            limit,
            retry_after,
        })?;
        let turn = self.fleet.turns.turn(&self.shortest, deadline).await;
        Ok(Place { _function: function, _worker: worker, _turn: turn, _lasting: lasting })
    }

    /// One of the function's places.
    async fn function(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, InvokeError> {
        permit(&self.free, deadline, &self.waiting).await.map_err(|lack| self.refusal(lack, self.limit))
    }

    /// One of the function's places, for a request that goes on. What all functions share comes last: nobody holds that while waiting
    /// for a place of a busy function.
    async fn lasting(
        &self,
        deadline: Instant,
    ) -> Result<(OwnedSemaphorePermit, Option<Lasting>), InvokeError> {
        let queue = &self.lasting_waiting;
        let share = permit(&self.lasting, deadline, queue).await;
        let share = share.map_err(|lack| self.refusal(lack, self.lasting_max))?;
        let place = permit(&self.free, deadline, queue).await;
        let place = place.map_err(|lack| self.refusal(lack, self.limit))?;
        let (free, limit) = &self.fleet.lasting;
        let worker = permit(free, deadline, queue).await;
        let worker = worker.map_err(|lack| of_worker(self.refusal(lack, *limit)))?;
        Ok((place, Some(Lasting { _function: share, _worker: worker })))
    }

    /// What a request is told that gets none of `limit` places.
    fn refusal(&self, lack: Lack, limit: usize) -> InvokeError {
        match lack {
            Lack::Closed => InvokeError::ShuttingDown,
            Lack::Full { waiting } => {
                let retry_after = self.service.retry_after(waiting, limit);
                InvokeError::Overloaded { limit, retry_after }
            }
        }
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

/// Why there is no place.
enum Lack {
    /// None has come free in time, or this many wait already.
    Full {
        waiting: usize,
    },
    Closed,
}

/// One of these permits, or the next; waits in `queue`.
async fn permit(
    free: &Arc<Semaphore>,
    deadline: Instant,
    queue: &AtomicUsize,
) -> Result<OwnedSemaphorePermit, Lack> {
    if let Ok(permit) = free.clone().try_acquire_owned() {
        return Ok(permit);
    }
    let full = || Lack::Full { waiting: queue.load(Ordering::Relaxed) };
    let _waiting = Waiting::enter(queue).ok_or_else(full)?;
    match tokio::time::timeout_at(deadline, free.clone().acquire_owned()).await {
        Ok(permit) => permit.map_err(|_| Lack::Closed),
        Err(_) => Err(full()),
    }
}

/// The same refusal, for want of a place on the worker.
fn of_worker(refusal: InvokeError) -> InvokeError {
    match refusal {
        InvokeError::Overloaded { limit, retry_after } => {
            InvokeError::WorkerOverloaded { limit, retry_after }
        }
        other => other,
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
    use std::pin::pin;
    use std::task::{Context, Waker};

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
        let first = one.place(LONG, false).await.unwrap();
        let refused = one.place(Duration::from_millis(10), false).await.err().unwrap();
        assert!(matches!(refused, InvokeError::Overloaded { limit: 1, .. }), "{refused:?}");
        let _second = two.place(LONG, false).await.unwrap();
        let refused = two.place(Duration::from_millis(10), false).await.err().unwrap();
        assert!(matches!(refused, InvokeError::WorkerOverloaded { limit: 2, .. }), "{refused:?}");
        drop(first);
        let _third = two.place(Duration::ZERO, false).await.unwrap();
    }

    #[tokio::test]
    async fn requests_that_go_on_leave_places_for_others() {
        const SHORT: Duration = Duration::from_millis(10);
        let fleet = Arc::new(Fleet::new(8));
        let functions: Vec<_> = (0..3).map(|_| Places::new(100, fleet.clone())).collect();
        let mut held = Vec::new();
        for (function, share) in functions.iter().zip([4, 2, 0]) {
            for _ in 0..share {
                held.push(function.place(LONG, true).await.unwrap());
            }
            let refused = function.place(SHORT, true).await.err().unwrap();
            match share {
                4 => assert!(matches!(refused, InvokeError::Overloaded { limit: 4, .. }), "{refused:?}"),
                _ => {
                    assert!(matches!(refused, InvokeError::WorkerOverloaded { limit: 6, .. }), "{refused:?}")
                }
            }
        }
        let last =
            [functions[0].place(LONG, false).await.unwrap(), functions[2].place(LONG, false).await.unwrap()];
        let refused = functions[1].place(SHORT, false).await.err().unwrap();
        assert!(matches!(refused, InvokeError::WorkerOverloaded { limit: 8, .. }), "{refused:?}");
        drop((held, last));
        let _again = functions[2].place(Duration::ZERO, true).await.unwrap();
        let small = Places::new(5, Arc::new(Fleet::new(1)));
        let _only = small.place(Duration::ZERO, true).await.unwrap();
    }

    #[tokio::test]
    async fn those_that_wait_to_go_on_leave_room_in_the_queue() {
        let places = Places::new(2, Arc::new(Fleet::new(2)));
        let slow = places.place(LONG, true).await.unwrap();
        let _queue: Vec<_> = (0..QUEUE_MAX).map_while(|_| Waiting::enter(&places.lasting_waiting)).collect();
        let refused = places.place(LONG, true).await.err().unwrap();
        assert!(matches!(refused, InvokeError::Overloaded { limit: 1, .. }), "{refused:?}");
        let _ordinary = places.place(LONG, false).await.unwrap();
        let mut next = pin!(places.place(LONG, false));
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(slow);
        let _next = next.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_a_busy_function_holds_nothing_of_the_worker() {
        let fleet = Arc::new(Fleet::new(4));
        let (busy, other) = (Places::new(1, fleet.clone()), Places::new(4, fleet));
        let running = busy.place(LONG, false).await.unwrap();
        let mut waiting = pin!(busy.place(LONG, true));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(busy.fleet.lasting.0.available_permits(), 3);
        let others = [other.place(Duration::ZERO, true).await, other.place(Duration::ZERO, true).await];
        assert!(others.iter().all(Result::is_ok));
        drop(running);
        let _first = waiting.await.unwrap();
        assert_eq!(busy.fleet.lasting.0.available_permits(), 0);
    }
}
