//! `--requests FILE`: what came of each request, one by one.

use super::save::Place;
use crate::failure::{Exit, Failure};
use loadtest::engine::Outcome;
use loadtest::report::files::RequestsCsv;
use std::io;
use std::path::{Path, PathBuf};

/// Requests of a run that are kept, at most. Their records are in memory until the run is over.
pub(super) const REQUESTS_MAX: usize = 2_000_000;

/// The file, which is there when it is complete.
pub(super) struct RequestFile {
    path: PathBuf,
    /// Why it cannot be written, once it cannot.
    rows: io::Result<RequestsCsv<Place>>,
}

impl RequestFile {
    /// Opens it, before anything is measured.
    pub(super) fn open(path: &Path) -> Result<RequestFile, Failure> {
        if path == Path::new("-") {
            return Err(
                Failure::new("--requests needs a file: standard output has the results").exit(Exit::Usage)
            );
        }
        let rows = Place::open(path).and_then(RequestsCsv::new);
        let rows = rows.map_err(|error| unwritten(path, &error))?;
        Ok(RequestFile { path: path.to_owned(), rows: Ok(rows) })
    }

    /// Adds a run. An error is told at the end: it costs no other result.
    pub(super) fn add(&mut self, system: &str, repetition: u32, outcome: &Outcome) {
        if let Ok(rows) = &mut self.rows
            && let Err(error) = rows.add(system, repetition, outcome)
        {
            self.rows = Err(error);
        }
    }

    /// All runs are in it.
    pub(super) fn keep(self) -> Result<(), Failure> {
        let kept = self.rows.and_then(RequestsCsv::finish).and_then(|place| place.keep(&self.path));
        kept.map_err(|error| unwritten(&self.path, &error))
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
        .hint("choose another file with --requests")
}
