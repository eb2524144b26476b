//! Why a root image could not be prepared.

use std::io;
use std::path::{Path, PathBuf};

/// Why a root image could not be prepared; each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such runtime.
    #[error("there is no runtime `{name}`; the runtimes are: {known}")]
    UnknownRuntime {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A recipe in this program is wrong.
    #[error("a built-in image recipe is invalid: {0}")]
    Recipe(String),
    /// A program that Debian always has is missing.
    #[error(
        "`{tool}` is not on this machine; runtimes are built from Debian's packages and need it: {remedy}"
    )]
    NoTool {
        /// The program.
        tool: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A system call on a file failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left for {}; a runtime image needs about 300 MB while it is built: free some, or set SPORE_CACHE to a directory on a larger disk", path.display())]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// The network did not work.
    #[error(
        "cannot reach Debian's package server: {detail}. Check the network and the apt proxy settings \
         (http_proxy, /etc/apt/apt.conf.d); what was already fetched is kept"
    )]
    Network {
        /// apt's words.
        detail: String,
    },
    /// A program of this machine is not complete.
    #[error("{} does not find its libraries on this machine: {detail}", path.display())]
    Libraries {
        /// The program.
        path: PathBuf,
        /// Its loader's words.
        detail: String,
    },
    /// A package is unknown to apt.
    #[error(
        "apt knows no installable version of: {packages}. The sources of this machine (/etc/apt/sources.list, \
         /etc/apt/sources.list.d) must offer Debian {suite} main: {detail}"
    )]
    NoPackage {
        /// Packages that were asked for.
        packages: String,
        /// The Debian release.
        suite: String,
        /// apt's words.
        detail: String,
    },
    /// apt failed in another way.
    #[error("apt-get {action} failed: {detail}")]
    Apt {
        /// The apt-get command.
        action: &'static str,
        /// Its words.
        detail: String,
    },
    /// pip failed.
    #[error(
        "pip could not fetch {wheel}: {detail}. Check the network and pip's configuration; what was already fetched is kept"
    )]
    Pip {
        /// The file that was wanted.
        wheel: String,
        /// pip's words.
        detail: String,
    },
    /// A package is not what its index says, or cannot be unpacked.
    #[error(
        "the package file {file} is damaged ({detail}); it was removed and will be fetched again next time: try once more"
    )]
    Damaged {
        /// File name.
        file: String,
        /// How.
        detail: String,
    },
    /// What came out is not the image the recipe describes.
    #[error("the unpacked packages do not make a usable image: {0}")]
    Layout(String),
    /// The image's interpreter could not compile its library.
    #[error("the Python interpreter of the image cannot compile its standard library: {0}")]
    Precompile(String),
    /// The image writer failed.
    #[error("cannot write the image {}: {detail}", path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// Why.
        detail: String,
    },
}

impl ImageError {
    /// Sorts an I/O error: a full disk has its own remedy.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::NoSpace { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// Adds what was tried, and on what, to an I/O error.
pub(crate) trait Context<T> {
    /// Names the action and the path.
    fn on(self, action: &'static str, path: &Path) -> Result<T, ImageError>;
}

impl<T> Context<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, ImageError> {
        self.map_err(|e| ImageError::io(action, path, e))
    }
}
