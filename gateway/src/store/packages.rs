//! Package images by content. A file is complete and on disk before it has its name, is verified before it is
//! used again after a start, and is removed when nothing refers to it.

use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tempfile::{NamedTempFile, TempDir};

const EXTENSION: &str = "erofs";
const STAGING_PREFIX: &str = ".staging-";

/// The package directory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Packages {
    dir: PathBuf,
    pins: Arc<Mutex<HashMap<String, usize>>>,
}

/// A package in use: it is not removed while this lives.
pub(crate) struct Pinned {
    packages: Packages,
    sha256: String,
}

/// Why a stored package cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("its package is missing from the data directory")]
    Missing,
    #[error("its package is damaged: the content does not have the digest it was stored under")]
    Damaged,
    #[error("its package cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Packages {
    /// Opens the directory, or makes it, and removes what an interrupted deploy left.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX) {
                remove(&entry.path(), entry.file_type()?.is_dir());
            }
        }
        Ok(Self { dir, pins: Arc::default() })
    }

    /// A directory on the same file system for what a deploy makes; gone when dropped.
    pub(crate) fn staging(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(STAGING_PREFIX).tempdir_in(&self.dir)
    }

    /// An empty file on the same file system for an upload; gone when dropped.
    pub(crate) fn upload(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(STAGING_PREFIX).tempfile_in(&self.dir)
    }

    /// Takes an image with this digest into the store: sync, rename, sync.
    pub(crate) fn adopt(&self, image: &Path, sha256: &str) -> io::Result<Pinned> {
        File::open(image)?.sync_all()?;
        let pinned = self.pin(sha256.to_owned());
        fs::rename(image, pinned.path())?;
        File::open(&self.dir)?.sync_all()?;
        Ok(pinned)
    }

    /// Finds a stored package and checks every byte of it.
    pub(crate) fn verified(&self, sha256: &str) -> Result<Pinned, PackageError> {
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PackageError::Missing);
        }
        let pinned = self.pin(sha256.to_owned());
        match digest(&pinned.path()) {
            Ok(found) if found == sha256 => Ok(pinned),
            Ok(_) => Err(PackageError::Damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PackageError::Missing),
            Err(error) => Err(PackageError::Io(error)),
        }
    }

    /// Removes every package that is neither in `keep` nor pinned.
    pub(crate) fn collect(&self, keep: &HashSet<String>) {
        let pins = self.pins();
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for path in entries.filter_map(|entry| entry.ok()).map(|entry| entry.path()) {
            let is_package = path.extension().is_some_and(|extension| extension == EXTENSION);
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if is_package && !keep.contains(stem) && !pins.contains_key(stem) {
                remove(&path, false);
            }
        }
    }

    fn pin(&self, sha256: String) -> Pinned {
        *self.pins().entry(sha256.clone()).or_insert(0) += 1;
        Pinned { packages: self.clone(), sha256 }
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.pins.lock().expect("no code panics while it holds the pins")
    }
}

impl Pinned {
    /// Where the image is.
    pub(crate) fn path(&self) -> PathBuf {
        self.packages.dir.join(format!("{}.{EXTENSION}", self.sha256))
    }

    /// Its digest, lower-case hex.
    #[cfg(test)]
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut pins = self.packages.pins();
        if let Some(count) = pins.get_mut(&self.sha256) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.sha256);
            }
        }
    }
}

/// A file that cannot be removed is only waste: it is logged, and tried again at the next collection.
fn remove(path: &Path, is_dir: bool) {
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "cannot remove an unused package");
    }
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> (TempDir, Packages) {
        let dir = tempfile::tempdir().unwrap();
        let packages = Packages::open(dir.path().join("packages")).unwrap();
        (dir, packages)
    }

    fn adopt(packages: &Packages, content: &[u8]) -> Pinned {
        let staging = packages.staging().unwrap();
        let image = staging.path().join("image");
        fs::write(&image, content).unwrap();
        packages.adopt(&image, &digest(&image).unwrap()).unwrap()
    }

    #[test]
    fn a_package_is_found_by_its_content() {
        let (_dir, packages) = packages();
        let pinned = adopt(&packages, b"abc");
        assert_eq!(pinned.sha256(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(fs::read(pinned.path()).unwrap(), b"abc");
        assert_eq!(packages.verified(pinned.sha256()).unwrap().path(), pinned.path());
        assert_eq!(adopt(&packages, b"abc").path(), pinned.path(), "the same content twice is one file");
    }

    #[test]
    fn a_damaged_or_missing_package_is_told_apart() {
        let (_dir, packages) = packages();
        let pinned = adopt(&packages, b"abc");
        fs::write(pinned.path(), b"abd").unwrap();
        assert!(matches!(packages.verified(pinned.sha256()), Err(PackageError::Damaged)));
        fs::remove_file(pinned.path()).unwrap();
        assert!(matches!(packages.verified(pinned.sha256()), Err(PackageError::Missing)));
        assert!(matches!(packages.verified("../../etc/passwd"), Err(PackageError::Missing)));
    }

    #[test]
    fn only_what_nothing_refers_to_is_collected() {
        let (_dir, packages) = packages();
        let (kept, pinned, unused) = (adopt(&packages, b"1"), adopt(&packages, b"2"), adopt(&packages, b"3"));
        let keep = HashSet::from([kept.sha256().to_owned()]);
        let (kept_path, unused_path) = (kept.path(), unused.path());
        drop((kept, unused));
        packages.collect(&keep);
        assert!(kept_path.exists() && pinned.path().exists());
        assert!(!unused_path.exists());
    }

    #[test]
    fn left_overs_of_an_interrupted_deploy_are_removed() {
        let (dir, packages) = packages();
        let staging = packages.staging().unwrap().keep();
        let (_, upload) = packages.upload().unwrap().keep().unwrap();
        let pinned = adopt(&packages, b"abc");
        Packages::open(dir.path().join("packages")).unwrap();
        assert!(!staging.exists() && !upload.exists());
        assert!(pinned.path().exists());
    }
}
