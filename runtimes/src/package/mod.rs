//! Function packages: what a user deploys. A tar of unknown origin becomes a checked tree ([`unpack`]), the
//! tree becomes an EROFS image that is mounted at `/var/task` ([`build_package`]), and a short description of
//! it ([`PackageView`]) is all that guessing and planning need.

mod error;
mod path;
#[cfg(test)]
mod tests;
mod unpack;
mod view;

pub use error::PackageError;
pub use unpack::{
    DEPTH_MAX, ENTRIES_MAX, Entry, NAME_MAX_BYTES, PATH_MAX_BYTES, PackageTree, UNPACKED_MAX_BYTES, unpack,
};
pub use view::{FileKind, FileView, PackageView};

use sha2::{Digest, Sha256};
use snapshotter::erofs::{Error as ErofsError, Options, Tree, build};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// A package image on disk.
#[derive(Clone, Debug)]
pub struct Package {
    /// SHA-256 of the image, hex. Equal files give equal images, whatever order or owner they had in the tar.
    pub sha256: String,
    /// Number of files.
    pub files: usize,
    /// Bytes of the image.
    pub bytes: u64,
    /// What is in it.
    pub view: PackageView,
}

/// Reads a tar, checks it and writes it as an EROFS image to `out`, which is there complete or not at all.
pub fn build_package(tar: impl Read, out: &Path) -> Result<Package, PackageError> {
    let tree = unpack(tar)?;
    let view = PackageView::of(&tree);
    let files = tree.files();
    let failed = |error: ErofsError| match error {
        ErofsError::Write(source) => PackageError::write(out, source),
        other => PackageError::Image { detail: crate::chain(&other) },
    };
    let mut image = Tree::new();
    for (path, entry) in tree.into_entries() {
        match entry {
            Entry::Directory => image.add_dir(path, 0o755),
            Entry::Symlink { target } => image.add_symlink(path, target),
            Entry::File { executable, data } => {
                image.add_file(path, data, if executable { 0o755 } else { 0o644 })
            }
        }
        .map_err(failed)?;
    }
    let directory = out.parent().unwrap_or_else(|| Path::new("."));
    let draft = tempfile::NamedTempFile::new_in(directory).map_err(|e| PackageError::write(out, e))?;
    let mut writer = BufWriter::new(Hashing { inner: draft.as_file(), digest: Sha256::new() });
    let bytes = build(&image, &mut writer, &Options::default()).map_err(failed)?;
    let hashing = writer.into_inner().map_err(|e| PackageError::write(out, e.into_error()))?;
    let sha256 = crate::hex(&hashing.digest.finalize());
    draft.as_file().sync_all().map_err(|e| PackageError::write(out, e))?;
    draft.persist(out).map_err(|e| PackageError::write(out, e.error))?;
    Ok(Package { sha256, files, bytes, view })
}

/// Passes on what is written and takes its digest.
struct Hashing<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
