//! Who waits at which address.
//!
//! A futex is known by its address space and its address there; one in shared memory by what all who share it know it by
//! ([`crate::mm::Mm::futex_key`]).

use alloc::vec::Vec;

/// The bits of who does not care: `FUTEX_BITSET_MATCH_ANY`.
pub const ANY: u32 = u32::MAX;

/// A futex: address space and address, or what stands for them.
pub type Futex = (u32, u64);

/// A thread that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// For what.
    pub at: Futex,
    /// Who.
    pub tid: u32,
    /// Which wake-ups are meant for it.
    pub bits: u32,
}

/// All who wait, in the order in which they came.
#[derive(Default)]
pub struct Futexes {
    waiters: Vec<Waiter>,
}

impl Futexes {
    /// Adds one who waits.
    pub fn add(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    /// Takes thread `tid` out; false if it has been woken.
    pub fn remove(&mut self, tid: u32) -> bool {
        let place = self.waiters.iter().position(|waiter| waiter.tid == tid);
        place.map(|place| self.waiters.remove(place)).is_some()
    }

    /// Whether thread `tid` is in: nobody has woken it.
    pub fn holds(&self, tid: u32) -> bool {
        self.waiters.iter().any(|waiter| waiter.tid == tid)
    }

    /// Takes the first one out that waits at `at` and cares for `bits`.
    pub fn take(&mut self, at: Futex, bits: u32) -> Option<u32> {
        let place = self.waiters.iter().position(|waiter| waiter.at == at && waiter.bits & bits != 0)?;
        Some(self.waiters.remove(place).tid)
    }

    /// Makes up to `count` of those who wait at `from` wait at `to`, behind those who are there. Returns how many.
    pub fn move_to(&mut self, from: Futex, to: Futex, count: usize) -> usize {
        let mut moved = Vec::new();
        self.waiters.retain(|waiter| {
            let moves = waiter.at == from && moved.len() < count;
            if moves {
                moved.push(Waiter { at: to, ..*waiter });
            }
            !moves
        });
        self.waiters.extend(&moved);
        moved.len()
    }
}
