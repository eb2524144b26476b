//! Removing what nobody needs, and counting what there is.

use super::digest::Digest;
use super::disk::UNFINISHED;
use super::error::StoreError;
use super::store::Store;
use std::collections::HashSet;
use std::fs::DirEntry;
use std::path::Path;
use std::sync::PoisonError;

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Snapshots, by their manifests.
    pub snapshots: u64,
    /// Bytes of manifests and packs.
    pub bytes: u64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Counts snapshots and bytes.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let mut stats = StoreStats::default();
        for entry in entries(&self.manifests)? {
            stats.snapshots += u64::from(digest_of(&entry, ".manifest").is_some());
            stats.bytes += bytes_of(&entry);
        }
        stats.bytes += entries(&self.packs)?.iter().map(bytes_of).sum::<u64>();
        Ok(stats)
    }

    /// Removes the snapshot of `key`, if there is one. Whoever reads its pack can go on.
    pub fn remove(&self, key: Digest) -> Result<Swept, StoreError> {
        self.discard(&|found| found != key)
    }

    /// Removes all snapshots but those of `keep` and their bases.
    pub fn gc(&self, keep: &HashSet<Digest>) -> Result<Swept, StoreError> {
        let base = |key: &Digest| Some(self.read(*key).ok()?.manifest.base?.key);
        let kept: HashSet<Digest> = keep.iter().copied().chain(keep.iter().filter_map(base)).collect();
        self.discard(&|found| kept.contains(&found))
    }

    fn discard(&self, keep: &dyn Fn(Digest) -> bool) -> Result<Swept, StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let manifests = self.remove_from(&self.manifests, ".manifest", keep)?;
        let packs = self.sweep_packs()?;
        Ok(Swept { files: manifests.files + packs.files, bytes: manifests.bytes + packs.bytes })
    }

    /// Removes what a crash left behind: unfinished files, and packs without a manifest.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in [&self.manifests, &self.packs] {
            for entry in entries(directory)? {
                if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                    self.disk.remove(&entry.path())?;
                }
            }
        }
        self.sweep_packs().map(|_| ())
    }

    /// Removes packs that no readable manifest names.
    pub(super) fn sweep_packs(&self) -> Result<Swept, StoreError> {
        let manifests = entries(&self.manifests)?;
        let keys = manifests.iter().filter_map(|entry| digest_of(entry, ".manifest"));
        let named: HashSet<Digest> =
            keys.filter_map(|key| Some(self.read(key).ok()?.manifest.pack)).collect();
        self.remove_from(&self.packs, ".pack", &|pack| named.contains(&pack))
    }

    /// Removes the files of `directory` that are named by a digest which is not to be kept.
    fn remove_from(
        &self,
        directory: &Path,
        ending: &str,
        keep: &dyn Fn(Digest) -> bool,
    ) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for entry in entries(directory)? {
            if digest_of(&entry, ending).is_some_and(|digest| !keep(digest)) {
                let bytes = bytes_of(&entry);
                self.disk.remove(&entry.path())?;
                swept.files += 1;
                swept.bytes += bytes;
            }
        }
        if swept.files > 0 {
            self.disk.sync_directory(directory)?;
        }
        Ok(swept)
    }
}

fn entries(directory: &Path) -> Result<Vec<DirEntry>, StoreError> {
    let list = std::fs::read_dir(directory).and_then(Iterator::collect);
    list.map_err(|error| StoreError::io(directory, "listing it", error))
}

/// The digest a file is named by.
fn digest_of(entry: &DirEntry, ending: &str) -> Option<Digest> {
    Digest::from_hex(entry.file_name().to_str()?.strip_suffix(ending)?)
}

fn bytes_of(entry: &DirEntry) -> u64 {
    entry.metadata().map_or(0, |data| data.len())
}
