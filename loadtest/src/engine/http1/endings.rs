//! How requests end: with an answer, with a failure, too late; and what their connection does next.

use super::Loop;
use crate::engine::Prepared;
use crate::engine::slots::State;
use crate::engine::worker::{Due, REST_NS};
use crate::failure::Failure;
use crate::http1::Answer;
use crate::tally::{Record, Start};

/// What is kept of a body's room for the next one.
const ROOM_KEPT: usize = 4096;

impl Loop<'_> {
    /// A request is over: counts it, and says what this slot sends next. Without that the slot is idle, resting or free.
    pub(super) fn conclude(&mut self, index: u32, result: Result<Answer, Failure>, now: u64) -> Option<Due> {
        let Prepared { plan, requests, stop, .. } = &*self.worker.prepared;
        let slot = self.slots.get(index);
        let due = slot.due;
        let usable = result.is_ok()
            && slot.connection.as_ref().is_some_and(|open| open.is_usable_after(&requests[due.call]));
        if !usable {
            self.slots.close(index);
        }
        let slot = self.slots.get(index);
        let body_bytes = result.as_ref().map_or(0, |answer| answer.body_bytes);
        let outcome = result.and_then(|answer| {
            let expect = &plan.mix.calls()[due.call].expect;
            expect.check(answer.status, &slot.body).map_err(Failure::Unexpected)?;
            Ok(Start::of(&answer.start))
        });
        let (intended_ns, sent_ns, call) = (due.intended_ns, slot.sent_ns, due.call);
        self.bodies.forget(&mut slot.body);
        if slot.body.capacity() > ROOM_KEPT {
            slot.body = Vec::new();
        }
        self.counts.add(&Record { call, intended_ns, sent_ns, done_ns: now, outcome, body_bytes });
        if !self.closed {
            let next = self.queue.pop_front();
            if next.is_none() {
                self.slots.rest(index, usable);
            }
            return next;
        }
        if now >= self.end_ns || stop.is_set() {
            self.slots.free(index);
            return None;
        }
        if matches!(outcome, Err(Failure::Connect | Failure::Exhausted)) {
            // A server that is not there would be asked without a pause.
            let generation = self.slots.generation(index);
            self.slots.get(index).state = State::Resting;
            self.resting.push_back((now + REST_NS, index, generation));
            return None;
        }
        let slot = self.slots.get(index);
        slot.made += 1;
        let made = slot.made;
        self.counts.begin(now);
        Some(Due { call: self.worker.pick(index as usize, made), intended_ns: now })
    }

    /// Tries again where it is time to.
    pub(super) fn wake(&mut self, now: u64) {
        while let Some((_, index, generation)) = self.resting.pop_front_if(|rest| rest.0 <= now) {
            if self.slots.generation(index) != generation {
                continue;
            }
            match self.slots.get(index).state {
                State::Resting if self.over => self.slots.free(index),
                State::Resting => self.again(index, now),
                State::Busy => {
                    let result = self.try_send(index);
                    if let Err(failure) = result
                        && let Some(next) = self.conclude(index, Err(failure), now)
                    {
                        self.send(index, next, now);
                    }
                }
                State::Idle | State::Free => {}
            }
        }
    }

    /// Ends what takes too long.
    pub(super) fn sweep(&mut self, now: u64) {
        for index in 0..self.slots.len() {
            let slot = self.slots.get(index);
            if slot.state == State::Busy && now.saturating_sub(slot.sent_ns) >= self.timeout_ns {
                self.slots.close(index);
                if let Some(next) = self.conclude(index, Err(Failure::Timeout), now) {
                    self.send(index, next, now);
                }
            }
        }
    }
}
