//! Why a package was refused.

use super::unpack::{DEPTH_MAX, ENTRIES_MAX, NAME_MAX_BYTES, PATH_MAX_BYTES, UNPACKED_MAX_BYTES};
use std::io;
use std::path::{Path, PathBuf};

/// Why a package was refused. All but [`PackageError::Write`], [`PackageError::NoSpace`] and
/// [`PackageError::Receive`] are the package's own fault.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The bytes are no tar archive.
    #[error("the package is not an uncompressed tar archive: {0}")]
    NotATar(String),
    /// The archive ends too early.
    #[error("the package is cut short: {0}; send it again")]
    Truncated(String),
    /// The archive could not be received.
    #[error("the package could not be received: {0}")]
    Receive(io::Error),
    /// There is no file in it.
    #[error("the package has no files")]
    Empty,
    /// Too many bytes.
    #[error("the package has more than {limit} MiB unpacked; leave out what the function does not need", limit = UNPACKED_MAX_BYTES >> 20)]
    TooLarge,
    /// Too many entries.
    #[error(
        "the package has more than {ENTRIES_MAX} files and directories; leave out what the function does not need"
    )]
    TooManyEntries,
    /// A name is too long.
    #[error(
        "{path:?}: a name in the package is longer than {NAME_MAX_BYTES} bytes, or its path longer than {PATH_MAX_BYTES}"
    )]
    NameTooLong {
        /// Where.
        path: String,
    },
    /// Too many directories in each other.
    #[error("{path:?}: more than {DEPTH_MAX} directories deep")]
    TooDeep {
        /// Where.
        path: String,
    },
    /// A name that cannot be.
    #[error("{path:?}: {why}; a package holds files by relative paths that stay inside it")]
    BadPath {
        /// Where.
        path: String,
        /// Why it cannot be.
        why: &'static str,
    },
    /// A symbolic link that leads out.
    #[error(
        "{path:?}: the symbolic link to {target:?} may lead out of the package; links must be relative, with `..` only at their start, and stay inside"
    )]
    LinkOutside {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// Something that is neither file, directory nor symbolic link.
    #[error("{path:?}: {what} cannot be in a package; only files, directories and symbolic links can")]
    NotAFile {
        /// Where.
        path: String,
        /// What it is.
        what: String,
    },
    /// One path, two things.
    #[error("{path:?} is in the package twice")]
    Duplicate {
        /// Which.
        path: String,
    },
    /// A file's path goes through something that is no directory.
    #[error("{path:?}: a parent of it is a file or a symbolic link in this package, not a directory")]
    NotADirectory {
        /// Which.
        path: String,
    },
    /// The image writer refused the tree.
    #[error("the package cannot be made an image: {detail}")]
    Image {
        /// Why.
        detail: String,
    },
    /// The disk is full.
    #[error("no space left to store the package at {}; free some or use another data directory", path.display())]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// The image could not be written.
    #[error("cannot write the package image {}: {source}", path.display())]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PackageError {
    /// Whether the package is at fault, not the platform.
    pub fn is_packages_fault(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::NoSpace { .. } | Self::Receive(_))
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::NoSpace { path: path.to_owned() };
        }
        Self::Write { path: path.to_owned(), source }
    }
}
