//! File locks: fcntl(2)'s record locks, those of open file descriptions, and flock(2).
//!
//! A lock belongs to a process or to an open file description, and is gone with it. Nobody is told when one is released: who waits
//! for a lock looks again when another thread has made a system call, as who waits for files does.

mod records;
mod report;
#[cfg(test)]
mod tests;

pub use records::{LAST, Lock};

use crate::errno::{Errno, Result};
use crate::file::{Descriptor, OpenFile};
use crate::kernel::Kernel;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Most locks of all processes together; a lock that is split is two.
pub const LOCKS_MAX: usize = 2048;

/// A file: its device and inode.
pub type FileId = (u64, u64);

/// Which file `open` is.
pub fn file_id(open: &OpenFile) -> Result<FileId> {
    open.file.stat().map(|stat| (stat.st_dev, stat.st_ino))
}

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process's.
    Process(u32),
    /// An open file description's.
    Open(u64),
}

/// Which of the two families of locks, which know nothing of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// fcntl(2): ranges of bytes.
    Records,
    /// flock(2): whole files.
    Whole,
}

/// The locks of one file.
#[derive(Default)]
struct FileLocks {
    records: Vec<Lock>,
    whole: Vec<Lock>,
}

impl FileLocks {
    fn of(&self, family: Family) -> &[Lock] {
        match family {
            Family::Records => &self.records,
            Family::Whole => &self.whole,
        }
    }

    fn of_mut(&mut self, family: Family) -> &mut Vec<Lock> {
        match family {
            Family::Records => &mut self.records,
            Family::Whole => &mut self.whole,
        }
    }
}

/// A thread that waits for a lock.
struct Waiter {
    tid: u32,
    file: FileId,
    family: Family,
    lock: Lock,
}

/// All locks.
#[derive(Default)]
pub struct Locks {
    files: RefCell<BTreeMap<FileId, FileLocks>>,
    count: Cell<usize>,
    last_open: Cell<u64>,
    waiters: RefCell<Vec<Waiter>>,
}

impl Locks {
    /// Whether there are none: closing a file releases nothing.
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// The first lock of another owner that is in the way of `lock`.
    pub fn conflict(&self, file: FileId, family: Family, lock: &Lock) -> Option<Lock> {
        self.first(file, family, |other| other.conflicts(lock))
    }

    /// The first lock of the same owner that covers some of `lock`.
    pub fn own(&self, file: FileId, lock: &Lock) -> Option<Lock> {
        self.first(file, Family::Records, |other| other.owner == lock.owner && other.overlaps(lock))
    }

    fn first(&self, file: FileId, family: Family, is_meant: impl Fn(&Lock) -> bool) -> Option<Lock> {
        let files = self.files.borrow();
        files.get(&file)?.of(family).iter().find(|other| is_meant(other)).copied()
    }

    /// Takes `lock`. `EAGAIN` if another owner is in the way, `ENOLCK` if there are too many.
    pub fn take(&self, file: FileId, family: Family, lock: &Lock) -> Result<()> {
        if self.conflict(file, family, lock).is_some() {
            return Err(Errno::EAGAIN);
        }
        self.change(file, family, lock, false)
    }

    /// Takes those bytes of `lock` from its owner. `ENOLCK` if that makes two of one, and there are too many.
    pub fn release(&self, file: FileId, family: Family, lock: &Lock) -> Result<()> {
        self.change(file, family, lock, true)
    }

    fn change(&self, file: FileId, family: Family, lock: &Lock, unlocks: bool) -> Result<()> {
        let mut files = self.files.borrow_mut();
        let entry = files.entry(file).or_default();
        let list = entry.of_mut(family);
        let before = list.len();
        let result = records::set(list, lock, unlocks, LOCKS_MAX - self.count.get());
        self.count.set(self.count.get() + list.len() - before);
        if entry.records.is_empty() && entry.whole.is_empty() {
            files.remove(&file);
        }
        result
    }

    /// `owner` has nothing of `file` any more.
    pub fn forget(&self, file: FileId, owner: Owner) {
        let mut files = self.files.borrow_mut();
        let Some(entry) = files.get_mut(&file) else { return };
        let mut gone = 0;
        for list in [&mut entry.records, &mut entry.whole] {
            let before = list.len();
            list.retain(|lock| lock.owner != owner);
            gone += before - list.len();
        }
        if entry.records.is_empty() && entry.whole.is_empty() {
            files.remove(&file);
        }
        self.count.set(self.count.get() - gone);
    }

    /// The process `pid` has ended.
    pub fn forget_process(&self, pid: u32) {
        if self.is_empty() {
            return;
        }
        let files: Vec<FileId> = self.files.borrow().keys().copied().collect();
        files.into_iter().for_each(|file| self.forget(file, Owner::Process(pid)));
    }

    /// Thread `tid` waits for `lock`. `EDEADLK` if whose the lock is waits, through others or not, for what the owner of the wish has.
    /// Open file descriptions wait for nobody: which process will close one is not known.
    pub fn wait(&self, tid: u32, file: FileId, family: Family, lock: &Lock) -> Result<()> {
        if matches!(lock.owner, Owner::Process(_)) && self.closes_a_cycle(file, lock) {
            return Err(Errno::EDEADLK);
        }
        let mut waiters = self.waiters.borrow_mut();
        if waiters.iter().all(|waiter| waiter.tid != tid) {
            waiters.push(Waiter { tid, file, family, lock: *lock });
        }
        Ok(())
    }

    /// Thread `tid` does not wait any more.
    pub fn stop_waiting(&self, tid: u32) {
        self.waiters.borrow_mut().retain(|waiter| waiter.tid != tid);
    }

    fn closes_a_cycle(&self, file: FileId, lock: &Lock) -> bool {
        let waiters = self.waiters.borrow();
        let mut blocker = self.conflict(file, Family::Records, lock);
        // No way through the waiters is longer than there are waiters.
        for _ in 0..waiters.len() {
            let Some(Lock { owner, .. }) = blocker else { return false };
            let waits = |waiter: &&Waiter| waiter.family == Family::Records && waiter.lock.owner == owner;
            let Some(waiter) = waiters.iter().find(waits) else { return false };
            blocker = self.conflict(waiter.file, Family::Records, &waiter.lock);
            if blocker.is_some_and(|blocker| blocker.owner == lock.owner) {
                return true;
            }
        }
        false
    }
}

/// An open file description's right to own locks. They are gone when it is dropped.
pub struct Holder {
    locks: Rc<Locks>,
    file: FileId,
    id: u64,
}

impl Holder {
    /// The right of a description of `file` that had none.
    pub fn new(locks: &Rc<Locks>, file: FileId) -> Self {
        let id = locks.last_open.get() + 1;
        locks.last_open.set(id);
        Self { locks: locks.clone(), file, id }
    }

    /// The owner of the description's locks.
    pub fn owner(&self) -> Owner {
        Owner::Open(self.id)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.locks.forget(self.file, self.owner());
    }
}

impl Kernel {
    /// The current process has closed `descriptors`: its own locks of those files are gone, however many more descriptors of them
    /// it has.
    pub(crate) fn closed(&self, descriptors: impl IntoIterator<Item = Descriptor>) {
        for descriptor in descriptors {
            if !self.locks.is_empty()
                && let Ok(file) = file_id(&descriptor.open)
            {
                self.locks.forget(file, Owner::Process(self.pid()));
            }
        }
    }
}
