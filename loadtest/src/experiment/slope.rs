//! Whether something grows: the slope of samples over time, and how far it can be trusted.

use crate::significance::{Interval, interval};

/// Blocks that the samples are cut into: neighbours in time are alike, so an interval from single samples would be too sure.
const BLOCKS: usize = 10;

/// The least-squares slope of (time, value) pairs; none with fewer than two times.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (mean_x, mean_y) =
        points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x) * (x - mean_x);
    }
    (points.len() >= 2 && below > 0.0).then(|| above / below)
}

/// The slope with a 95 % interval: slopes without one block of the samples at a time (jackknife pseudo-values; Tukey, 1958).
/// None with fewer than two samples a block.
pub fn slope_interval(points: &[(f64, f64)]) -> Option<Interval> {
    let whole = slope(points)?;
    if points.len() < 2 * BLOCKS {
        return None;
    }
    let block = |at: usize| at * points.len() / BLOCKS;
    let pseudo = (0..BLOCKS).map(|at| {
        let rest: Vec<_> = points[..block(at)].iter().chain(&points[block(at + 1)..]).copied().collect();
        Some(BLOCKS as f64 * whole - (BLOCKS - 1) as f64 * slope(&rest)?)
    });
    let found = interval(&pseudo.collect::<Option<Vec<_>>>()?)?;
    Some(Interval { mean: whole, ..found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        let line: Vec<_> = (0..50).map(|x| (f64::from(x), 3.0 * f64::from(x) + 1.0)).collect();
        assert!((slope(&line).unwrap() - 3.0).abs() < 1e-9);
        let found = slope_interval(&line).unwrap();
        assert!((found.low - 3.0).abs() < 1e-6 && (found.high - 3.0).abs() < 1e-6, "{found:?}");
        assert_eq!((slope(&[]), slope(&[(1.0, 2.0)]), slope(&[(1.0, 2.0), (1.0, 3.0)])), (None, None, None));
        assert_eq!(slope_interval(&line[..19]), None);
    }

    #[test]
    fn growth_stands_out_of_noise_and_noise_does_not() {
        let noise = |x: u32| f64::from(x.wrapping_mul(2_654_435_761) >> 24);
        let flat: Vec<_> = (0..200).map(|x| (f64::from(x), noise(x))).collect();
        let found = slope_interval(&flat).unwrap();
        assert!(found.low < 0.0 && found.high > 0.0, "{found:?}");
        let grown: Vec<_> = flat.iter().map(|(x, y)| (*x, y + 5.0 * x)).collect();
        let found = slope_interval(&grown).unwrap();
        assert!(found.low > 4.0 && found.high < 6.0, "{found:?}");
    }
}
