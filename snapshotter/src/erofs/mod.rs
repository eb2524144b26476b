//! Writes EROFS images: the root file system of a runtime and the package of a function.
//!
//! Images are uncompressed with 4 KiB blocks; every file is one run of whole pages, so a guest can map it
//! without a copy. Equal trees give equal images: entries are sorted, owners are 0, times are one constant.
//!
//! ```
//! use snapshotter::erofs::{Options, Tree, build};
//!
//! let mut tree = Tree::new();
//! tree.add_file("app.py", &b"def handler(event, context): ..."[..], 0o644)?;
//! let mut image = Vec::new();
//! build(&tree, &mut image, &Options::default())?;
//! assert_eq!(image.len() % 4096, 0);
//! # Ok::<(), snapshotter::erofs::Error>(())
//! ```

mod directory;
mod error;
mod host;
mod layout;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use error::{Error, Result};
pub use tree::{Content, DEPTH_MAX, NODES_MAX, PATH_MAX, Tree};
pub use write::build;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// What is the same for every file of an image.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Modification time of everything, in seconds since 1970-01-01T00:00:00Z.
    pub mtime: u64,
}

impl Default for Options {
    /// 1980-01-01, the first day that a zip archive (and so Python's `zipfile`) can express.
    fn default() -> Self {
        Self { mtime: 315_532_800 }
    }
}

/// Writes an image of the host's directory `dir` to the file `out` and returns its size in bytes.
pub fn build_from_dir(dir: &Path, out: &Path, options: &Options) -> Result<u64> {
    let mut tree = Tree::new();
    tree.add_host_dir("", dir)?;
    let mut writer = BufWriter::new(File::create(out).map_err(Error::Write)?);
    build(&tree, &mut writer, options)
}
