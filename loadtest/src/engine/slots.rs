//! The connections of a thread, by number.

use super::worker::Due;
use crate::http1::Connection;

/// What a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: it has no connection.
    Free,
    /// Its connection has no request.
    Idle,
    /// It has a request.
    Busy,
    /// It waits before it tries again, in a closed loop.
    Resting,
}

/// Room for one connection and its request.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    /// Grows with every connection, so that old events find nothing.
    generation: u32,
    pub(super) connection: Option<Connection>,
    pub(super) due: Due,
    pub(super) sent_ns: u64,
    /// What is kept of the body, to be judged.
    pub(super) body: Vec<u8>,
    /// Requests of a closed loop that it made.
    pub(super) made: u64,
}

/// The slots of a thread. They are made when they are needed first.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    max: usize,
    free: Vec<u32>,
    /// Slots that were idle, with their generation then; the last one that was busy is taken first.
    idle: Vec<(u32, u32)>,
}

impl Slots {
    pub(super) fn new(max: usize) -> Slots {
        Slots { slots: Vec::new(), max, free: Vec::new(), idle: Vec::new() }
    }

    /// Slots there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    pub(super) fn generation(&self, index: u32) -> u32 {
        self.slots[index as usize].generation
    }

    /// What its events are called.
    pub(super) fn name(&self, index: u32) -> u64 {
        u64::from(self.generation(index)) << 32 | u64::from(index)
    }

    /// The slot that an event is for, if the connection is still the same.
    pub(super) fn find(&self, name: u64) -> Option<u32> {
        let index = u32::try_from(name & 0xffff_ffff).ok()?;
        let slot = self.slots.get(index as usize)?;
        (u64::from(slot.generation) == name >> 32).then_some(index)
    }

    /// Requests under way.
    pub(super) fn busy(&self) -> usize {
        let idle = self.slots.iter().filter(|slot| matches!(slot.state, State::Free | State::Idle)).count();
        self.slots.len() - idle
    }

    /// A slot with a connection that has nothing to do.
    pub(super) fn take_idle(&mut self) -> Option<u32> {
        while let Some((index, generation)) = self.idle.pop() {
            if self.generation(index) == generation && self.get(index).state == State::Idle {
                return Some(index);
            }
        }
        None
    }

    /// A slot without a connection.
    pub(super) fn take_free(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let index = self.len();
        (self.slots.len() < self.max).then(|| {
            self.slots.push(Slot {
                state: State::Free,
                generation: 0,
                connection: None,
                due: Due::default(),
                sent_ns: 0,
                body: Vec::new(),
                made: 0,
            });
            index
        })
    }

    /// Ends the connection of a slot.
    pub(super) fn close(&mut self, index: u32) {
        let slot = self.get(index);
        slot.connection = None;
        slot.generation = slot.generation.wrapping_add(1);
    }

    /// Nothing is sent there for now; `usable` says whether its connection can stay.
    pub(super) fn rest(&mut self, index: u32, usable: bool) {
        if usable {
            self.get(index).state = State::Idle;
            let generation = self.generation(index);
            self.idle.push((index, generation));
        } else {
            self.free(index);
        }
    }

    /// Closes and forgets what is in a slot.
    pub(super) fn free(&mut self, index: u32) {
        self.close(index);
        self.get(index).state = State::Free;
        self.free.push(index);
    }
}
