//! The files of a result.

mod atomic;
mod hdr;
mod measures;
mod requests;

pub use atomic::{WriteError, write_file};
pub use hdr::{hgrm, hlog};
pub use measures::csv as measures_csv;
pub use requests::RequestsCsv;

use super::{Document, html};
use hdr::histograms;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Writes `result.json`, `measures.csv`, `latencies.hlog`, a `.hgrm` for every system and start, and `report.html` into
/// `directory`, which is made if it is not there. Each file is replaced at once or stays as it was. The result comes first: if the
/// disk is full, the error names what could be written. Returns the files in this order.
pub fn write_results(directory: &Path, document: &Document) -> Result<Vec<PathBuf>, WriteError> {
    let document = document.without_not_numbers();
    let mut json = serde_json::to_vec_pretty(&document).map_err(|error| WriteError {
        path: directory.join("result.json"),
        error: error.into(),
        written: Vec::new(),
    })?;
    json.push(b'\n');
    let files = std::iter::once(("result.json".to_owned(), json)).chain(derived(&document));
    atomic::write_all(directory, files)
}

/// Writes what can be made of a result: all but `result.json`.
pub fn write_derived(directory: &Path, document: &Document) -> Result<Vec<PathBuf>, WriteError> {
    atomic::write_all(directory, derived(document))
}

fn derived(document: &Document) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let report = ("report.html".to_owned(), html::page(document).into_bytes());
    let figures = ("measures.csv".to_owned(), measures_csv(&document.measures));
    let log = ("latencies.hlog".to_owned(), hlog(document));
    let mut names = BTreeSet::new();
    let spectra = histograms(&document.runs).into_iter().map(move |(name, histogram)| {
        let mut file = file_name(&name);
        while !names.insert(file.clone()) {
            file.push('_');
        }
        (format!("{file}.hgrm"), hgrm(&histogram).into_bytes())
    });
    [report, figures, log].into_iter().chain(spectra)
}

/// A name that is safe in every file system: 80 letters, digits, dashes, dots and underscores at most, no dot in front.
fn file_name(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let text: String = name.chars().map(|c| if safe(c) { c } else { '_' }).take(80).collect();
    if text.starts_with('.') || text.is_empty() { format!("_{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::tally::Start;
    use std::fs;

    #[test]
    fn all_files_are_there_and_the_result_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("new/results");
        let files = write_results(&out, &samples::document()).unwrap();
        assert!(samples::same(&Document::read(&files[0]).unwrap(), &samples::document()));
        let mut names: Vec<String> =
            files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        let (hgrm, others): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| name.ends_with(".hgrm"));
        assert_eq!(others, ["latencies.hlog", "measures.csv", "report.html", "result.json"]);
        assert_eq!(hgrm.len(), 8);
        assert!(hgrm.contains(&"python-hello.cold.response.hgrm".to_owned()), "{hgrm:?}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), files.len());
    }

    #[test]
    fn no_name_leaves_the_directory_and_none_takes_the_place_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let mut document = samples::document();
        let systems = ["../../x", "..", "", "a/b", "a:b", "\u{202e}evil", &"n".repeat(4000)];
        document.runs = systems.map(|name| samples::run(name, 0, &[(Start::New, 5)])).to_vec();
        let files = write_results(&out, &document).unwrap();
        assert!(files.iter().all(|file| file.parent() == Some(&out)));
        assert_eq!(fs::read_dir(&out).unwrap().count(), 4 + 2 * systems.len());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
