//! The image directory of the cache: lock, look-up, atomic publication.

use crate::image::RootImage;
use crate::image::error::{Context, ImageError};
use crate::image::index::sha256_of_file;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Metadata, TryLockError};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is kept about an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// SHA-256 of the image, hex.
    pub(crate) sha256: String,
    /// Size, time and inode of the file when the digest was taken: while they are the same, so is the digest.
    pub(crate) stamp: [i64; 4],
    /// Debian packages it was made from.
    pub(crate) packages: Vec<String>,
}

/// The place of one image, locked.
pub(crate) struct Store {
    directory: PathBuf,
    name: String,
    key: String,
    /// Released when it is closed.
    _lock: File,
}

impl Store {
    /// Locks the place of image `name` with key `key`; waits for another process that builds it.
    pub(crate) fn open(
        cache: &Path,
        name: &str,
        key: &str,
        progress: &dyn Fn(&str),
    ) -> Result<Self, ImageError> {
        let directory = cache.join("images");
        fs::create_dir_all(&directory).on("create", &directory)?;
        let path = directory.join(format!("{name}.lock"));
        let lock = File::options().create(true).truncate(false).write(true).open(&path).on("open", &path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress(&format!("{name}: another process is preparing this image; waiting for it"));
                lock.lock().on("lock", &path)?;
            }
            Err(TryLockError::Error(e)) => return Err(ImageError::io("lock", &path, e)),
        }
        Ok(Self { directory, name: name.to_owned(), key: key.to_owned(), _lock: lock })
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}-{}.{extension}", self.name, self.key))
    }

    /// The image, if it is there and whole. A damaged one is removed.
    pub(crate) fn find(&self) -> Result<Option<RootImage>, ImageError> {
        let (image, note) = (self.path("erofs"), self.path("json"));
        let (Ok(text), Ok(metadata)) = (fs::read_to_string(&note), image.metadata()) else { return Ok(None) };
        let Ok(mut record) = serde_json::from_str::<Record>(&text) else { return Ok(None) };
        if record.stamp != stamp(&metadata) {
            let digest = sha256_of_file(&image).on("read", &image)?;
            if digest != record.sha256 {
                tracing::warn!(image = %image.display(), "the image is damaged and is built again");
                fs::remove_file(&image).on("remove", &image)?;
                return Ok(None);
            }
            record.stamp = stamp(&metadata);
            self.write_record(&record)?;
        }
        Ok(Some(RootImage { path: image, sha256: record.sha256, name: self.name.clone() }))
    }

    /// An empty directory on the same disk, removed when dropped. What a killed build left is removed now.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir, ImageError> {
        let prefix = format!(".build-{}-", self.name);
        for entry in fs::read_dir(&self.directory).on("list", &self.directory)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_dir_all(entry.path()).on("remove", &entry.path())?;
            }
        }
        tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&self.directory)
            .on("create a directory in", &self.directory)
    }

    /// Puts the finished file `draft` in its place.
    pub(crate) fn publish(&self, draft: &Path, mut record: Record) -> Result<RootImage, ImageError> {
        let image = self.path("erofs");
        record.sha256 = sha256_of_file(draft).on("read", draft)?;
        fs::rename(draft, &image).on("move the image to", &image)?;
        record.stamp = stamp(&image.metadata().on("look at", &image)?);
        self.write_record(&record)?;
        Ok(RootImage { path: image, sha256: record.sha256, name: self.name.clone() })
    }

    fn write_record(&self, record: &Record) -> Result<(), ImageError> {
        let note = self.path("json");
        let text = serde_json::to_string_pretty(record).expect("a record is plain data");
        let mut draft =
            tempfile::NamedTempFile::new_in(&self.directory).on("create a file in", &self.directory)?;
        draft.write_all(text.as_bytes()).on("write", &note)?;
        draft.as_file().sync_all().on("write", &note)?;
        draft.persist(&note).map(drop).map_err(|e| ImageError::io("write", &note, e.error))
    }
}

fn stamp(metadata: &Metadata) -> [i64; 4] {
    [metadata.size().cast_signed(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino().cast_signed()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(cache: &Path, key: &str, bytes: &[u8]) -> RootImage {
        let store = Store::open(cache, "x", key, &|_| ()).unwrap();
        let scratch = store.scratch().unwrap();
        let draft = scratch.path().join("image");
        fs::write(&draft, bytes).unwrap();
        store.publish(&draft, Record::default()).unwrap()
    }

    fn find(cache: &Path, key: &str) -> Option<RootImage> {
        Store::open(cache, "x", key, &|_| ()).unwrap().find().unwrap()
    }

    #[test]
    fn an_image_is_found_by_its_key_only() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(find(cache.path(), "1"), None);
        let image = publish(cache.path(), "1", b"one");
        assert_eq!(find(cache.path(), "1"), Some(image));
        assert_eq!(find(cache.path(), "2"), None);
    }

    #[test]
    fn a_damaged_image_is_not_found_again_and_a_touched_one_is() {
        let cache = tempfile::tempdir().unwrap();
        let image = publish(cache.path(), "1", b"one");
        fs::write(&image.path, b"one").unwrap();
        assert_eq!(find(cache.path(), "1").as_ref(), Some(&image));
        fs::write(&image.path, b"two").unwrap();
        File::options()
            .write(true)
            .open(&image.path)
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(find(cache.path(), "1"), None);
        assert!(!image.path.exists());
    }

    #[test]
    fn what_a_killed_build_left_is_removed() {
        let cache = tempfile::tempdir().unwrap();
        let store = Store::open(cache.path(), "x", "1", &|_| ()).unwrap();
        let left = store.scratch().unwrap().keep();
        let _now = store.scratch().unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_second_builder_waits_for_the_first() {
        let cache = tempfile::tempdir().unwrap();
        let first = Store::open(cache.path(), "x", "1", &|_| ()).unwrap();
        let (said, heard) = std::sync::mpsc::channel::<String>();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let tell = |line: &str| said.send(line.to_owned()).unwrap();
                Store::open(cache.path(), "x", "1", &tell).unwrap().find().unwrap()
            });
            assert!(heard.recv().unwrap().contains("another process"));
            let scratch = first.scratch().unwrap();
            let draft = scratch.path().join("image");
            fs::write(&draft, b"one").unwrap();
            first.publish(&draft, Record::default()).unwrap();
            drop(first);
            assert!(second.join().unwrap().is_some());
        });
    }
}
