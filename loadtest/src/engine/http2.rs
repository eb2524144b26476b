//! HTTP/2 on one thread: many requests at a time on each connection.

use super::bodies::Bodies;
use super::counts::{Counts, ThreadReport};
use super::links::{Link, Permits};
use super::worker::{Due, GRACE_NS, REST_NS, Worker};
use super::{Load, Prepared, nanoseconds};
use crate::clock::TaskTimer;
use crate::failure::Failure;
use crate::http1::Answer;
use crate::http2::exchange;
use crate::tally::{Record, Start};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local, yield_now};

/// Requests sent late in a row before answers are looked at.
const STREAK_MAX: u32 = 64;
/// How much later than its timeout a request may end, in nanoseconds: servers can keep a thread busy.
const BUSY_NS: u64 = 30_000_000_000;
/// How often a thread looks whether the run was stopped.
const TICK: Duration = Duration::from_millis(100);

/// What the tasks of a thread share.
struct Shared {
    worker: Worker,
    counts: RefCell<Counts>,
    permits: Permits,
    queue: RefCell<VecDeque<Due>>,
    queue_max: usize,
    bodies: RefCell<Bodies>,
    busy: Cell<usize>,
    drained: Notify,
}

pub(super) fn run(worker: Worker, counts: Counts, streams: usize) -> io::Result<ThreadReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = &worker.prepared.plan;
    let (all, queue_max) = (worker.share(plan.connections), worker.share(plan.queue));
    let shared = Rc::new(Shared {
        worker,
        counts: RefCell::new(counts),
        permits: Permits::new(all, streams),
        queue: RefCell::default(),
        queue_max,
        bodies: RefCell::new(Bodies::new()),
        busy: Cell::new(0),
        drained: Notify::new(),
    });
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, Rc::clone(&shared).work())?;
    // What was given up goes away with its task.
    drop(tasks);
    let now = shared.now();
    let shared = Rc::into_inner(shared).ok_or_else(|| io::Error::other("a request outlived its run"))?;
    Ok(shared.counts.into_inner().finish(now))
}

impl Shared {
    fn now(&self) -> u64 {
        self.worker.prepared.clock.now()
    }

    async fn work(self: Rc<Self>) -> io::Result<()> {
        let Prepared { plan, stop, .. } = &*self.worker.prepared;
        let ticker = spawn_local(Rc::clone(&self).tick());
        if plan.load == Load::Closed {
            self.closed().await?;
        } else {
            self.open().await?;
        }
        // What waits for a connection by then is dropped. What is under way ends by its own timeout: late, if the thread is busy.
        let last = self.now().max(nanoseconds(plan.duration)).saturating_add(nanoseconds(plan.timeout));
        let mut give_up = last.saturating_add(nanoseconds(plan.timeout)).saturating_add(BUSY_NS);
        while self.busy.get() > 0 && self.now() < give_up {
            if stop.is_set() {
                self.counts.borrow_mut().stopped(self.now());
                give_up = give_up.min(self.now().saturating_add(GRACE_NS));
                // What waits is unfinished.
                self.queue.borrow_mut().clear();
            } else if self.now() >= last {
                self.drop_queue();
            }
            // Woken when all is done; otherwise it looks again.
            let _ = tokio::time::timeout(TICK, self.drained.notified()).await;
        }
        self.drop_queue();
        ticker.abort();
        Ok(())
    }

    fn drop_queue(&self) {
        for due in self.queue.take() {
            self.counts.borrow_mut().drop_one(due.intended_ns, self.now());
        }
    }

    /// Reports every second, also when nothing is answered.
    async fn tick(self: Rc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            self.counts.borrow_mut().turn_to(self.now());
        }
    }

    /// Hands out its share of the arrivals as they come due.
    async fn open(self: &Rc<Self>) -> io::Result<()> {
        let Prepared { clock, stop, .. } = &*self.worker.prepared;
        let mut timer = TaskTimer::new()?;
        let mut streak = 0;
        for due in self.worker.arrivals()? {
            // Before the start it is 0 too: what is due then is not due yet.
            let at = due.intended_ns.max(1);
            if clock.now() < at {
                streak = 0;
                // A stop is noticed in a long silence too.
                while !stop.is_set() && clock.now() < at {
                    let soon = clock.now() + nanoseconds(TICK);
                    timer.until(clock, at.min(soon)).await?;
                }
            } else if streak < STREAK_MAX {
                streak += 1;
            } else {
                streak = 0;
                yield_now().await;
            }
            if stop.is_set() {
                self.counts.borrow_mut().stopped(clock.now());
                break;
            }
            self.counts.borrow_mut().arrival(due.intended_ns, clock.now());
            self.assign(due);
        }
        Ok(())
    }

    /// Keeps its share of the streams busy.
    async fn closed(self: &Rc<Self>) -> io::Result<()> {
        TaskTimer::new()?.until(&self.worker.prepared.clock, 0).await?;
        let mut stream = 0;
        while let Some(link) = self.permits.take() {
            self.busy.set(self.busy.get() + 1);
            spawn_local(Rc::clone(self).repeat(link, stream));
            stream += 1;
        }
        Ok(())
    }

    /// Gives a request to a connection, or to the queue.
    fn assign(self: &Rc<Self>, due: Due) {
        if let Some(link) = self.permits.take() {
            self.busy.set(self.busy.get() + 1);
            spawn_local(Rc::clone(self).serve(link, due));
        } else if self.queue.borrow().len() < self.queue_max {
            self.queue.borrow_mut().push_back(due);
        } else {
            self.counts.borrow_mut().drop_one(due.intended_ns, self.now());
        }
    }

    /// A request of an open loop, and those that waited for its stream.
    async fn serve(self: Rc<Self>, link: Rc<Link>, due: Due) {
        // An open loop goes on whatever came of it; it is counted.
        let _ = self.send(&link, due).await;
        self.permits.put(link);
        let next = self.queue.borrow_mut().pop_front();
        if let Some(next) = next {
            self.assign(next);
        }
        self.ended();
    }

    /// A stream of a closed loop.
    async fn repeat(self: Rc<Self>, mut link: Rc<Link>, stream: usize) {
        let Prepared { plan, stop, .. } = &*self.worker.prepared;
        let end = nanoseconds(plan.duration);
        for count in 0.. {
            let now = self.now();
            if stop.is_set() {
                self.counts.borrow_mut().stopped(now);
            }
            if now >= end || stop.is_set() {
                break;
            }
            self.counts.borrow_mut().begin(now);
            let due = Due { call: self.worker.pick(stream, count), intended_ns: now };
            let outcome = self.send(&link, due).await;
            if matches!(outcome, Err(Failure::Connect | Failure::Exhausted)) {
                // A server that is not there would be asked without a pause.
                tokio::time::sleep(Duration::from_nanos(REST_NS)).await;
            }
            link = self.permits.renew(link);
        }
        self.ended();
    }

    fn ended(&self) {
        self.busy.set(self.busy.get() - 1);
        if self.busy.get() == 0 {
            self.drained.notify_one();
        }
    }

    /// Sends one request, judges the answer, and counts both.
    async fn send(&self, link: &Link, due: Due) -> Result<Start, Failure> {
        let Prepared { plan, clock, messages, .. } = &*self.worker.prepared;
        let sent_ns = clock.now();
        let expect = &plan.mix.calls()[due.call].expect;
        let mut body = Vec::new();
        let answered = tokio::time::timeout(plan.timeout, async {
            let mut sender = link.sender(&plan.target.address).await?;
            let keep = |part: &[u8]| self.bodies.borrow_mut().keep(expect, &mut body, part);
            exchange(&mut sender, &messages[due.call], keep).await
        })
        .await;
        let done_ns = clock.now();
        let answer = answered.unwrap_or(Err(Failure::Timeout));
        link.judge(&answer);
        let body_bytes = answer.as_ref().map_or(0, |answer| answer.body_bytes);
        let outcome = answer.and_then(|Answer { status, start, .. }| {
            expect.check(status, &body).map_err(Failure::Unexpected)?;
            Ok(Start::of(&start))
        });
        self.bodies.borrow_mut().forget(&mut body);
        let record =
            Record { call: due.call, intended_ns: due.intended_ns, sent_ns, done_ns, outcome, body_bytes };
        self.counts.borrow_mut().add(&record);
        outcome
    }
}
