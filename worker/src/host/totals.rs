//! Running totals of one function name, over all its revisions.

use super::shells::Trim;
use crate::api::{FunctionStats, ParentInfo, StartKind};
use crate::logs::LogBook;
use crate::protocol::Done;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is counted. One per function name; shared by its revisions.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) parent_boots: AtomicU64,
    pub(crate) cell_starts: AtomicU64,
    pub(crate) parent_loads: AtomicU64,
    pub(crate) parent_evictions: AtomicU64,
    pub(crate) forks_recycled: AtomicU64,
    pub(crate) forks_remapped: AtomicU64,
    pub(crate) forks_new: AtomicU64,
    pub(crate) spares_prepared: AtomicU64,
    pub(crate) trimmed_idle: AtomicU64,
    pub(crate) trimmed_pressure: AtomicU64,
    pub(crate) trimmed_room: AtomicU64,
    pub(crate) shells_discarded: AtomicU64,
    pub(crate) shells: AtomicU64,
    pub(crate) log: LogBook,
    unsupported: Mutex<BTreeMap<u32, u64>>,
    parent: Mutex<Option<ParentInfo>>,
}

impl Totals {
    /// Counts one fork.
    pub(crate) fn forked(&self, start: StartKind) {
        let counter = match start {
            StartKind::Recycled => &self.forks_recycled,
            StartKind::Remapped => &self.forks_remapped,
            StartKind::New => &self.forks_new,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts shells that were trimmed.
    pub(crate) fn trimmed(&self, why: Trim, count: usize) {
        let counter = match why {
            Trim::Idle => &self.trimmed_idle,
            Trim::Pressure => &self.trimmed_pressure,
            Trim::Room => &self.trimmed_room,
        };
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Takes over what a finished request reports.
    pub(crate) fn done(&self, done: &Done) {
        self.unsupported(&done.unsupported);
        self.log.dropped(done.log_dropped);
    }

    /// Adds counts of refused system calls.
    pub(crate) fn unsupported(&self, counts: &[(u32, u32)]) {
        if counts.is_empty() {
            return;
        }
        let mut all = self.unsupported.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, count) in counts {
            *all.entry(*number).or_default() += u64::from(*count);
        }
    }

    /// Notes a parent that has been built.
    pub(crate) fn built(&self, info: ParentInfo) {
        self.parent_boots.fetch_add(1, Ordering::Relaxed);
        *self.parent.lock().unwrap_or_else(PoisonError::into_inner) = Some(info);
    }

    /// A copy of everything.
    pub(crate) fn snapshot(&self) -> FunctionStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let unsupported = self.unsupported.lock().unwrap_or_else(PoisonError::into_inner);
        FunctionStats {
            parent_boots: get(&self.parent_boots),
            cell_starts: get(&self.cell_starts),
            parent_loads: get(&self.parent_loads),
            parent_evictions: get(&self.parent_evictions),
            forks_recycled: get(&self.forks_recycled),
            forks_remapped: get(&self.forks_remapped),
            forks_new: get(&self.forks_new),
            spares_prepared: get(&self.spares_prepared),
            trimmed_idle: get(&self.trimmed_idle),
            trimmed_pressure: get(&self.trimmed_pressure),
            trimmed_room: get(&self.trimmed_room),
            shells_discarded: get(&self.shells_discarded),
            shells: get(&self.shells),
            log_dropped_bytes: self.log.dropped_bytes(),
            unsupported: unsupported
                .iter()
                .map(|(nr, count)| (crate::names::system_call(*nr), *count))
                .collect(),
            parent: *self.parent.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}
