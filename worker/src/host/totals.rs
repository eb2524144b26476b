//! Running totals of one function name, over all its revisions.

use super::shells::Trim;
use crate::api::{FunctionStats, ParentInfo, StartKind};
use crate::logs::LogBook;
use crate::names;
use crate::protocol::{Done, Refused};
use abi::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most names of refused things that are kept, and one for all others: what a hostile function can make up has an end.
const REFUSED_MAX: usize = 256;

/// What is counted. One per function name; shared by its revisions.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) parent_boots: AtomicU64,
    pub(crate) cell_starts: AtomicU64,
    pub(crate) parent_loads: AtomicU64,
    pub(crate) parent_evictions: AtomicU64,
    pub(crate) forks_recycled: AtomicU64,
    pub(crate) forks_remapped: AtomicU64,
    pub(crate) forks_spare: AtomicU64,
    pub(crate) forks_new: AtomicU64,
    pub(crate) forks_cold: AtomicU64,
    pub(crate) spares_prepared: AtomicU64,
    pub(crate) trimmed_idle: AtomicU64,
    pub(crate) trimmed_pressure: AtomicU64,
    pub(crate) trimmed_room: AtomicU64,
    pub(crate) shells_discarded: AtomicU64,
    pub(crate) shells: AtomicU64,
    pub(crate) log: LogBook,
    refused: Mutex<BTreeMap<String, u64>>,
    parent: Mutex<Option<ParentInfo>>,
}

impl Totals {
    /// Counts one fork.
    pub(crate) fn forked(&self, start: StartKind) {
        let counter = match start {
            StartKind::Recycled => &self.forks_recycled,
            StartKind::Remapped => &self.forks_remapped,
            StartKind::Spare => &self.forks_spare,
            StartKind::New => &self.forks_new,
            StartKind::Cold => &self.forks_cold,
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
        self.refused(&done.refusals);
        self.log.dropped(done.log_dropped);
    }

    /// Adds counts of what was refused.
    pub(crate) fn refused(&self, refusals: &[Refused]) {
        if refusals.is_empty() {
            return;
        }
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for refused in refusals {
            let name = names::refusal(&Refusal::from(*refused));
            let has_room = all.len() < REFUSED_MAX || all.contains_key(&name);
            let name = if has_room { name } else { names::OTHERS.to_owned() };
            let count = all.entry(name).or_default();
            *count = count.saturating_add(u64::from(refused.count));
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
        FunctionStats {
            parent_boots: get(&self.parent_boots),
            cell_starts: get(&self.cell_starts),
            parent_loads: get(&self.parent_loads),
            parent_evictions: get(&self.parent_evictions),
            forks_recycled: get(&self.forks_recycled),
            forks_remapped: get(&self.forks_remapped),
            forks_spare: get(&self.forks_spare),
            forks_new: get(&self.forks_new),
            forks_cold: get(&self.forks_cold),
            spares_prepared: get(&self.spares_prepared),
            trimmed_idle: get(&self.trimmed_idle),
            trimmed_pressure: get(&self.trimmed_pressure),
            trimmed_room: get(&self.trimmed_room),
            shells_discarded: get(&self.shells_discarded),
            shells: get(&self.shells),
            log_dropped_bytes: self.log.dropped_bytes(),
            unsupported: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            parent: *self.parent.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::refusal::Kind;

    #[test]
    fn refused_things_are_added_up_by_name_and_their_number_has_an_end() {
        let totals = Totals::default();
        let refused = |value| Refused::from(Refusal::new(Kind::Value, 16, 1, value));
        totals.refused(&[refused(0x5403), refused(0x5403)]);
        for part in 0..100 {
            let made_up: Vec<_> = (0..170).map(|value| refused(0x1_0000 + part * 1000 + value)).collect();
            totals.refused(&made_up);
        }
        totals.refused(&[refused(0x5403)]);
        let stats = totals.snapshot();
        assert_eq!(stats.unsupported["ioctl TCSETSW"], 3);
        assert_eq!(stats.unsupported.len(), REFUSED_MAX + 1);
        assert_eq!(stats.unsupported.values().sum::<u64>(), 3 + 17_000);
    }
}
