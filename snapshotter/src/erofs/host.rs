//! Takes a directory of the host into a [`Tree`].

use super::error::{Error, Result};
use super::tree::{Content, Tree};
use std::fs::{self, DirEntry};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Tree {
    /// Adds everything in the host's directory `dir` below `path`. So that equal contents give equal images
    /// whoever builds them, modes become 0755 (directories and executables) or 0644.
    pub fn add_host_dir(&mut self, path: impl AsRef<[u8]>, dir: &Path) -> Result<()> {
        let path = path.as_ref();
        self.add_dir(path, 0o755)?;
        for entry in fs::read_dir(dir).map_err(|source| unreadable(dir, source))? {
            let entry = entry.map_err(|source| unreadable(dir, source))?;
            let inside = [path, b"/", entry.file_name().as_bytes()].concat();
            self.add_host_entry(&inside, &entry)?;
        }
        Ok(())
    }

    fn add_host_entry(&mut self, inside: &[u8], entry: &DirEntry) -> Result<()> {
        let host = entry.path();
        let metadata = entry.metadata().map_err(|source| unreadable(&host, source))?;
        if metadata.is_dir() {
            self.add_host_dir(inside, &host)
        } else if metadata.is_symlink() {
            let target = fs::read_link(&host).map_err(|source| unreadable(&host, source))?;
            self.add_symlink(inside, target.as_os_str().as_bytes())
        } else if metadata.is_file() {
            let mode = if metadata.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            self.add_file(inside, Content::Host { path: host, len: metadata.len() }, mode)
        } else {
            Err(Error::SpecialFile { path: host })
        }
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::Host { path: path.to_path_buf(), source }
}
