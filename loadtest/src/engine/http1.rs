//! HTTP/1.1 on one thread: all its connections behind one epoll(7), the schedule behind one timer.

mod endings;

use super::bodies::Bodies;
use super::counts::{Counts, ThreadReport};
use super::slots::{Slot, Slots, State};
use super::worker::{Due, GRACE_NS, Worker};
use super::{Load, Prepared, nanoseconds};
use crate::clock::Timer;
use crate::failure::Failure;
use crate::http1::{Answer, Connection, READ};
use crate::socket::Source;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

/// Events that one call of epoll_wait(2) brings.
const EVENTS: usize = 512;
/// Requests sent late in a row before answers are looked at.
const STREAK_MAX: usize = 64;
/// The timer's place among the events.
const TIMER: u64 = u64::MAX;
/// How long a connection waits when the server's queue is full, in nanoseconds.
const LATER_NS: u64 = 1_000_000;

struct Loop<'a> {
    worker: &'a Worker,
    counts: Counts,
    epoll: OwnedFd,
    slots: Slots,
    /// Requests that wait for a connection, and how many may.
    queue: VecDeque<Due>,
    queue_max: usize,
    /// Slots that try again at a time.
    resting: VecDeque<(u64, u32, u32)>,
    source: Source,
    room: Vec<u8>,
    bodies: Bodies,
    timeout_ns: u64,
    end_ns: u64,
    closed: bool,
    /// Nothing new is sent.
    over: bool,
}

pub(super) fn run(worker: &Worker, counts: Counts) -> io::Result<ThreadReport> {
    let plan = &worker.prepared.plan;
    let state = Loop {
        worker,
        counts,
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        slots: Slots::new(worker.share(plan.connections)),
        queue: VecDeque::new(),
        queue_max: worker.share(plan.queue),
        resting: VecDeque::new(),
        source: Source::default(),
        room: vec![0; READ],
        bodies: Bodies::new(),
        timeout_ns: nanoseconds(plan.timeout),
        end_ns: nanoseconds(plan.duration),
        closed: plan.load == Load::Closed,
        over: false,
    };
    state.run()
}

impl Loop<'_> {
    fn now(&self) -> u64 {
        self.worker.prepared.clock.now()
    }

    fn run(mut self) -> io::Result<ThreadReport> {
        let Prepared { stop, .. } = &*self.worker.prepared;
        let mut timer = Timer::new()?;
        let ready = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &timer, epoll::EventData::new_u64(TIMER), ready)?;
        let mut arrivals = self.worker.arrivals()?;
        let mut next = arrivals.next();
        let mut events = Vec::with_capacity(EVENTS);
        let tick = (self.timeout_ns / 20).clamp(1_000_000, 250_000_000);
        let (mut next_tick, mut give_up, mut stopped) = (0, None, false);
        let mut begun = !self.closed;
        loop {
            let mut now = self.now();
            if !begun && now > 0 {
                begun = true;
                self.fill(now);
            }
            let mut streak = 0;
            while let Some(due) =
                next.filter(|due| due.intended_ns <= now && now > 0 && streak < STREAK_MAX && !self.over)
            {
                self.counts.arrival(due.intended_ns, now);
                self.assign(due, now);
                (next, streak) = (arrivals.next(), streak + 1);
                now = self.now();
            }
            self.wake(now);
            if now >= next_tick {
                self.sweep(now);
                self.counts.turn_to(now);
                next_tick = now + tick;
            }
            let ended = if self.closed { begun && now >= self.end_ns } else { next.is_none() };
            if stop.is_set() && !stopped {
                stopped = true;
                self.counts.stopped(now);
                let soon = now + GRACE_NS;
                give_up = Some(give_up.map_or(soon, |at: u64| at.min(soon)));
                // What waits is unfinished.
                self.queue.clear();
            } else if ended && give_up.is_none() {
                give_up = Some(now.saturating_add(self.timeout_ns).saturating_add(2 * tick));
            }
            if give_up.is_some() {
                self.over = true;
                if self.slots.busy() == 0 && self.queue.is_empty() || give_up <= Some(now) {
                    break;
                }
            }
            // Before the start it is 0 too: what is due then is not due yet.
            let until = next.filter(|_| !self.over).map_or(u64::MAX, |due| due.intended_ns.max(1));
            let start = if begun { u64::MAX } else { 1 };
            let until = until.min(start).min(self.resting.front().map_or(u64::MAX, |rest| rest.0));
            self.wait(&mut timer, &mut events, now, until, next_tick.max(now))?;
            for event in events.drain(..) {
                self.event(event.data.u64(), event.flags);
            }
        }
        let now = self.now();
        for due in std::mem::take(&mut self.queue) {
            self.counts.drop_one(due.intended_ns, now);
        }
        Ok(self.counts.finish(now))
    }

    /// Waits for events until `until`, exactly, or `tick`, more or less.
    fn wait(
        &self,
        timer: &mut Timer,
        events: &mut Vec<epoll::Event>,
        now: u64,
        until: u64,
        tick: u64,
    ) -> io::Result<()> {
        let mut left = tick - now;
        if until <= now {
            left = 0;
        } else if until < tick {
            timer.arm(&self.worker.prepared.clock, until)?;
        }
        let nanoseconds = i64::try_from(left).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins all connections of a closed loop.
    fn fill(&mut self, now: u64) {
        while let Some(index) = self.slots.take_free() {
            self.again(index, now);
        }
    }

    /// Gives a request to a connection, or to the queue.
    fn assign(&mut self, due: Due, now: u64) {
        if let Some(index) = self.slots.take_idle().or_else(|| self.slots.take_free()) {
            self.send(index, due, now);
        } else if self.queue.len() < self.queue_max {
            self.queue.push_back(due);
        } else {
            self.counts.drop_one(due.intended_ns, now);
        }
    }

    /// The next request of a connection of a closed loop.
    fn again(&mut self, index: u32, now: u64) {
        let slot = self.slots.get(index);
        let call = self.worker.pick(index as usize, slot.made);
        slot.made += 1;
        self.counts.begin(now);
        self.send(index, Due { call, intended_ns: now }, now);
    }

    /// Sends a request on a slot; if that fails at once, what is next there.
    fn send(&mut self, index: u32, mut due: Due, mut now: u64) {
        loop {
            let slot = self.slots.get(index);
            (slot.due, slot.sent_ns, slot.state) = (due, now, State::Busy);
            let Err(failure) = self.try_send(index) else { return };
            now = self.now();
            match self.conclude(index, Err(failure), now) {
                Some(next) => due = next,
                None => return,
            }
        }
    }

    /// Sends the request of a slot, or begins to connect.
    fn try_send(&mut self, index: u32) -> Result<(), Failure> {
        let now = self.worker.prepared.clock.now();
        let data = epoll::EventData::new_u64(self.slots.name(index));
        let generation = self.slots.generation(index);
        let slot = self.slots.get(index);
        let Some(connection) = &mut slot.connection else {
            let address = &self.worker.prepared.plan.target.address;
            let Some(connection) = Connection::open(address, &mut self.source)? else {
                self.resting.push_back((now + LATER_NS, index, generation));
                return Ok(());
            };
            let out =
                if connection.is_connecting() { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            epoll::add(&self.epoll, &connection, data, epoll::EventFlags::IN | out)
                .map_err(|_| Failure::Exhausted)?;
            let connecting = connection.is_connecting();
            slot.connection = Some(connection);
            return if connecting { Ok(()) } else { self.begin(index) };
        };
        if connection.is_connecting() {
            connection.connected()?;
            epoll::modify(&self.epoll, &*connection, data, epoll::EventFlags::IN)
                .map_err(|_| Failure::Broken)?;
        }
        self.begin(index)
    }

    /// Sends the request of a slot on its connection.
    fn begin(&mut self, index: u32) -> Result<(), Failure> {
        let Prepared { plan, requests, .. } = &*self.worker.prepared;
        let slot = self.slots.get(index);
        let to_head = plan.mix.calls()[slot.due.call].method == http::Method::HEAD;
        if let Some(connection) = &mut slot.connection {
            connection.begin(to_head);
            if !connection.write(&requests[slot.due.call]) {
                return self.watch_writes(index, true);
            }
        }
        Ok(())
    }

    fn watch_writes(&mut self, index: u32, yes: bool) -> Result<(), Failure> {
        let data = epoll::EventData::new_u64(self.slots.name(index));
        let out = if yes { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let slot = self.slots.get(index);
        let Some(connection) = &slot.connection else { return Ok(()) };
        epoll::modify(&self.epoll, connection, data, epoll::EventFlags::IN | out).map_err(|_| Failure::Broken)
    }

    /// Something happened on a connection.
    fn event(&mut self, name: u64, flags: epoll::EventFlags) {
        let Some(index) = self.slots.find(name) else { return };
        let slot = self.slots.get(index);
        if slot.state == State::Idle {
            // The server closed it, or sent what nobody asked for.
            self.slots.free(index);
            return;
        }
        let connecting = slot.connection.as_ref().is_some_and(Connection::is_connecting);
        let result = if connecting { self.try_send(index).map(|()| None) } else { self.go_on(index, flags) };
        if let Some(result) = result.transpose() {
            let now = self.now();
            if let Some(next) = self.conclude(index, result, now) {
                self.send(index, next, now);
            }
        }
    }

    /// Sends what is left to send, and reads what there is.
    fn go_on(&mut self, index: u32, flags: epoll::EventFlags) -> Result<Option<Answer>, Failure> {
        let Prepared { plan, requests, .. } = &*self.worker.prepared;
        let Slot { connection: Some(connection), due, body, .. } = self.slots.get(index) else {
            return Ok(None);
        };
        let written = flags.contains(epoll::EventFlags::OUT) && connection.write(&requests[due.call]);
        let expect = &plan.mix.calls()[due.call].expect;
        let (bodies, mut fits) = (&mut self.bodies, Ok(()));
        let mut keep = |part: &[u8]| fits = fits.and_then(|()| bodies.keep(expect, body, part));
        let others = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let answer =
            if flags.intersects(others) { connection.read(&mut self.room, &mut keep)? } else { None };
        fits?;
        if written && answer.is_none() {
            self.watch_writes(index, false)?;
        }
        Ok(answer)
    }
}
