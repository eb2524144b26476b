//! What it comes down to: the measures, with every repetition and the interval drawn beside them.

use super::text::{element, escape, shortened};
use crate::report::tables::number;
use crate::report::{Better, Measure};
use crate::significance::{Interval, interval};
use std::fmt::Write;

/// Measures that stand out in large digits.
const CARDS: usize = 4;

/// The first measures as cards, all of them as a table.
pub(super) fn measures(out: &mut String, measures: &[Measure]) {
    if measures.is_empty() {
        element(out, "p class=\"quiet\"", "This result has no measures.");
        return;
    }
    let known: Vec<(&Measure, Option<Interval>)> =
        measures.iter().map(|measure| (measure, interval(&measure.values))).collect();
    out.push_str("<ul class=\"cards\">");
    for (measure, interval) in known.iter().take(CARDS) {
        card(out, measure, interval.as_ref());
    }
    out.push_str("</ul>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Measures\"><table><thead><tr>");
    for (head, class) in HEADS {
        element(out, &format!("th scope=\"col\"{class}"), head);
    }
    out.push_str("</tr></thead><tbody>");
    for (measure, interval) in &known {
        row(out, measure, interval.as_ref());
    }
    out.push_str("</tbody></table></div>\n");
    element(
        out,
        "p class=\"quiet\"",
        "Intervals hold the mean with 95 % confidence (Student's, over repetitions). Dots are repetitions.",
    );
}

const NUMBER: &str = " class=\"number\"";
const HEADS: [(&str, &str); 7] = [
    ("measure", ""),
    ("mean", NUMBER),
    ("95 % interval", NUMBER),
    ("unit", ""),
    ("better", ""),
    ("n", NUMBER),
    ("repetitions", ""),
];

fn card(out: &mut String, measure: &Measure, interval: Option<&Interval>) {
    out.push_str("<li>");
    element(out, "span class=\"what\"", &shortened(&measure.name, 120));
    let mean = interval.map_or_else(|| "-".to_owned(), |of| number(of.mean));
    let _ = write!(
        out,
        "<span class=\"value\">{} <small>{}</small></span>",
        escape(&mean),
        escape(&shortened(&measure.unit, 20))
    );
    element(out, "span class=\"range\"", &range(interval, measure.values.len()));
    out.push_str("</li>");
}

/// What a single repetition has no interval to tell.
fn range(interval: Option<&Interval>, repetitions: usize) -> String {
    let known = interval.filter(|_| repetitions > 1);
    known.map_or_else(|| "-".to_owned(), |of| format!("{} \u{2013} {}", number(of.low), number(of.high)))
}

fn row(out: &mut String, measure: &Measure, interval: Option<&Interval>) {
    let better = match measure.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
    };
    out.push_str("<tr>");
    element(out, "th scope=\"row\"", &measure.name);
    element(out, "td class=\"number\"", &interval.map_or_else(|| "-".to_owned(), |of| number(of.mean)));
    element(out, "td class=\"number\"", &range(interval, measure.values.len()));
    element(out, "td", &measure.unit);
    element(out, "td", better);
    element(out, "td class=\"number\"", &measure.values.len().to_string());
    let _ = write!(out, "<td>{}</td></tr>", strip(&measure.values, interval));
}

/// Repetitions as dots on a line, and the interval as a bar.
fn strip(values: &[f64], interval: Option<&Interval>) -> String {
    let Some(interval) = interval else { return String::new() };
    let low = values.iter().copied().fold(interval.low, f64::min);
    let high = values.iter().copied().fold(interval.high, f64::max);
    let span = high - low;
    let place =
        |value: f64| if span > 0.0 && span.is_finite() { 6.0 + 108.0 * (value - low) / span } else { 60.0 };
    let mut dots = String::new();
    for value in values {
        let _ = write!(dots, "<circle class=\"dot s0\" cx=\"{:.1}\" cy=\"9\" r=\"2.6\"/>", place(*value));
    }
    let (from, to) = (place(interval.low), place(interval.high));
    format!(
        "<svg class=\"strip\" width=\"120\" height=\"18\" viewBox=\"0 0 120 18\" aria-hidden=\"true\"><path class=\"grid\" d=\"M0 9H120\"/><path class=\"interval s0\" d=\"M{from:.1} 9H{to:.1}\"/>{dots}</svg>"
    )
}
