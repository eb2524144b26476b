//! Medians and tails.

use serde::Serialize;
use std::time::Duration;

/// A series of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// How many there are.
    pub n: usize,
    /// The median.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Figures {
    /// Of a series in any order; an empty one gives zeros.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut sorted: Vec<u64> = times.into_iter().map(nanoseconds).collect();
        sorted.sort_unstable();
        Self {
            n: sorted.len(),
            p50_ns: percentile(&sorted, 50),
            p99_ns: percentile(&sorted, 99),
            max_ns: percentile(&sorted, 100),
        }
    }
}

/// Something counted once per invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The most.
    pub max: u64,
    /// The average.
    pub mean: f64,
}

impl Counts {
    /// Of a series in any order; an empty one gives zeros.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn of(counts: impl IntoIterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = counts.into_iter().collect();
        sorted.sort_unstable();
        let sum = sorted.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        Self {
            p50: percentile(&sorted, 50),
            p99: percentile(&sorted, 99),
            max: percentile(&sorted, 100),
            mean: sum as f64 / sorted.len().max(1) as f64,
        }
    }

    /// The same, unknown as soon as one is.
    pub(super) fn of_known(counts: impl IntoIterator<Item = Option<u64>>) -> Option<Self> {
        Some(Self::of(counts.into_iter().collect::<Option<Vec<u64>>>()?))
    }
}

/// The nearest-rank percentile: the least value that so many per cent of all do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (percent, value) in [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)] {
            assert_eq!(percentile(&hundred, percent), value, "{percent}");
        }
        assert_eq!([1, 50, 51, 99, 100].map(|p| percentile(&[10, 20], p)), [10, 10, 20, 20, 20]);
        assert_eq!([0, 50, 100].map(|p| percentile(&[7], p)), [7, 7, 7]);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn order_does_not_matter() {
        let figures = Figures::of([3, 1, 2].map(Duration::from_nanos));
        assert_eq!(figures, Figures { n: 3, p50_ns: 2, p99_ns: 3, max_ns: 3 });
        assert_eq!(Figures::of([]), Figures::default());
        assert_eq!(Figures::of([Duration::MAX]).max_ns, u64::MAX);
    }

    #[test]
    fn counts_have_an_average_and_one_unknown_makes_all_unknown() {
        assert_eq!(Counts::of([1, 1, 4]), Counts { p50: 1, p99: 4, max: 4, mean: 2.0 });
        assert_eq!(Counts::of([]), Counts::default());
        assert_eq!(Counts::of_known([Some(2), None]), None);
        assert_eq!(Counts::of_known([Some(2), Some(2)]).map(|c| c.max), Some(2));
    }
}
