//! Lines, steps and points.

use super::scale::{Ruler, drawable};
use super::{Frame, LETTER, Size, class, width_of, x_axis, y_axis};
use crate::report::html::{escape, shortened};
use crate::report::tables::number;
use crate::report::{Plot, PlotKind, Series};
use std::fmt::Write;

/// Lines with more points have no dots, and intervals as a band.
const DOTS_MAX: usize = 40;
const Y_TICKS: f64 = 5.0;

/// A point that can be drawn: its values, its pixels, and the pixels of its interval's ends.
struct Place {
    value: (f64, f64),
    x: f64,
    y: f64,
    interval: Option<(f64, f64)>,
}

/// Height and content; none if there is nothing to draw.
pub(super) fn draw<'a>(plot: &'a Plot, size: Size) -> Option<(f64, String)> {
    let drawn = |series: &Series, at: usize| {
        let (x, y) = series.points[at];
        drawable(plot.x.scale, x) && drawable(plot.y.scale, y)
    };
    let drawn_of = |series: &'a Series| {
        (0..series.points.len()).filter(move |at| drawn(series, *at)).map(move |at| (series, at))
    };
    let points = || plot.series.iter().flat_map(drawn_of);
    let ys = points().flat_map(|(series, at)| {
        let interval = series.intervals.get(at).map_or([f64::NAN; 2], |(low, high)| [*low, *high]);
        [series.points[at].1, interval[0], interval[1]]
    });
    let y = Ruler::new(plot.y.scale, ys, true)?.rounded(Y_TICKS);
    let left = width_of(&y.ticks(Y_TICKS)) + 10.0;
    let frame = Frame { left, right: size.width - 14.0, top: 26.0, bottom: size.height - 46.0 };
    let y = y.on(frame.bottom, frame.top);
    let x = Ruler::new(plot.x.scale, points().map(|(series, at)| series.points[at].0), false)?
        .on(frame.left, frame.right);
    let mut out = String::new();
    y_axis(&mut out, &frame, &y.ticks(Y_TICKS), &plot.y.label);
    x_axis(&mut out, (&frame, size.width), &x, &plot.x.label, (frame.right - frame.left) / (LETTER * 9.0));
    for (number, series) in plot.series.iter().enumerate() {
        let places: Vec<Place> = (0..series.points.len())
            .filter(|at| drawn(series, *at))
            .map(|at| {
                let interval = series
                    .intervals
                    .get(at)
                    .filter(|(low, high)| drawable(plot.y.scale, *low) && drawable(plot.y.scale, *high));
                let value = series.points[at];
                let interval = interval.map(|(low, high)| (y.place(*low), y.place(*high)));
                Place { value, x: x.place(value.0), y: y.place(value.1), interval }
            })
            .collect();
        draw_series(&mut out, plot.kind, number, &series.name, &places);
    }
    Some((size.height, out))
}

fn draw_series(out: &mut String, kind: PlotKind, at: usize, name: &str, places: &[Place]) {
    let class = class(at);
    let few = places.len() <= DOTS_MAX;
    intervals(out, &class, places, few);
    if kind != PlotKind::Points {
        let _ = write!(out, "<path class=\"line {class}\" d=\"{}\"/>", path(kind, places));
    }
    if kind == PlotKind::Points || (kind == PlotKind::Lines && few) || places.len() == 1 {
        let name = escape(&shortened(name, 60));
        for place in places {
            let (x, y) = (number(place.value.0), number(place.value.1));
            let _ = write!(
                out,
                "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\"><title>{name}: {x}, {y}</title></circle>",
                place.x, place.y
            );
        }
    }
}

fn path(kind: PlotKind, places: &[Place]) -> String {
    let mut path = String::new();
    for (at, Place { x, y, .. }) in places.iter().enumerate() {
        let _ = match (at, kind) {
            (0, _) => write!(path, "M{x:.1} {y:.1}"),
            (_, PlotKind::Steps) => write!(path, "H{x:.1}V{y:.1}"),
            _ => write!(path, "L{x:.1} {y:.1}"),
        };
    }
    path
}

/// Whiskers of few points, a band of many.
fn intervals(out: &mut String, class: &str, places: &[Place], few: bool) {
    let known: Vec<(f64, f64, f64)> =
        places.iter().filter_map(|place| place.interval.map(|(low, high)| (place.x, low, high))).collect();
    if known.is_empty() {
        return;
    }
    if few {
        for (x, low, high) in known {
            let (left, right) = (x - 4.0, x + 4.0);
            let _ = write!(
                out,
                "<path class=\"whisker {class}\" d=\"M{x:.1} {low:.1}V{high:.1}M{left:.1} {low:.1}H{right:.1}M{left:.1} {high:.1}H{right:.1}\"/>"
            );
        }
        return;
    }
    let mut path = String::new();
    let back = known.iter().rev().map(|(x, low, _)| (x, low));
    for (at, (x, y)) in known.iter().map(|(x, _, high)| (x, high)).chain(back).enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
    }
    let _ = write!(out, "<path class=\"band {class}\" d=\"{path}Z\"/>");
}
