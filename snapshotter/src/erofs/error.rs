//! What can go wrong when an image is built.

use std::path::PathBuf;

/// Why a tree or an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path component is longer than [`abi::erofs::NAME_MAX`] bytes.
    #[error("{path:?}: a name is longer than {max} bytes; shorten it", max = abi::erofs::NAME_MAX)]
    NameTooLong {
        /// The path in the image.
        path: String,
    },
    /// The path as a whole is too long.
    #[error("{path:?}: the path is longer than {max} bytes; shorten it", max = super::tree::PATH_MAX)]
    PathTooLong {
        /// The first part of the path in the image.
        path: String,
    },
    /// The path has too many directories.
    #[error("{path:?}: the path is more than {max} directories deep; flatten it", max = super::tree::DEPTH_MAX)]
    TooDeep {
        /// The path in the image.
        path: String,
    },
    /// The path is empty where a name is needed, or has `..` or a NUL in it.
    #[error("{path:?}: not a path an image can hold (it is empty, or has `..` or a NUL byte in it)")]
    InvalidPath {
        /// The path in the image.
        path: String,
    },
    /// The path or a parent of it is a file where a directory is needed.
    #[error("{path:?}: this path or a parent of it is a file, not a directory")]
    NotADirectory {
        /// The path in the image.
        path: String,
    },
    /// Something else than a directory was to be put where a directory is.
    #[error("{path:?}: there already is a directory of this name")]
    IsADirectory {
        /// The path in the image.
        path: String,
    },
    /// A hard link's or a symbolic parent's target is not in the tree.
    #[error("{path:?}: refers to something that is not in the tree (yet)")]
    NotFound {
        /// The path in the image.
        path: String,
    },
    /// Symbolic links among the parents lead nowhere.
    #[error("{path:?}: too many symbolic links among the parents of this path")]
    LinkLoop {
        /// The path in the image.
        path: String,
    },
    /// A symbolic link's target is empty, too long or has a NUL in it.
    #[error("{path:?}: the target of this symbolic link is empty, longer than {max} bytes or has a NUL byte in it", max = abi::erofs::LINK_MAX)]
    InvalidTarget {
        /// The path in the image.
        path: String,
    },
    /// The tree has too many files.
    #[error("more than {max} files and directories in one image; leave some out", max = super::tree::NODES_MAX)]
    TooManyFiles,
    /// The image would not fit its memory slot.
    #[error("the image would have {bytes} bytes, more than the {max} an image can have; leave some files out", max = abi::layout::IMAGE_MAX)]
    TooLarge {
        /// What it would have.
        bytes: u64,
    },
    /// A file on the host is neither a regular file, a directory nor a symbolic link.
    #[error("{path}: neither a regular file, a directory nor a symbolic link; remove it", path = path.display())]
    SpecialFile {
        /// The path on the host.
        path: PathBuf,
    },
    /// A file on the host changed its size while the image was built.
    #[error("{path}: the file changed while the image was built; build again", path = path.display())]
    Changed {
        /// The path on the host.
        path: PathBuf,
    },
    /// A file on the host could not be read.
    #[error("{path}: cannot be read", path = path.display())]
    Host {
        /// The path on the host.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The image could not be written.
    #[error("the image cannot be written")]
    Write(#[source] std::io::Error),
}

/// Result of building a tree or an image.
pub type Result<T> = std::result::Result<T, Error>;
