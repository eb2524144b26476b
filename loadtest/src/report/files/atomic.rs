//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file could not be written.
#[derive(Debug)]
pub struct WriteError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
    /// Files that were written before it, and are whole.
    pub written: Vec<PathBuf>,
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "cannot write {}: {}", self.path.display(), self.error)?;
        if let [first, others @ ..] = &self.written[..] {
            write!(formatter, "; {} is written", first.display())?;
            match others.len() {
                0 => {}
                1 => write!(formatter, " and 1 more file")?,
                count => write!(formatter, " and {count} more files")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Writes files into a directory, which is made if it is not there; ends at the first that fails.
pub(super) fn write_all(
    directory: &Path,
    files: impl Iterator<Item = (String, Vec<u8>)>,
) -> Result<Vec<PathBuf>, WriteError> {
    let mut written = Vec::new();
    let fail = |path: PathBuf, error, written| WriteError { path, error, written };
    if let Err(error) = fs::create_dir_all(directory) {
        return Err(fail(directory.to_owned(), error, written));
    }
    for (name, bytes) in files {
        let path = directory.join(name);
        if let Err(error) = write_file(&path, &bytes) {
            return Err(fail(path, error, written));
        }
        written.push(path);
    }
    Ok(written)
}

/// Puts `bytes` in the place of what `path` held, at once: under another name first, and not before the disk has them.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let done = fill(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        // What failed is what counts.
        let _ = fs::remove_file(&temporary);
    }
    done
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_leaves_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let (good, bad) = (directory.path().join("good"), directory.path().join("bad"));
        write_file(&good, b"old").unwrap();
        write_file(&good, b"new").unwrap();
        assert_eq!(fs::read(&good).unwrap(), b"new");
        fs::create_dir(&bad).unwrap();
        fs::write(bad.join("x"), "").unwrap();
        let files = [("good", "newer"), ("bad", "y"), ("never", "z")]
            .map(|(name, text)| (name.to_owned(), text.into()));
        let error = write_all(directory.path(), files.into_iter()).unwrap_err();
        assert_eq!((error.path.as_path(), &error.written[..]), (bad.as_path(), &[good.clone()][..]));
        assert!(error.to_string().ends_with("good is written"), "{error}");
        assert_eq!(
            (fs::read(&good).unwrap(), fs::read_dir(directory.path()).unwrap().count()),
            (b"newer".to_vec(), 2)
        );
    }
}
