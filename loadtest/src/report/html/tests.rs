//! The page as text. What a browser makes of it is checked in `browser.rs`.

use super::*;
use crate::report::{PlotKind, samples};

#[test]
fn a_document_has_one_page() {
    let page = page(&samples::document());
    assert_eq!(page, super::page(&samples::document()));
    assert!(page.contains("<h1>How long does a call take, by how its VM came to be?</h1>"));
    for word in ["<script", "http://", "https://", "url(", "@import", " style=", " onload"] {
        assert!(!page.contains(word), "{word}");
    }
    let plots = samples::document().plots.len();
    assert_eq!(page.matches("role=\"img\" aria-label=\"Plot: ").count(), 2 * plots);
    assert_eq!(page.matches("<summary>Data").count(), plots);
}

#[test]
fn nothing_in_a_document_becomes_markup() {
    let mut document = samples::hostile();
    let tags = |page: &str| page.matches('<').count();
    for name in ["</style></title></script><script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>"] {
        samples::rename(&mut document, name);
        let page = page(&document);
        assert!(!page.contains("<script") && !page.contains("<img"), "{name}");
        samples::rename(&mut document, &"x".repeat(name.len()));
        assert_eq!(tags(&page), tags(&super::page(&document)), "{name}");
    }
}

#[test]
fn a_document_without_anything_has_a_page() {
    let mut document = samples::document();
    (document.measures, document.tables, document.plots) = (Vec::new(), Vec::new(), Vec::new());
    (document.notes, document.runs) = (Vec::new(), Vec::new());
    samples::rename(&mut document, "");
    assert!(page(&document).contains("This result has no measures."));
    let mut document = samples::document();
    for kind in [PlotKind::Lines, PlotKind::Steps, PlotKind::Points, PlotKind::StackedBars] {
        for plot in &mut document.plots {
            plot.kind = kind;
            plot.series.iter_mut().for_each(|series| series.points.clear());
        }
        assert_eq!(page(&document).matches("No data").count(), 2 * document.plots.len());
    }
}
