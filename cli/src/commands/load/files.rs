//! Results on disk.

use crate::failure::{Exit, Failure};
use loadtest::report::{Document, ReadError};
use std::io::ErrorKind;
use std::path::Path;

/// Reads a result.
pub(super) fn read(path: &Path) -> Result<Document, Failure> {
    Document::read(path).map_err(|error| {
        let exit = match &error {
            ReadError::Io(error) if error.kind() == ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failure,
        };
        Failure::new(format!("cannot use {}: {error}", path.display())).exit(exit)
    })
}
