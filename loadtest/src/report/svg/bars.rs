//! Stacked bars. They lie, one under the other: so their names have room on every page.

use super::scale::{Ruler, drawable};
use super::{Frame, LETTER, Size, class, letters, x_axis};
use crate::report::html::{escape, shortened};
use crate::report::tables::number;
use crate::report::{Plot, Scale};
use std::fmt::Write;

/// Pixels from one bar to the next: its name, the bar, and a gap.
const PITCH: f64 = 46.0;
const BAR: f64 = 20.0;
/// Bars that are drawn; the table has all.
const BARS_MAX: usize = 60;

/// Height and content; none if there is nothing to draw.
pub(super) fn draw(plot: &Plot, size: Size) -> Option<(f64, String)> {
    let bars = plot.x.categories.len().min(BARS_MAX);
    let parts: Vec<Vec<f64>> = (0..bars).map(|bar| parts(plot, bar)).collect();
    let totals = parts.iter().map(|parts| parts.iter().sum::<f64>());
    let ruler = Ruler::new(Scale::Linear, totals, true)?;
    let height = PITCH * bars as f64 + 60.0;
    let frame = Frame { left: 8.0, right: size.width - 24.0, top: 6.0, bottom: height - 46.0 };
    let ruler = ruler.rounded(5.0).on(frame.left, frame.right);
    let mut out = String::new();
    x_axis(&mut out, (&frame, size.width), &ruler, &plot.y.label, 5.0);
    for (at, (name, parts)) in plot.x.categories.iter().zip(&parts).enumerate() {
        bar(&mut out, plot, &ruler, frame.top + PITCH * at as f64, (name, parts), frame.right - frame.left);
    }
    Some((height, out))
}

/// What each series adds to a bar. What cannot be stacked is nothing.
fn parts(plot: &Plot, bar: usize) -> Vec<f64> {
    let here = |(x, y): &&(f64, f64)| *x == bar as f64 && drawable(Scale::Linear, *y) && *y > 0.0;
    plot.series.iter().map(|series| series.points.iter().filter(here).map(|(_, y)| y).sum()).collect()
}

fn bar(out: &mut String, plot: &Plot, ruler: &Ruler, top: f64, (name, parts): (&str, &[f64]), room: f64) {
    let total = number(parts.iter().sum());
    let name = shortened(name, letters(room - LETTER * (total.len() + 2) as f64));
    let _ = write!(
        out,
        "<text class=\"name\" x=\"8\" y=\"{:.1}\">{}: <tspan class=\"total\">{}</tspan></text>",
        top + 14.0,
        escape(&name),
        escape(&total)
    );
    let mut sum = 0.0;
    for (at, value) in parts.iter().enumerate().filter(|(_, value)| **value > 0.0) {
        let (left, right) = (ruler.place(sum), ruler.place(sum + value));
        sum += value;
        let (class, part) = (class(at), escape(&shortened(&plot.series[at].name, 60)));
        let (y, width) = (top + 20.0, right - left);
        let _ = write!(
            out,
            "<rect class=\"bar {class}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\"><title>{part}: {}</title></rect>",
            number(*value)
        );
    }
}
