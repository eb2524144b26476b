//! Whether two sets of repetitions differ, and how far one can be trusted.
//!
//! A repetition gives one number (its p99, its rate). Nothing is assumed about how these numbers are distributed: intervals
//! are Student's (1908); for differences nothing is assumed, they are tested by permutation (Fisher; Ernst, "Permutation Methods", 2004).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Permutations that are all tried; if there are more, so many are drawn.
const PERMUTATIONS: usize = 20_000;

/// A mean, and the interval that holds it with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean of the repetitions.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The mean of `values` and its interval: Student's, which knows how little a few repetitions tell. A single value says nothing of its
/// spread: its interval is itself. `None` without values, or if one is not a number.
pub fn interval(values: &[f64]) -> Option<Interval> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let (mean, count) = (mean(values), values.len() as f64);
    if values.len() == 1 {
        return Some(Interval { mean, low: mean, high: mean });
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    let half = student(values.len() - 1) * error;
    Some(Interval { mean, low: mean - half, high: mean + half })
}

/// The 97.5th percentile of Student's distribution, by degrees of freedom.
fn student(freedom: usize) -> f64 {
    const FEW: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    if let Some(value) = freedom.checked_sub(1).and_then(|at| FEW.get(at)) {
        return *value;
    }
    // Cornish and Fisher's expansion about the normal distribution (Abramowitz and Stegun, 26.7.5): right to 0.001 from here on.
    let (z, n) = (1.959_964_f64, freedom as f64);
    let first = (z.powi(3) + z) / (4.0 * n);
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n);
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * n.powi(3));
    z + first + second + third
}

/// The probability that two sets with no real difference have means at least as far apart as these have: two-sided. With 5 and
/// 5 repetitions the least it can be is 2 in 252. `None` if a set is empty, or a value is not a number.
pub fn p_value(one: &[f64], two: &[f64], seed: u64) -> Option<f64> {
    let mut all: Vec<f64> = one.iter().chain(two).copied().collect();
    if one.is_empty() || two.is_empty() || all.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let seen = (mean(one) - mean(two)).abs();
    // Sums differ in their last bits with the order of their parts.
    let tolerance = seen * 1e-9;
    let split = one.len();
    let far = |all: &[f64]| (mean(&all[..split]) - mean(&all[split..])).abs() >= seen - tolerance;
    if let Some(count) = choices(all.len(), split).filter(|&count| count <= PERMUTATIONS) {
        let mut as_far = 0;
        every_choice(&mut all, split, &mut |all| as_far += usize::from(far(all)));
        return Some(as_far as f64 / count as f64);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut as_far = 0;
    for _ in 0..PERMUTATIONS {
        for at in 0..split {
            let other = at + below(&mut rng, all.len() - at);
            all.swap(at, other);
        }
        as_far += usize::from(far(&all));
    }
    // The order seen is one of them.
    Some((as_far + 1) as f64 / (PERMUTATIONS + 1) as f64)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// How many ways there are to choose `take` of `total`; `None` if they are too many to count.
fn choices(total: usize, take: usize) -> Option<usize> {
    (0..take.min(total - take))
        .try_fold(1_usize, |count, step| Some(count.checked_mul(total - step)? / (step + 1)))
}

/// Calls `each` with every choice of `take` values at the front, and leaves the values as they were.
fn every_choice(values: &mut [f64], take: usize, each: &mut impl FnMut(&[f64])) {
    fn from(values: &mut [f64], place: usize, next: usize, take: usize, each: &mut impl FnMut(&[f64])) {
        if place == take {
            each(values);
            return;
        }
        for at in next..=values.len() - (take - place) {
            values.swap(place, at);
            from(values, place + 1, at + 1, take, each);
            values.swap(place, at);
        }
    }
    from(values, 0, 0, take, each);
}

/// A random number less than `bound`, which is not 0.
fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from((u128::from(rng.next_u64()) * bound as u128) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_made_once() {
        for (total, take) in [(5, 2), (6, 3), (4, 4), (4, 1)] {
            let mut values: Vec<f64> = (0..total).map(f64::from).collect();
            let mut seen = std::collections::BTreeSet::new();
            let mut calls = 0;
            every_choice(&mut values, take, &mut |values| {
                calls += 1;
                let mut front: Vec<u64> = values[..take].iter().map(|value| value.to_bits()).collect();
                front.sort_unstable();
                seen.insert(front);
            });
            let total = usize::try_from(total).unwrap();
            assert_eq!((calls, seen.len()), (choices(total, take).unwrap(), choices(total, take).unwrap()));
            assert!(values.is_sorted());
        }
    }

    #[test]
    fn sets_apart_differ_and_sets_alike_do_not() {
        let (low, high) = ([1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]);
        assert_eq!(p_value(&low, &high, 1), Some(2.0 / 252.0));
        assert_eq!(p_value(&high, &low, 1), Some(2.0 / 252.0));
        assert_eq!(p_value(&low, &low, 1), Some(1.0));
        assert!(p_value(&[1.0, 3.0, 2.0, 4.0, 2.5], &[2.1, 3.2, 1.2, 3.9, 2.4], 1).unwrap() > 0.5);
        assert_eq!((p_value(&[], &low, 1), p_value(&low, &[f64::NAN], 1)), (None, None));
    }

    #[test]
    fn large_sets_are_sampled_and_agree_with_what_is_known() {
        let one: Vec<f64> = (0..40).map(|at| f64::from(at % 7)).collect();
        let two: Vec<f64> = one.iter().map(|value| value + 0.01).collect();
        assert!(p_value(&one, &two, 1).unwrap() > 0.9);
        let far: Vec<f64> = one.iter().map(|value| value + 5.0).collect();
        assert!(p_value(&one, &far, 1).unwrap() < 1e-3);
    }

    #[test]
    fn an_interval_holds_its_mean_and_narrows_with_more() {
        let few = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        // 2.776 standard errors of 0.7071.
        assert!((few.mean - 3.0).abs() < 1e-12 && (few.high - 4.963).abs() < 1e-3, "{few:?}");
        let many: Vec<f64> = (0..500).map(|at| f64::from(at % 5 + 1)).collect();
        let many = interval(&many).unwrap();
        assert!(many.high - many.low < (few.high - few.low) / 5.0, "{many:?}");
        assert_eq!((interval(&[]), interval(&[f64::INFINITY])), (None, None));
        assert_eq!(interval(&[7.0]), Some(Interval { mean: 7.0, low: 7.0, high: 7.0 }));
    }

    #[test]
    fn students_distribution_is_that_of_the_tables() {
        for (freedom, value) in [(1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (30, 2.042), (120, 1.980)]
        {
            assert!((student(freedom) - value).abs() < 2e-3, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn intervals_hold_the_mean_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut normal =
            || (0..12).map(|_| below(&mut rng, 1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0;
        let held = (0..4000).filter(|_| {
            let values: Vec<f64> = (0..5).map(|_| normal()).collect();
            interval(&values).is_some_and(|of| of.low <= 0.0 && of.high >= 0.0)
        });
        let held = held.count();
        assert!((3740..=3860).contains(&held), "{held} of 4000");
    }
}
