//! One platform per data directory: an advisory lock on `DATA/lock`, released by the kernel when the process
//! ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a lock that is held is waited for. A platform that was killed leaves it to the process it was about to start,
/// which has a copy of the descriptor until its `execve`.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Held while the platform runs.
#[derive(Debug)]
pub(crate) struct DataLock {
    file: File,
}

/// Why the lock was not had.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process holds it; its id if it is known.
    Held(Option<u32>),
    Io(io::Error),
}

impl DataLock {
    /// Takes the lock in `data`, which must exist.
    pub(crate) fn take(data: &Path) -> Result<Self, LockError> {
        let path = data.join("lock");
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(LockError::Io)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&path))),
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
        }
        let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        noted.map_err(LockError::Io)?;
        Ok(Self { file })
    }
}

impl Drop for DataLock {
    /// Closing is not enough: a process that is being started holds a copy of the descriptor until its `execve`,
    /// and flock(2) keeps the lock as long as any copy is open.
    fn drop(&mut self) {
        // It cannot fail on a descriptor of our own, and closing comes after it anyway.
        let _ = self.file.unlock();
    }
}

fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataLock::take(dir.path()).unwrap();
        match DataLock::take(dir.path()) {
            Err(LockError::Held(pid)) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        DataLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataLock::take(dir.path()).unwrap();
        let _copy = lock.file.try_clone().unwrap();
        drop(lock);
        DataLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(DataLock::take(&dir.path().join("no")), Err(LockError::Io(_))));
    }
}
