//! A segmented sieve of Eratosthenes over odd numbers: the working memory stays in the first-level cache.

/// Odd numbers in one segment.
const SEGMENT: usize = 1 << 15;

/// Primes below a limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many.
    pub(crate) count: u64,
    /// The largest, if there is one.
    pub(crate) largest: Option<u64>,
}

/// Counts the primes below `n`.
pub(crate) fn primes_below(n: u32) -> Found {
    let limit = u64::from(n);
    if limit <= 2 {
        return Found { count: 0, largest: None };
    }
    let mut found = Found { count: 1, largest: Some(2) };
    // Index i stands for the odd number 2 i + 1; index 0 is 1, which is no prime.
    let indices = usize::try_from(limit / 2).expect("half of a u32 fits into usize");
    let mut sieving: Vec<(usize, usize)> =
        small_primes(n.isqrt()).map(|prime| (prime, prime * prime / 2)).collect();
    let mut composite = vec![false; SEGMENT];
    for start in (0..indices).step_by(SEGMENT) {
        let segment = &mut composite[..SEGMENT.min(indices - start)];
        segment.fill(false);
        segment[0] = start == 0;
        for (prime, next) in &mut sieving {
            while *next < start + segment.len() {
                segment[*next - start] = true;
                *next += *prime;
            }
        }
        found.count += segment.iter().map(|composite| u64::from(!composite)).sum::<u64>();
        if let Some(last) = segment.iter().rposition(|composite| !composite) {
            found.largest = Some(2 * (start + last) as u64 + 1);
        }
    }
    found
}

/// Odd primes up to `most`.
fn small_primes(most: u32) -> impl Iterator<Item = usize> {
    let most = usize::try_from(most).expect("a u32 fits into usize");
    (3..=most)
        .step_by(2)
        .filter(|n| (3..).step_by(2).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_trial_division() {
        let mut count = 0;
        let mut largest = None;
        for n in 0..3000_u32 {
            assert_eq!(primes_below(n), Found { count, largest }, "{n}");
            if n >= 2 && (2..n).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d)) {
                count += 1;
                largest = Some(u64::from(n));
            }
        }
    }

    #[test]
    fn known_values_hold_across_segments() {
        assert_eq!(primes_below(1_000_000), Found { count: 78_498, largest: Some(999_983) });
        let boundary = u32::try_from(2 * SEGMENT).unwrap();
        assert_eq!(primes_below(boundary).count, 6_542);
        assert_eq!(primes_below(10_000_000).count, 664_579);
    }
}
