//! Why the store gives no snapshot, or keeps none.

use super::digest::Digest;
use super::error::Refused;
use std::io;
use std::path::{Path, PathBuf};

/// Why a look-up gives no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none of this key.
    #[error("there is no snapshot of {key}: it is built from the package")]
    Absent {
        /// The key.
        key: Digest,
    },
    /// There is one that cannot be used.
    #[error("the snapshot of {key} is refused ({consequence})", consequence = Refused::CONSEQUENCE)]
    Refused {
        /// The key.
        key: Digest,
        /// Why.
        #[source]
        why: Refused,
    },
    /// The file system failed.
    #[error("{}: cannot be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a snapshot was not stored, or the store not opened. Nothing of the attempt is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("{}: no space left for the snapshot; free some space or move the data directory", .path.display())]
    Full {
        /// Where.
        path: PathBuf,
    },
    /// The directory cannot be written.
    #[error("{}: the directory is read-only or may not be written; snapshots need a writable one", .path.display())]
    ReadOnly {
        /// Where.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("{}: in use by another process; one worker at a time can use a snapshot store", .path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The file system failed in another way.
    #[error("{}: {what} failed", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What failed.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The memory could not be read.
    #[error("the parent's memory cannot be read")]
    Memory(#[source] io::Error),
    /// What is to be stored breaks the rules of the format.
    #[error("this cannot be stored as a snapshot")]
    Draft(#[source] Refused),
    /// More than the format allows.
    #[error("{what}: {found} are more than the {max} a snapshot can have")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
}

impl StoreError {
    /// Sorts what the system said at `path` while doing `what`.
    pub(crate) fn io(path: &Path, what: &'static str, source: io::Error) -> StoreError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                StoreError::ReadOnly { path }
            }
            _ => StoreError::Io { path, what, source },
        }
    }
}
