//! A part of the functions that is like the whole: what InVitro (Ustiugov et al., WORDS 2023) samples for.
//!
//! Functions are ordered by how often they are called and cut into as many equal groups as are wanted; one is drawn from
//! each. Of several such samples the one is taken whose load is nearest to its share of the whole.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// Samples that are compared.
const CANDIDATES: usize = 64;

/// `wanted` of the functions, which are given with their calls; the most called first.
pub(super) fn representative(
    mut functions: Vec<(usize, u64)>,
    wanted: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    functions.sort_unstable_by_key(|&(index, calls)| (std::cmp::Reverse(calls), index));
    let count = functions.len();
    let total: u64 = functions.iter().map(|&(_, calls)| calls).sum();
    let share = total as f64 * wanted as f64 / count.max(1) as f64;
    let mut best: Option<(f64, Vec<usize>)> = None;
    for _ in 0..CANDIDATES {
        let mut calls = 0_u64;
        let mut chosen = Vec::with_capacity(wanted);
        for group in 0..wanted {
            let (from, to) = (group * count / wanted, (group + 1) * count / wanted);
            let (index, its) = functions[from + below(rng, to - from)];
            chosen.push(index);
            calls += its;
        }
        let distance = (calls as f64 / share).ln().abs();
        if best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, chosen));
        }
    }
    best.map(|(_, chosen)| chosen).unwrap_or_default()
}

/// A random number less than `bound`, which is not 0.
fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    let wide = u128::from(rng.next_u64()) * bound as u128;
    usize::try_from(wide >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn a_sample_has_its_share_of_the_load_and_of_rare_functions() {
        // As in the traces: few functions have most calls.
        let all: Vec<(usize, u64)> =
            (0..1000).map(|index| (index, 1 + (index as u64).pow(4) / 1000)).collect();
        let total: u64 = all.iter().map(|&(_, calls)| calls).sum();
        for seed in 0..10 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let chosen = representative(all.clone(), 50, &mut rng);
            let calls: u64 = chosen.iter().map(|&index| all[index].1).sum();
            let part = calls as f64 / (total as f64 / 20.0);
            assert!((0.95..1.05).contains(&part), "{part}");
            let rare = chosen.iter().filter(|&&index| index < 500).count();
            assert_eq!(rare, 25);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut whole = representative(all, 1000, &mut rng);
        whole.sort_unstable();
        assert_eq!(whole, (0..1000).collect::<Vec<_>>());
    }
}
