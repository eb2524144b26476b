//! Plots on the page, with legends and their data.

use super::table::table;
use super::text::{element, escape, shortened};
use crate::report::svg::{NARROW, WIDE, draw, swatch};
use crate::report::tables::number;
use crate::report::{Plot, PlotKind, Series, Table};
use std::fmt::Write;

/// Points of a series in the table; the result has all.
const ROWS_MAX: usize = 50;
/// Names in the legend.
const LEGEND_MAX: usize = 40;

/// A plot at both widths, with its legend and data.
pub(super) fn figure(out: &mut String, plot: &Plot) {
    out.push_str("<figure><figcaption>");
    element(out, "h3", &shortened(&plot.title, 300));
    out.push_str("</figcaption>\n");
    legend(out, plot);
    for size in [WIDE, NARROW] {
        out.push_str(&draw(plot, size));
    }
    let data = data(plot);
    let _ = write!(
        out,
        "<details><summary>Data<span class=\"hidden\"> of {}</span></summary>",
        escape(&shortened(&plot.title, 300))
    );
    if plot.series.iter().any(|series| series.points.len() > ROWS_MAX) {
        let text = format!("At most {ROWS_MAX} points of each series, evenly chosen; result.json has all.");
        element(out, "p class=\"quiet\"", &text);
    }
    table(out, &data, false);
    out.push_str("</details></figure>\n");
}

fn legend(out: &mut String, plot: &Plot) {
    if plot.series.is_empty() {
        return;
    }
    out.push_str("<ul class=\"legend\">");
    for (at, series) in plot.series.iter().enumerate().take(LEGEND_MAX) {
        let _ = write!(
            out,
            "<li>{}<bdi>{}</bdi></li>",
            swatch(plot.kind, at),
            escape(&shortened(&series.name, 120))
        );
    }
    if plot.series.len() > LEGEND_MAX {
        let _ = write!(out, "<li>and {} more, in the data</li>", plot.series.len() - LEGEND_MAX);
    }
    out.push_str("</ul>\n");
}

fn data(plot: &Plot) -> Table {
    let bars = plot.kind == PlotKind::StackedBars;
    let x_label = if plot.x.label.is_empty() { "bar" } else { &plot.x.label };
    let mut columns = vec!["series".to_owned(), x_label.to_owned(), plot.y.label.clone()];
    let intervals = plot.series.iter().any(|series| !series.intervals.is_empty());
    if intervals {
        columns.extend(["95 % from", "to"].map(str::to_owned));
    }
    let category = |x: f64| {
        let mut names = plot.x.categories.iter().enumerate();
        names.find(|(at, _)| *at as f64 == x).map(|(_, name)| name.clone())
    };
    let mut rows = Vec::new();
    for series in &plot.series {
        for at in chosen(series) {
            let (x, y) = series.points[at];
            let x = category(x).filter(|_| bars).unwrap_or_else(|| number(x));
            let mut row = vec![series.name.clone(), x, number(y)];
            if intervals {
                let ends = series.intervals.get(at).map_or([f64::NAN; 2], |(low, high)| [*low, *high]);
                row.extend(ends.map(number));
            }
            rows.push(row);
        }
    }
    Table { title: format!("Data of {}", plot.title), columns, rows }
}

/// Indices of points for the table: first, last, and evenly between.
fn chosen(series: &Series) -> Vec<usize> {
    let count = series.points.len();
    if count <= ROWS_MAX {
        return (0..count).collect();
    }
    (0..ROWS_MAX).map(|at| at * (count - 1) / (ROWS_MAX - 1)).collect()
}
