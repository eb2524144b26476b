//! A result as one HTML page: no other file, no script, nothing from elsewhere. The same document gives the same page.

#[cfg(test)]
mod browser;
mod figure;
mod measures;
mod table;
mod text;

pub(crate) use text::{escape, shortened};

use super::{Document, tables};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use text::element;

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(document: &Document) -> String {
    let title = shortened(&document.question, 300);
    let mut out = String::with_capacity(256 << 10);
    head(&mut out, &title);
    header(&mut out, document, &title);
    out.push_str("<main>\n");
    notes(&mut out, document);
    section(&mut out, "Result", |out| measures::measures(out, &document.measures));
    if !document.plots.is_empty() {
        section(&mut out, "Plots", |out| document.plots.iter().for_each(|plot| figure::figure(out, plot)));
    }
    if !document.tables.is_empty() {
        section(&mut out, "Tables", |out| {
            document.tables.iter().for_each(|one| table::table(out, one, true))
        });
    }
    section(&mut out, "How it was measured", |out| conditions(out, document));
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn head(out: &mut String, title: &str) {
    // The one style may be applied and nothing else, so that no text of a document can do anything.
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escape(title)
    );
}

fn header(out: &mut String, document: &Document, title: &str) {
    out.push_str("<header>\n");
    element(out, "p class=\"kicker\"", &format!("spore load \u{b7} {}", shortened(&document.experiment, 60)));
    element(out, "h1", title);
    let (tool, machine) = (&document.tool, &document.machine);
    let commit =
        tool.commit.as_ref().map_or_else(String::new, |commit| format!(" ({})", shortened(commit, 12)));
    let parts = [
        document.date.clone(),
        format!("spore {}{commit}", tool.version),
        format!("{} \u{d7} {}", machine.cores, machine.cpu),
        machine.kvm.clone(),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|part| !part.is_empty()).map(|part| shortened(part, 100)).collect();
    element(out, "p class=\"quiet\"", &parts.join(" \u{b7} "));
    out.push_str("</header>\n");
}

fn section(out: &mut String, title: &str, inside: impl FnOnce(&mut String)) {
    out.push_str("<section>\n");
    element(out, "h2", title);
    out.push('\n');
    inside(out);
    out.push_str("</section>\n");
}

/// What a reader must know before anything else.
fn notes(out: &mut String, document: &Document) {
    let debug = (!document.tool.optimised)
        .then_some("The program that measured is a debug build: its times mean nothing.");
    let notes: Vec<&str> = debug.into_iter().chain(document.notes.iter().map(String::as_str)).collect();
    if notes.is_empty() {
        return;
    }
    out.push_str("<section class=\"notes\">\n<h2>Know this first</h2>\n<ul>");
    notes.into_iter().for_each(|note| element(out, "li", note));
    out.push_str("</ul>\n</section>\n");
}

fn conditions(out: &mut String, document: &Document) {
    out.push_str("<h3>Repeat it</h3>\n<pre tabindex=\"0\" aria-label=\"Command\">");
    element(out, "code", &document.command);
    out.push_str("</pre>\n<h3>Machine</h3>\n");
    table::facts(out, &table::machine(&document.machine));
    if !document.settings.is_empty() {
        out.push_str("<h3>Settings</h3>\n");
        table::facts(out, &table::settings(&document.settings));
    }
    if !document.runs.is_empty() {
        out.push_str("<details><summary>Runs</summary>");
        table::table(out, &table::runs(&document.runs), false);
        table::table(out, &tables::latencies("Response times of all runs", &document.runs), true);
        out.push_str("</details>\n");
    }
}

#[cfg(test)]
mod tests;
