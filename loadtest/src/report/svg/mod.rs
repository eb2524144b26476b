//! Plots as SVG, drawn for a width of the page. Colours come from the page's style: classes `s0` to `s7`.

mod bars;
mod lines;
mod scale;

use super::html::{escape, shortened};
use super::{Plot, PlotKind};
use scale::{Ruler, Tick};
use std::fmt::Write;

/// Colours; series beyond them begin anew, with dashes.
pub(super) const COLOURS: usize = 8;
/// Width of a letter, in pixels, with some to spare.
const LETTER: f64 = 8.4;

/// How large a plot is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) class: &'static str,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// For pages with room.
pub(super) const WIDE: Size = Size { class: "wide", width: 900.0, height: 400.0 };
/// For telephones.
pub(super) const NARROW: Size = Size { class: "narrow", width: 340.0, height: 300.0 };

/// The area that values are drawn in.
#[derive(Clone, Copy, Debug)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// Draws a plot.
pub(super) fn draw(plot: &Plot, size: Size) -> String {
    let drawn = match plot.kind {
        PlotKind::StackedBars => bars::draw(plot, size),
        PlotKind::Lines | PlotKind::Steps | PlotKind::Points => lines::draw(plot, size),
    };
    let (height, inside) = drawn.unwrap_or_else(|| (60.0, empty(size)));
    let names: Vec<String> = plot.series.iter().map(|series| shortened(&series.name, 60)).collect();
    let label = format!(
        "Plot: {}. {} by {}. Series: {}. The data is in the table below.",
        shortened(&plot.title, 200),
        shortened(&plot.y.label, 100),
        shortened(&plot.x.label, 100),
        shortened(&names.join(", "), 400)
    );
    let (class, width) = (size.class, size.width);
    format!(
        "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {height:.0}\" role=\"img\" aria-label=\"{}\">{inside}</svg>\n",
        escape(&label)
    )
}

fn empty(size: Size) -> String {
    format!("<text class=\"quiet\" x=\"{}\" y=\"34\" text-anchor=\"middle\">No data</text>", size.width / 2.0)
}

/// Class of a series: its colour, and dashes from the second round of colours on.
pub(super) fn class(series: usize) -> String {
    let dashes = match (series / COLOURS) % 3 {
        0 => "",
        1 => " dashed",
        _ => " dotted",
    };
    format!("s{}{dashes}", series % COLOURS)
}

/// The line or square that stands before a series' name in the legend.
pub(super) fn swatch(kind: PlotKind, series: usize) -> String {
    let class = class(series);
    let mark = match kind {
        PlotKind::StackedBars => {
            format!("<rect class=\"bar {class}\" x=\"5\" width=\"14\" height=\"12\" rx=\"2\"/>")
        }
        PlotKind::Points => format!("<circle class=\"dot {class}\" cx=\"12\" cy=\"6\" r=\"4\"/>"),
        _ => format!("<path class=\"line {class}\" d=\"M0 6H24\"/>"),
    };
    format!(
        "<svg class=\"swatch\" width=\"24\" height=\"12\" viewBox=\"0 0 24 12\" aria-hidden=\"true\">{mark}</svg>"
    )
}

/// Pixels that the widest of these labels takes.
fn width_of(ticks: &[Tick]) -> f64 {
    ticks.iter().map(|tick| tick.label.chars().count() as f64 * LETTER).fold(0.0, f64::max)
}

/// Vertical lines with their values under the frame, and the axis' label. Values that would touch their neighbours are left out.
fn x_axis(out: &mut String, (frame, width): (&Frame, f64), ruler: &Ruler, label: &str, ticks: f64) {
    let mut free = 0.0;
    for tick in ruler.ticks(ticks) {
        let half = tick.label.chars().count() as f64 * LETTER / 2.0;
        let Frame { top, bottom, .. } = frame;
        let _ = write!(out, "<path class=\"grid\" d=\"M{:.1} {top:.1}V{bottom:.1}\"/>", tick.at);
        // The last one stays within the plot.
        let x = tick.at.min(width - half);
        if x - half >= free {
            let y = bottom + 17.0;
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
                escape(&tick.label)
            );
            free = x + half + LETTER;
        }
    }
    let (x, y) = ((frame.left + frame.right) / 2.0, frame.bottom + 38.0);
    let room = shortened(label, letters(frame.right - frame.left));
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
        escape(&room)
    );
}

/// Horizontal lines with their values to the left of the frame, and the axis' label above it.
fn y_axis(out: &mut String, frame: &Frame, ticks: &[Tick], label: &str) {
    for tick in ticks {
        let Frame { left, right, .. } = frame;
        let _ = write!(out, "<path class=\"grid\" d=\"M{left:.1} {:.1}H{right:.1}\"/>", tick.at);
        let (x, y) = (left - 7.0, tick.at + 4.0);
        let _ = write!(
            out,
            "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
            escape(&tick.label)
        );
    }
    let room = shortened(label, letters(frame.right));
    let _ = write!(out, "<text class=\"label\" x=\"0\" y=\"13\">{}</text>", escape(&room));
}

/// Letters that fit.
fn letters(pixels: f64) -> usize {
    let mut count = 1;
    // An ellipsis is wider than a letter.
    while (count + 2) as f64 * LETTER <= pixels {
        count += 1;
    }
    count
}
