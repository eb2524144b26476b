//! Randomness: a ChaCha20 generator, seeded by the host for every fork.

use alloc::rc::Rc;
use core::cell::RefCell;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The one [`Random`] of the kernel, shared with the open devices.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<Random>>);

impl Shared {
    /// A generator from a fork's seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(Rc::new(RefCell::new(Random::new(seed))))
    }

    /// Starts anew from another seed, for all who share it.
    pub fn reseed(&self, seed: &[u8; 32]) {
        *self.0.borrow_mut() = Random::new(seed);
    }

    /// Fills `buf` with random bytes.
    pub fn fill(&self, buf: &mut [u8]) {
        self.0.borrow_mut().fill(buf);
    }
}

/// The generator behind `getrandom`, `/dev/random` and `/dev/urandom`.
pub struct Random(ChaCha20Rng);

impl Random {
    /// A generator from a fork's seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(*seed))
    }

    /// Fills `buf` with random bytes.
    pub fn fill(&mut self, buf: &mut [u8]) {
        self.0.fill_bytes(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_decide_and_streams_advance() {
        let take = |seed: u8| {
            let mut random = Random::new(&[seed; 32]);
            let mut bytes = [[0; 16]; 2];
            bytes.iter_mut().for_each(|b| random.fill(b));
            bytes
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        assert_ne!(take(1)[0], take(1)[1]);
    }
}
