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

/// Where the bytes of a file go until it is complete.
pub(super) enum Place {
    /// A new file, which takes its name when it is complete.
    New(NamedTempFile),
    /// A device or a pipe.
    Open(File),
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Place::New(file) => file.write(bytes),
            Place::Open(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Place::New(file) => file.flush(),
            Place::Open(file) => file.flush(),
        }
    }
}

impl Place {
    /// Opens the place of a file, in its directory; what was there before stays until [`Place::keep`].
    pub(super) fn open(path: &Path) -> io::Result<Place> {
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return File::options().write(true).open(path).map(Place::Open);
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        temporary(parent.unwrap_or_else(|| Path::new("."))).map(Place::New)
    }

    /// The file is complete: puts it in the place of what `path` held, once the disk has it.
    pub(super) fn keep(self, path: &Path) -> io::Result<()> {
        match self {
            Place::New(file) => file.as_file().sync_all().and_then(|()| std::fs::rename(file.path(), path)),
            Place::Open(_) => Ok(()),
        }
    }
}

impl Sink {
    /// Opens what will be written, before anything is measured: what cannot be written must not cost a result. `-` is stdout.
    pub(super) fn open(path: Option<&Path>, out: Option<&Path>, output: Output) -> Result<Sink, Failure> {
        let json_only = output == Output::Json || path == Some(Path::new("-"));
        let file = path.filter(|path| *path != Path::new("-")).map(|path| match Place::open(path) {
            Ok(place) => Ok((path.to_owned(), place)),
            Err(error) => Err(unwritten(path, &error)),
        });
        let file = file.transpose()?;
        out.map_or(Ok(()), try_directory)?;
        Ok(Sink { json_only, file, out: out.map(Path::to_owned) })
    }

    /// Whether JSON is printed in place of tables.
    pub(super) fn json_only(&self) -> bool {
        self.json_only
    }

    /// Writes what was asked for; what cannot be written does not keep the rest from it.
    pub(super) fn write(mut self, document: &Document) -> Result<(), Failure> {
        let out = self.out.take();
        let file = self.write_file(document);
        match (file, out.map_or(Ok(()), |directory| write_all(&directory, document))) {
            (Err(one), Err(other)) => {
                Err(Failure { message: format!("{}; {}", one.message, other.message), ..one })
            }
            (file, files) => file.and(files),
        }
    }

    fn write_file(self, document: &Document) -> Result<(), Failure> {
        let Some((path, mut place)) = self.file else { return Ok(()) };
        let mut text = serde_json::to_vec_pretty(document)
            .map_err(|error| Failure::new(format!("cannot encode the results as JSON: {error}")))?;
        text.push(b'\n');
        let written = place.write_all(&text).and_then(|()| place.keep(&path));
        written.map_err(|error| unwritten(&path, &error))
    }
}

/// Writes all files of a result.
fn write_all(directory: &Path, document: &Document) -> Result<(), Failure> {
    let files = write_results(directory, document).map_err(|error| Failure::new(print::chain(&error)))?;
    print::note(&format!("wrote {} files to {}", files.len(), directory.display()));
    Ok(())
}

/// Makes a directory if it is not there, and sees whether files can be made in it.
fn try_directory(directory: &Path) -> Result<(), Failure> {
    let tried = std::fs::create_dir_all(directory).and_then(|()| temporary(directory));
    tried.map(drop).map_err(|error| {
        Failure::new(format!("cannot write to {}: {error}", directory.display()))
            .hint("choose another directory with --out")
    })
}

/// A file that goes away unless it gets a name.
fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    // As for any new file: the umask takes its part.
    let permissions = Permissions::from_mode(0o666);
    Builder::new().prefix(".spore-load-").permissions(permissions).tempfile_in(directory)
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
        let mut place = Place::open(&path).unwrap();
        place.write_all(b"after").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        place.keep(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"after");
        drop(Place::open(&path).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(Place::open(&directory.path().join("none/a.json")).is_err());
    }

    #[test]
    fn a_directory_is_made_and_tried_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (new, taken) = (directory.path().join("a/b"), directory.path().join("taken"));
        std::fs::write(&taken, "").unwrap();
        assert!(Sink::open(None, Some(&new), Output::Table).is_ok());
        assert_eq!(std::fs::read_dir(&new).unwrap().count(), 0, "nothing is left behind");
        let error = Sink::open(None, Some(&taken), Output::Table).err().unwrap();
        assert!(error.message.starts_with("cannot write to "), "{}", error.message);
    }
}
