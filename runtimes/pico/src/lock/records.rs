//! The record locks of one file: who has which bytes.

use super::Owner;
use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// The last byte a lock can cover: everything to the end of the file, wherever that will be.
pub const LAST: u64 = i64::MAX as u64;

/// A lock, or the wish for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Whose it is.
    pub owner: Owner,
    /// The process that took it.
    pub pid: u32,
    /// Whether nobody else may have any of it.
    pub exclusive: bool,
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
}

impl Lock {
    /// Whether both cannot be had at once.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner && (self.exclusive || other.exclusive) && self.overlaps(other)
    }

    /// Whether they have bytes in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What is left of it without the bytes of `other`: before and behind.
    fn without(self, other: &Self) -> [Option<Self>; 2] {
        if !self.overlaps(other) {
            return [Some(self), None];
        }
        let before = (self.first < other.first).then(|| Self { last: other.first - 1, ..self });
        let behind = (self.last > other.last).then(|| Self { first: other.last + 1, ..self });
        [before, behind]
    }
}

/// Gives `lock` to its owner, or with `unlocks` takes those bytes from it. What it had there before is replaced, the rest is split
/// and merged. There may be `room` locks more than before, else `ENOLCK`.
///
/// `records` stays in the order that Linux keeps: owner by owner as they came, and by bytes.
pub(super) fn set(records: &mut Vec<Lock>, lock: &Lock, unlocks: bool, room: usize) -> Result<()> {
    let is_own = |other: &Lock| other.owner == lock.owner;
    let start = records.iter().position(is_own).unwrap_or(records.len());
    let end = start + records[start..].iter().take_while(|other| is_own(other)).count();
    let mut own: Vec<Lock> =
        records[start..end].iter().flat_map(|other| other.without(lock)).flatten().collect();
    if !unlocks {
        let place = own.iter().position(|other| other.first > lock.first).unwrap_or(own.len());
        own.insert(place, *lock);
        merge(&mut own);
    }
    if own.len() > end - start + room {
        return Err(Errno::ENOLCK);
    }
    records.splice(start..end, own);
    Ok(())
}

/// Joins neighbours of the same kind.
fn merge(own: &mut Vec<Lock>) {
    own.dedup_by(|next, lock| {
        let joins = next.exclusive == lock.exclusive && next.first == lock.last + 1;
        if joins {
            lock.last = next.last;
        }
        joins
    });
}
