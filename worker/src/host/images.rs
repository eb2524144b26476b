//! Root images in memory.
//!
//! Programs see parts of the root image in place of memory of their own, their text above all. From a file on disk that is a
//! page fault for every 4 KiB; a memfd is gathered into large pages (`vmm::Image`). There is one copy for all cells. It
//! goes with the last function of the runtime.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Images by path.
#[derive(Default)]
pub(crate) struct RootImages(Mutex<HashMap<PathBuf, Weak<File>>>);

impl RootImages {
    /// The image at `path`, as [`in_memory`] has it.
    pub(crate) fn open(&self, path: &Path) -> io::Result<Arc<File>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = held.get(path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = Arc::new(in_memory(path)?);
        held.retain(|_, file| file.strong_count() > 0);
        held.insert(path.to_owned(), Arc::downgrade(&file));
        Ok(file)
    }
}

/// The image at `path`, in memory if it can be copied there.
pub(crate) fn in_memory(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    Ok(copy(&file).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "a root image is used from disk");
        file
    }))
}

fn copy(file: &File) -> io::Result<File> {
    let memory = File::from(memfd_create("root image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    let len = io::copy(&mut &*file, &mut &memory)?;
    if len != file.metadata()?.len() {
        return Err(io::Error::other("the file changes"));
    }
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn an_image_is_in_memory_once_and_as_long_as_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        let images = RootImages::default();
        let first = images.open(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &images.open(&path).unwrap()));
        assert_ne!(first.metadata().unwrap().dev(), path.metadata().unwrap().dev());
        let mut byte = [0];
        first.read_exact_at(&mut byte, 9_999).unwrap();
        assert_eq!((byte, first.metadata().unwrap().len()), ([7], 10_000));
        assert!(first.write_all_at(&[1], 0).is_err() && first.set_len(0).is_err());
        drop(first);
        std::fs::write(&path, b"new").unwrap();
        assert_eq!(images.open(&path).unwrap().metadata().unwrap().len(), 3);
        assert!(images.open(&directory.path().join("none")).is_err());
    }
}
