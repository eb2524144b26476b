//! Writing files so that a crash at any moment leaves the old state or the new one.

use super::error::StoreError;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How names of unfinished files begin.
pub(super) const UNFINISHED: &str = ".new-";

/// One step of writing, announced before it is taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Create(&'a Path),
    Write(&'a Path),
    Sync(&'a Path),
    Rename { from: &'a Path, to: &'a Path },
    SyncDirectory(&'a Path),
    Remove(&'a Path),
}

/// Is asked before every step. Tests let it fail, or end the process there.
pub(super) type Gate = dyn Fn(Step<'_>) -> io::Result<()> + Send + Sync;

/// The file system, step by step.
pub(super) struct Disk {
    gate: Box<Gate>,
    counter: AtomicU64,
}

impl Disk {
    pub(super) fn new(gate: Box<Gate>) -> Disk {
        Disk { gate, counter: AtomicU64::new(0) }
    }

    fn step<T>(
        &self,
        step: Step<'_>,
        path: &Path,
        what: &'static str,
        act: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StoreError> {
        (self.gate)(step).and_then(|()| act()).map_err(|source| StoreError::io(path, what, source))
    }

    /// Makes an unfinished file in `directory`.
    pub(super) fn create(&self, directory: &Path) -> Result<Unfinished<'_>, StoreError> {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let file = self.step(Step::Create(&path), &path, "creating it", || {
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)
        })?;
        Ok(Unfinished { disk: self, file, path, renamed: false })
    }

    /// Makes all renames and removals in `directory` durable.
    pub(super) fn sync_directory(&self, directory: &Path) -> Result<(), StoreError> {
        self.step(Step::SyncDirectory(directory), directory, "syncing the directory", || {
            File::open(directory)?.sync_all()
        })
    }

    /// Removes a file; one that is not there is removed already.
    pub(super) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.step(Step::Remove(path), path, "removing it", || match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }
}

/// A file nobody sees yet. Dropped before it is finished, it is removed.
pub(super) struct Unfinished<'a> {
    disk: &'a Disk,
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Unfinished<'_> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = &mut self.file;
        self.disk.step(Step::Write(&self.path), &self.path, "writing it", || file.write_all(bytes))
    }

    /// Puts the file, whole and durable, under its name.
    pub(super) fn finish(mut self, to: &Path) -> Result<(), StoreError> {
        let (disk, from) = (self.disk, self.path.clone());
        disk.step(Step::Sync(&from), &from, "syncing it", || self.file.sync_all())?;
        disk.step(Step::Rename { from: &from, to }, to, "renaming it", || std::fs::rename(&from, to))?;
        self.renamed = true;
        to.parent().map_or(Ok(()), |directory| disk.sync_directory(directory))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed when the store is opened next.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
