//! Which address belongs to which page of which memory, and who waits for what. Plain state, no system calls.

use crate::source::ChunkTable;
use abi::layout::PAGE;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use vmm::Kicker;

/// What a cell knows of one lazy memory.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) id: u64,
    pub(super) table: ChunkTable,
    filled: Vec<AtomicBool>,
    complete: AtomicBool,
}

impl Info {
    pub(super) fn new(id: u64, table: ChunkTable) -> Info {
        let filled = table.chunks().iter().map(|_| AtomicBool::new(false)).collect();
        Info { id, table, filled, complete: AtomicBool::new(false) }
    }

    pub(super) fn is_filled(&self, chunk: usize) -> bool {
        self.is_complete() || self.filled.get(chunk).is_some_and(|filled| filled.load(Ordering::Acquire))
    }

    pub(super) fn set_filled(&self, chunk: usize) {
        if let Some(filled) = self.filled.get(chunk) {
            filled.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    pub(super) fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }
}

/// Whether one mapping can still be trusted.
#[derive(Default)]
pub(super) struct Health {
    reason: OnceLock<Arc<str>>,
    kicker: Mutex<Option<Kicker>>,
}

impl Health {
    pub(super) fn reason(&self) -> Option<&Arc<str>> {
        self.reason.get()
    }

    pub(super) fn watch(&self, kicker: Kicker) {
        *self.kicker.lock().unwrap_or_else(PoisonError::into_inner) = Some(kicker);
    }

    /// Marks the mapping as broken and stops its machine. In this order: the machine looks at the mark after
    /// whatever stops it.
    pub(super) fn fail(&self, reason: &Arc<str>) {
        let _ = self.reason.set(Arc::clone(reason));
        if let Some(kicker) = &*self.kicker.lock().unwrap_or_else(PoisonError::into_inner) {
            kicker.kick();
        }
    }
}

/// One registered mapping.
struct Entry {
    end: u64,
    info: Arc<Info>,
    health: Arc<Health>,
}

/// A chunk of a memory, by the memory's number.
pub(super) type ChunkId = (u64, usize);

/// What is to be done about a fault.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody uses that mapping any more.
    Gone,
    /// The page is there.
    Wake,
    /// The page is zero.
    Zero,
    /// Nothing can be had any more.
    Fail(Arc<str>),
    /// It waits for a chunk that has been asked for.
    Wait,
    /// It waits for a chunk that has to be asked for.
    Ask(ChunkId),
}

/// All mappings of a process, and the faults that wait.
#[derive(Default)]
pub(super) struct Mappings {
    by_address: BTreeMap<u64, Entry>,
    waiting: HashMap<ChunkId, Vec<u64>>,
    /// Why no chunk will come any more.
    pub(super) over: Option<Arc<str>>,
}

impl Mappings {
    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub(super) fn add(&mut self, address: u64, len: u64, info: &Arc<Info>, health: &Arc<Health>) {
        let entry = Entry { end: address + len, info: Arc::clone(info), health: Arc::clone(health) };
        self.by_address.insert(address, entry);
    }

    pub(super) fn remove(&mut self, address: u64) {
        if let Some(entry) = self.by_address.remove(&address) {
            let waiting = self.waiting.iter_mut().filter(|((memory, _), _)| *memory == entry.info.id);
            waiting.for_each(|(_, faults)| faults.retain(|fault| !(address..entry.end).contains(fault)));
        }
    }

    fn find(&self, address: u64) -> Option<(u64, &Entry)> {
        let (&start, entry) = self.by_address.range(..=address).next_back()?;
        (address < entry.end).then_some((start, entry))
    }

    /// What to do about a fault at `address`; remembers it if it has to wait.
    pub(super) fn fault(&mut self, address: u64) -> Verdict {
        let Some((start, entry)) = self.find(address) else { return Verdict::Gone };
        let Some(chunk) = entry.info.table.lookup((address - start) / PAGE) else { return Verdict::Zero };
        if entry.info.is_filled(chunk) {
            return Verdict::Wake;
        }
        if let Some(reason) = &self.over {
            return Verdict::Fail(Arc::clone(reason));
        }
        let id = (entry.info.id, chunk);
        let asked = self.waiting.contains_key(&id);
        self.waiting.entry(id).or_default().push(address);
        if asked { Verdict::Wait } else { Verdict::Ask(id) }
    }

    /// Takes the faults that wait for a chunk. The next fault on it asks again, unless the chunk is filled.
    pub(super) fn take(&mut self, chunk: ChunkId) -> Vec<u64> {
        self.waiting.remove(&chunk).unwrap_or_default()
    }

    /// Takes the faults that wait for anything, or for anything of one memory.
    pub(super) fn take_all(&mut self, memory: Option<u64>) -> Vec<u64> {
        let taken = self.waiting.extract_if(|(of, _), _| memory.is_none_or(|memory| *of == memory));
        taken.flat_map(|(_, faults)| faults).collect()
    }

    /// Marks the mapping at `address` as broken.
    pub(super) fn fail(&self, address: u64, reason: &Arc<str>) {
        if let Some((_, entry)) = self.find(address) {
            entry.health.fail(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Chunk;

    const BASE: u64 = 0x7000_0000_0000;

    fn two_mappings() -> (Mappings, Arc<Info>, [Arc<Health>; 2]) {
        let chunks = vec![Chunk { first_page: 0, pages: 4 }, Chunk { first_page: 6, pages: 2 }];
        let info = Arc::new(Info::new(3, ChunkTable::checked(chunks).unwrap()));
        let healths = [Arc::default(), Arc::default()];
        let mut mappings = Mappings::default();
        mappings.add(BASE, 8 * PAGE, &info, &healths[0]);
        mappings.add(BASE + 8 * PAGE, 8 * PAGE, &info, &healths[1]);
        (mappings, info, healths)
    }

    #[test]
    fn a_chunk_is_asked_for_once_whoever_waits() {
        let (mut mappings, info, _) = two_mappings();
        assert_eq!(mappings.fault(BASE + PAGE), Verdict::Ask((3, 0)));
        assert_eq!(mappings.fault(BASE + 9 * PAGE), Verdict::Wait);
        assert_eq!(mappings.fault(BASE + 15 * PAGE), Verdict::Ask((3, 1)));
        assert_eq!(mappings.fault(BASE + 4 * PAGE), Verdict::Zero);
        assert_eq!(mappings.fault(BASE + 16 * PAGE), Verdict::Gone);
        assert_eq!(mappings.fault(BASE - PAGE), Verdict::Gone);
        info.set_filled(0);
        assert_eq!(mappings.take((3, 0)), [BASE + PAGE, BASE + 9 * PAGE]);
        assert_eq!(mappings.fault(BASE), Verdict::Wake);
        assert_eq!(mappings.take_all(Some(4)), [0; 0]);
        assert_eq!(mappings.take_all(Some(3)), [BASE + 15 * PAGE]);
    }

    #[test]
    fn what_is_gone_does_not_wait() {
        let (mut mappings, _, _) = two_mappings();
        mappings.fault(BASE);
        mappings.fault(BASE + 8 * PAGE);
        mappings.remove(BASE);
        assert_eq!(mappings.fault(BASE), Verdict::Gone);
        assert_eq!(mappings.take((3, 0)), [BASE + 8 * PAGE]);
        mappings.remove(BASE + 8 * PAGE);
        assert!(mappings.is_empty());
    }

    #[test]
    fn only_those_that_wait_are_broken() {
        let (mut mappings, _, healths) = two_mappings();
        let reason: Arc<str> = "gone".into();
        mappings.fault(BASE);
        for address in mappings.take((3, 0)) {
            mappings.fail(address, &reason);
        }
        assert_eq!(healths[0].reason(), Some(&reason));
        assert_eq!(healths[1].reason(), None);
        assert_eq!(mappings.fault(BASE + 8 * PAGE), Verdict::Ask((3, 0)), "the next fault asks again");
        mappings.over = Some(Arc::clone(&reason));
        assert_eq!(mappings.fault(BASE + 9 * PAGE), Verdict::Fail(reason));
    }
}
