//! The lock of a store: an advisory lock on a file, released by the kernel when the process ends, however it ends.

use super::failure::StoreError;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a lock that is held is waited for. A process that was killed leaves it to the one it was about to start, which
/// has a copy of the descriptor until its `execve`.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Held while the store is open.
pub(super) struct Lock {
    file: OwnedFd,
}

impl Lock {
    /// Takes the lock. The file is opened for reading only, so that a store on read-only storage can still be read.
    pub(super) fn take(path: &Path) -> Result<Lock, StoreError> {
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| StoreError::io(path, "opening the lock", error.into()))?;
        let begun = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { file }),
                Err(Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(StoreError::InUse { path: path.to_owned() }),
                Err(error) => return Err(StoreError::io(path, "locking it", error.into())),
            }
        }
    }
}

impl Drop for Lock {
    /// Closing is not enough: a process that is being started holds a copy of the descriptor until its `execve`,
    /// and flock(2) keeps the lock as long as any copy is open.
    fn drop(&mut self) {
        // It cannot fail on a descriptor of our own, and closing comes after it anyway.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        let _copy = lock.file.try_clone().unwrap();
        assert!(matches!(Lock::take(&path), Err(StoreError::InUse { .. })));
        drop(lock);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn one_that_is_released_soon_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            tell.send(()).unwrap();
            Lock::take(&path).map(drop)
        });
        told.recv().unwrap();
        drop(lock);
        waiting.join().unwrap().unwrap();
    }
}
