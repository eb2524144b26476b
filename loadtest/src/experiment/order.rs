//! Which system is measured when, and with which seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The numbers 0 to `count` in an order that depends on the seed and the repetition alone (Fisher and Yates): what the machine
/// does to one system in one repetition it does to another in the next.
pub fn shuffled(count: usize, seed: u64, repetition: u32) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(mixed(seed, u64::from(repetition)));
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        let other = (u128::from(rng.next_u64()) * (at as u128 + 1)) >> 64;
        order.swap(at, usize::try_from(other).unwrap_or(0));
    }
    order
}

/// The seed of one repetition: the same for all systems, so that all get the same schedule.
pub fn mixed(seed: u64, repetition: u64) -> u64 {
    // The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
    let mut value = seed.wrapping_add(repetition.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn orders_are_permutations_that_repeat_with_their_seed() {
        for repetition in 0..20 {
            let order = shuffled(6, 42, repetition);
            assert_eq!(order, shuffled(6, 42, repetition));
            assert_eq!(order.iter().copied().collect::<BTreeSet<_>>().len(), 6);
        }
        let firsts: BTreeSet<usize> = (0..40).map(|repetition| shuffled(3, 1, repetition)[0]).collect();
        assert_eq!(firsts.len(), 3, "each comes first at some time");
        assert_eq!((shuffled(0, 1, 1), shuffled(1, 1, 1)), (vec![], vec![0]));
    }

    #[test]
    fn repetitions_have_seeds_of_their_own() {
        let seeds: BTreeSet<u64> = (0..100).map(|repetition| mixed(7, repetition)).collect();
        assert_eq!(seeds.len(), 100);
        assert_ne!(mixed(1, 0), mixed(2, 0));
    }
}
