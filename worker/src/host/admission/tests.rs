use super::*;
use std::task::{Context, Waker};

const LONG: Duration = Duration::from_secs(600);

fn admission(limit: usize, queue_max: usize) -> Arc<Admission> {
    Arc::new(Admission::new(limit, queue_max))
}

fn wait(admission: &Arc<Admission>, owner: u64) -> Waiter {
    admission.place_or_wait(owner).unwrap().unwrap()
}

/// Whether the place has come.
fn has_place(waiter: &mut Waiter) -> Option<Place> {
    waiter.receiver.try_recv().ok()
}

#[tokio::test]
async fn places_are_bounded_and_come_back() {
    let admission = admission(2, 8);
    let first = admission.place(1, LONG).await.unwrap();
    let _second = admission.place(2, LONG).await.unwrap();
    let mut third = wait(&admission, 3);
    assert!(has_place(&mut third).is_none());
    drop(first);
    let third = has_place(&mut third).unwrap();
    drop(third);
    assert_eq!(admission.lock().running, 1);
    admission.place(1, LONG).await.unwrap();
}

#[tokio::test]
async fn functions_take_turns() {
    let admission = admission(1, 100);
    let mut place = Some(admission.place(1, LONG).await.unwrap());
    let mut waiters: Vec<(u64, Waiter)> =
        [1, 1, 1, 1, 2, 2, 3].into_iter().map(|owner| (owner, wait(&admission, owner))).collect();
    let mut order = Vec::new();
    while !waiters.is_empty() {
        drop(place.take());
        let (at, next) =
            waiters.iter_mut().enumerate().find_map(|(at, (_, w))| Some((at, has_place(w)?))).unwrap();
        order.push(waiters.remove(at).0);
        place = Some(next);
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
}

#[tokio::test]
async fn one_function_does_not_fill_the_queue() {
    let admission = admission(1, 16);
    let _place = admission.place(1, LONG).await.unwrap();
    let fill = |owner| {
        let line: Vec<_> = std::iter::from_fn(|| admission.place_or_wait(owner).ok().flatten()).collect();
        assert_eq!(admission.place_or_wait(owner).err().unwrap().limit, 1);
        line
    };
    let flood = fill(1);
    assert_eq!(flood.len(), 8);
    let other = fill(2);
    assert_eq!(other.len(), 4);
    assert_eq!(fill(3).len(), 2);
    // Who leaves makes room.
    drop((flood, other));
    assert_eq!(admission.lock().waiting, 0);
    assert!(admission.lock().lines.is_empty());
    assert_eq!(fill(2).len(), 8);
}

#[tokio::test]
async fn a_place_given_to_someone_who_left_goes_on() {
    let admission = admission(1, 8);
    let place = admission.place(1, LONG).await.unwrap();
    let (gone, mut next) = (wait(&admission, 1), wait(&admission, 2));
    drop(place);
    // The first has the place in its hands, and leaves without having looked.
    drop(gone);
    assert!(has_place(&mut next).is_some());
    drop(next);
    let state = admission.lock();
    assert_eq!((state.running, state.waiting), (0, 0));
}

#[tokio::test]
async fn patience_ends() {
    let admission = admission(1, 8);
    let place = admission.place(1, LONG).await.unwrap();
    admission.took(Duration::from_secs(3));
    let overload = admission.place(1, Duration::from_millis(10)).await.err().unwrap();
    assert_eq!(overload, Overload { limit: 1, retry_after: Duration::from_secs(3) });
    assert_eq!(admission.lock().waiting, 0);
    drop(place);
    admission.place(1, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn quiet_is_when_a_processor_is_free() {
    let admission = admission(8, 8);
    let _first = admission.place(1, LONG).await.unwrap();
    admission.quiet(2).await;
    let second = admission.place(1, LONG).await.unwrap();
    let mut quiet = std::pin::pin!(admission.quiet(2));
    assert!(quiet.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(second);
    quiet.await;
}

#[test]
fn the_time_to_try_again_follows_the_queue() {
    let service = Service::default();
    assert_eq!(service.retry_after(1000, 1), Duration::from_secs(1), "nothing is known");
    service.took(Duration::from_secs(2));
    assert_eq!(service.retry_after(0, 1), Duration::from_secs(2));
    assert_eq!(service.retry_after(9, 5), Duration::from_secs(4));
    assert_eq!(service.retry_after(usize::MAX - 1, 1), Duration::from_secs(60));
    for _ in 0..100 {
        service.took(Duration::from_millis(1));
    }
    assert_eq!(service.retry_after(0, 1), Duration::from_secs(1));
}
