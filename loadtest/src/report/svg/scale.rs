//! Where values stand on an axis, and which of them are named.

use crate::report::Scale;

/// Values beyond this are not drawn: sums and products of them must stay numbers.
const DRAWN_MAX: f64 = 1e100;
/// Ticks of an axis, whatever happens.
const TICKS_MAX: usize = 40;

/// An axis: a range of values on a range of pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// A named place of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

/// Whether a value can be drawn.
pub(super) fn drawable(scale: Scale, value: f64) -> bool {
    value.abs() < DRAWN_MAX && (scale == Scale::Linear || value > 1.0 / DRAWN_MAX)
}

impl Ruler {
    /// An axis that holds all `values` that can be drawn; none if there are none. With `zero` a linear axis begins there.
    pub(super) fn new(scale: Scale, values: impl Iterator<Item = f64>, zero: bool) -> Option<Ruler> {
        let drawn = values.filter(|value| drawable(scale, *value));
        let (low, high) = drawn.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        })?;
        let (low, high) = match scale {
            Scale::Linear if zero && low >= 0.0 => (0.0, if high > 0.0 { high } else { 1.0 }),
            Scale::Linear if zero => (low, high.max(0.0)),
            Scale::Linear if high - low <= high.abs() * 1e-9 => {
                let around = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
                (low - around, high + around)
            }
            Scale::Linear => (low, high),
            Scale::Log if high / low < 1.2 => (low / 2.0, high * 2.0),
            Scale::Log => (low, high),
        };
        Some(Ruler { scale, low, high, from: 0.0, to: 1.0 })
    }

    /// The same from one pixel to another.
    pub(super) fn on(self, from: f64, to: f64) -> Ruler {
        Ruler { from, to, ..self }
    }

    /// The same with its ends moved outwards to round values.
    pub(super) fn rounded(self, ticks: f64) -> Ruler {
        let (low, high) = match self.scale {
            Scale::Linear => {
                let step = step(self.high - self.low, ticks);
                ((self.low / step).floor() * step, (self.high / step).ceil() * step)
            }
            Scale::Log => (below(self.low), above(self.high)),
        };
        Ruler { low, high, ..self }
    }

    /// The pixel of a value.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// About `wanted` places with round values.
    pub(super) fn ticks(&self, wanted: f64) -> Vec<Tick> {
        let values = match self.scale {
            Scale::Linear => linear(self.low, self.high, step(self.high - self.low, wanted)),
            Scale::Log => logarithmic(self.low, self.high, wanted),
        };
        let step = match self.scale {
            Scale::Linear => step(self.high - self.low, wanted),
            Scale::Log => 0.0,
        };
        values.into_iter().map(|value| Tick { at: self.place(value), label: label(value, step) }).collect()
    }
}

/// A round distance that divides `span` into about `parts`.
fn step(span: f64, parts: f64) -> f64 {
    let raw = span / parts.max(1.0);
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw * 0.999).unwrap_or(10.0);
    factor * power
}

fn linear(low: f64, high: f64, step: f64) -> Vec<f64> {
    let mut values = Vec::new();
    let mut at = (low / step - 1e-6).ceil();
    while at <= high / step + 1e-6 && values.len() < TICKS_MAX {
        values.push(at * step);
        at += 1.0;
    }
    values
}

/// Powers of ten; with 2 and 5 of each if there is room for them, or only every so many if there is not.
fn logarithmic(low: f64, high: f64, wanted: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor(), high.log10().ceil());
    let decades = (high / low).log10();
    let factors: &[f64] = if decades * 3.0 <= wanted { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let stride = (decades / wanted.max(1.0)).ceil().max(1.0);
    let mut values = Vec::new();
    let mut exponent = (first / stride).floor() * stride;
    while exponent <= last && values.len() < TICKS_MAX {
        let all = factors.iter().map(|factor| factor * 10_f64.powf(exponent));
        values.extend(all.filter(|value| *value >= low * 0.999 && *value <= high * 1.001));
        exponent += stride;
    }
    values
}

/// The nearest 1, 2 or 5 times a power of ten that is not greater.
fn below(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0].into_iter().map(|factor| factor * power).find(|round| *round <= value * 1.001).unwrap_or(power)
}

/// The nearest 1, 2 or 5 times a power of ten that is not less.
fn above(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|round| *round >= value * 0.999)
        .unwrap_or(power * 10.0)
}

/// A value of an axis whose ticks are `step` apart: short, and the same number of decimals for all.
fn label(value: f64, step: f64) -> String {
    let size = value.abs().max(step);
    let (divisor, suffix) = match size {
        _ if value.abs() < step * 1e-6 || value == 0.0 => return "0".to_owned(),
        _ if !(1e-4..1e13).contains(&size) => return format!("{value:.0e}"),
        _ if size >= 1e10 => (1e9, "G"),
        _ if size >= 1e7 => (1e6, "M"),
        _ if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let mut unit = if step > 0.0 { step / divisor } else { value.abs() / divisor };
    let mut decimals = 0;
    // A step of 0.25 has two decimals, one of 0.2 has one.
    while decimals < 7 && (unit - unit.round()).abs() > 1e-6 * unit {
        unit *= 10.0;
        decimals += 1;
    }
    format!("{:.decimals$}{suffix}", value / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, low: f64, high: f64, wanted: f64) -> Vec<String> {
        let ruler = Ruler::new(scale, [low, high].into_iter(), false).unwrap().rounded(wanted);
        ruler.ticks(wanted).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(Scale::Linear, 0.0, 1.0, 5.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Scale::Linear, 3.0, 98.0, 5.0), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(Scale::Linear, 0.0, 23_000.0, 5.0), ["0", "5000", "10k", "15k", "20k", "25k"]);
        assert_eq!(labels(Scale::Log, 0.15, 138.0, 6.0), ["0.1", "1", "10", "100"]);
        assert_eq!(labels(Scale::Log, 1.1, 9.0, 6.0), ["1", "2", "5", "10"]);
        assert_eq!(labels(Scale::Log, 1e-6, 1e6, 4.0).len(), 5);
    }

    #[test]
    fn no_values_can_make_an_axis_fail() {
        let odd = [
            0.0,
            -1.0,
            1.0,
            1e-300,
            1e300,
            f64::NAN,
            f64::INFINITY,
            1e15,
            1e15 + 0.5,
            -7.0,
            f64::MIN_POSITIVE,
        ];
        for scale in [Scale::Linear, Scale::Log] {
            for low in odd {
                for high in odd {
                    for zero in [false, true] {
                        let Some(ruler) = Ruler::new(scale, [low, high].into_iter(), zero) else {
                            continue;
                        };
                        let ruler = ruler.rounded(5.0).on(10.0, 90.0);
                        let ticks = ruler.ticks(5.0);
                        assert!(ticks.len() <= TICKS_MAX, "{low} {high}");
                        assert!(
                            ticks.iter().all(|tick| (10.0..=90.0).contains(&tick.at)),
                            "{low} {high} {ticks:?}"
                        );
                    }
                }
            }
        }
        assert!(Ruler::new(Scale::Log, [0.0, -3.0].into_iter(), false).is_none());
    }
}
