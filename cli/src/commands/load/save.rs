//! Where results are kept: a file that is there whole, or not at all.

use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use loadtest::report::{Document, write_results};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// Where a document goes beside the terminal.
pub(super) struct Sink {
    json_only: bool,
    file: Option<(PathBuf, Place)>,
    /// The directory for everything that is made of it.
    out: Option<PathBuf>,
}

enum Place {
    /// A new file, which takes its name when it is complete.
    New(NamedTempFile),
    /// A device or a pipe.
    Open(File),
}

impl Sink {
    /// Opens what will be written, before anything is measured. `-` is stdout.
    pub(super) fn open(path: Option<&Path>, out: Option<&Path>, output: Output) -> Result<Sink, Failure> {
        let json_only = output == Output::Json || path == Some(Path::new("-"));
        let file = path.filter(|path| *path != Path::new("-")).map(|path| match place(path) {
            Ok(place) => Ok((path.to_owned(), place)),
            Err(error) => Err(unwritten(path, &error)),
        });
        Ok(Sink { json_only, file: file.transpose()?, out: out.map(Path::to_owned) })
    }

    /// Whether JSON is printed in place of tables.
    pub(super) fn json_only(&self) -> bool {
        self.json_only
    }

    /// Writes what was asked for.
    pub(super) fn write(mut self, document: &Document) -> Result<(), Failure> {
        let out = self.out.take();
        let file = self.write_file(document);
        let Some(directory) = out else { return file };
        let files =
            write_results(&directory, document).map_err(|error| Failure::new(print::chain(&error)))?;
        print::note(&format!("wrote {} files to {}", files.len(), directory.display()));
        file
    }

    fn write_file(self, document: &Document) -> Result<(), Failure> {
        let Some((path, place)) = self.file else { return Ok(()) };
        let mut text = serde_json::to_vec_pretty(document)
            .map_err(|error| Failure::new(format!("cannot encode the results as JSON: {error}")))?;
        text.push(b'\n');
        let written = match place {
            Place::New(mut file) => put(&mut file, &text, &path),
            Place::Open(mut file) => file.write_all(&text),
        };
        written.map_err(|error| unwritten(&path, &error))
    }
}

fn put(file: &mut NamedTempFile, text: &[u8], path: &Path) -> io::Result<()> {
    file.write_all(text)?;
    file.as_file().sync_all()?;
    std::fs::rename(file.path(), path)
}

fn place(path: &Path) -> io::Result<Place> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return File::options().write(true).open(path).map(Place::Open);
    }
    let directory =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // As for any new file: the umask takes its part.
    let permissions = Permissions::from_mode(0o666);
    Builder::new().prefix(".spore-load-").permissions(permissions).tempfile_in(directory).map(Place::New)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
        .hint("choose another file with --json, or `-` for standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        std::fs::write(&path, "before").unwrap();
        let Place::New(mut file) = place(&path).unwrap() else { panic!("it is a file") };
        put(&mut file, b"after", &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"after");
        drop(place(&path).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(place(&directory.path().join("none/a.json")).is_err());
    }
}
