//! `/proc/locks`.

use super::{Family, FileId, LAST, Lock, Locks, Owner, Waiter};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

impl Locks {
    /// All locks, and who waits for them, as Linux tells it.
    pub fn report(&self) -> String {
        let mut text = String::new();
        let (files, waiters) = (self.files.borrow(), self.waiters.borrow());
        // Each waits for one lock: the first in its way.
        let blocker = |waiter: &Waiter| self.conflict(waiter.file, waiter.family, &waiter.lock);
        let blocked: Vec<_> = waiters.iter().filter_map(|waiter| Some((waiter, blocker(waiter)?))).collect();
        let all = files.iter().flat_map(|(file, locks)| {
            [Family::Whole, Family::Records].map(|family| (*file, family, locks.of(family)))
        });
        let held = all.flat_map(|(file, family, list)| list.iter().map(move |lock| (file, family, lock)));
        for ((file, family, lock), number) in held.zip(1u32..) {
            let _ = writeln!(text, "{number}: {}", line(file, family, lock));
            for (waiter, blocker) in &blocked {
                if (waiter.file, waiter.family) == (file, family) && blocker == lock {
                    let _ = writeln!(text, "{number}: -> {}", line(file, family, &waiter.lock));
                }
            }
        }
        text
    }
}

pub(super) fn line((dev, inode): FileId, family: Family, lock: &Lock) -> String {
    let (name, pid) = match (family, lock.owner) {
        (Family::Whole, _) => ("FLOCK ", i64::from(lock.pid)),
        (Family::Records, Owner::Process(_)) => ("POSIX ", i64::from(lock.pid)),
        (Family::Records, Owner::Open(_)) => ("OFDLCK", -1),
    };
    let kind = if lock.exclusive { "WRITE" } else { "READ" };
    let end = if lock.last == LAST { String::from("EOF") } else { alloc::format!("{}", lock.last) };
    let (major, minor) = (dev >> 8 & 0xfff, dev & 0xff | dev >> 12 & 0xfff00);
    alloc::format!("{name} ADVISORY  {kind} {pid} {major:02x}:{minor:02x}:{inode} {} {end}", lock.first)
}
