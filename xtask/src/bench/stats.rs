//! Medians and tails.

use std::time::Duration;

/// What is reported of a series.
pub(super) struct Figures {
    pub(super) n: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Figures {
    /// Of a series that is not empty; an empty one gives zeros.
    pub(super) fn of(mut series: Vec<Duration>) -> Self {
        series.sort_unstable();
        let at =
            |percent: usize| series.get((series.len() * percent / 100).min(series.len().saturating_sub(1)));
        let or_zero = |value: Option<&Duration>| value.copied().unwrap_or_default();
        Self { n: series.len(), p50: or_zero(at(50)), p99: or_zero(at(99)), max: or_zero(series.last()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_one_to_a_hundred() {
        let figures = Figures::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!((figures.n, figures.p50, figures.p99, figures.max), {
            let ms = Duration::from_millis;
            (100, ms(51), ms(100), ms(100))
        });
        assert_eq!(Figures::of(Vec::new()).max, Duration::ZERO);
    }
}
