//! Parents: the memory all forks share, the state they start in, and what is known of what they touch.

use crate::boot_tables::SparsePage;
use crate::entry::{EntryState, Prepared};
use crate::error::MachineError;
use crate::memory::{Advice, Mapping};
use crate::pagemap::Pagemap;
use crate::parent_memory::{ParentError, ParentMemory};
use crate::size::{PAGE_BYTES, size};
use crate::sparse_tables::SparseTables;
use abi::layout::{KERNEL_SIZE, KERNEL_VA, PAGE, PROGRAM_VA};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Most bytes of the recorded write set.
const WRITE_SET_BYTES_MAX: usize = 16 << 20;
/// Most ranges of the recorded write set; each costs a system call when a shell is made.
const WRITE_SET_RANGES_MAX: usize = 512;
/// Most ranges of pages that are known to be touched: as many as pages are touched when a shell is made.
const TOUCHED_RANGES_MAX: usize = 8192;

/// What forks are made from.
#[derive(Debug)]
pub struct Parent {
    /// Sealed memory.
    pub memory: Arc<ParentMemory>,
    /// Where forks start.
    pub entry: EntryState,
    pub(crate) prepared: Prepared,
    pub(crate) pagemap: Pagemap,
    written: OnceLock<Box<[Range<usize>]>>,
    touched: OnceLock<Box<[Range<usize>]>>,
    closed: OnceLock<Box<[SparsePage]>>,
}

impl Parent {
    /// Joins sealed memory with the state captured from the machine that ran in it.
    pub fn new(memory: ParentMemory, entry: EntryState) -> Result<Parent, MachineError> {
        if !memory.is_sealed() {
            return Err(MachineError::Spec(ParentError::NotSealed.to_string()));
        }
        let prepared = Prepared::new(&entry, memory.len())?;
        let pagemap = Pagemap::open().map_err(MachineError::memory("/proc/self/pagemap"))?;
        Ok(Parent {
            memory: Arc::new(memory),
            entry,
            prepared,
            pagemap,
            written: OnceLock::new(),
            touched: OnceLock::new(),
            closed: OnceLock::new(),
        })
    }

    /// What forks of this parent have been seen to touch so far.
    pub fn working_set(&self) -> WorkingSet {
        let ranges = |set: &OnceLock<Box<[Range<usize>]>>| set.get().map(|set| set.to_vec());
        WorkingSet { written: ranges(&self.written), touched: ranges(&self.touched) }
    }

    /// Takes over what another parent with the same memory has learnt. Whole pages inside RAM count, all else is
    /// ignored: a wrong set costs time, nothing else.
    pub fn expect(&self, set: WorkingSet) {
        let end = size(self.memory.len());
        let fits = |range: &Range<usize>| {
            let pages = range.start.is_multiple_of(PAGE_BYTES) && range.end.is_multiple_of(PAGE_BYTES);
            pages && range.start < range.end && range.end <= end
        };
        if let Some(written) = set.written {
            self.learn_written(&written.into_iter().filter(fits).collect::<Vec<_>>());
        }
        if let Some(touched) = set.touched {
            self.learn_touched(touched.into_iter().filter(fits).collect());
        }
    }

    /// The entry of the page of the program's memory at `va`, if the program may not write to it, or not touch it.
    pub(crate) fn closed(&self, va: u64) -> Option<u64> {
        let closed = self.closed.get_or_init(|| {
            let tables = self.memory.view().map(|view| SparseTables::read(view, self.entry.sregs().cr3));
            tables.and_then(Result::ok).map(SparseTables::into_closed).unwrap_or_default().into()
        });
        let at = closed.binary_search_by_key(&va, |&(va, _)| va).ok()?;
        closed.get(at).map(|&(_, entry)| entry)
    }

    /// Where the guest finds what lies at `offset` of its RAM; `None` if it cannot see it.
    pub(crate) fn guest_address(&self, offset: usize) -> Option<u64> {
        let gpa = offset as u64;
        let (start, moved) = self.entry.moved();
        match gpa.checked_sub(start) {
            None => Some(plain_address(gpa)),
            Some(behind) => {
                let page = moved.get(usize::try_from(behind / PAGE).ok()?)?;
                Some(page + gpa % PAGE)
            }
        }
    }

    /// Remembers the pages a fork wrote to, the first time it is called, so that later shells have them ready.
    pub(crate) fn learn_written(&self, written: &[Range<usize>]) {
        self.written.get_or_init(|| {
            let mut left = WRITE_SET_BYTES_MAX;
            let fits = |range: &&Range<usize>| {
                let rest = left.checked_sub(range.len());
                left = rest.unwrap_or(0);
                rest.is_some()
            };
            written.iter().take(WRITE_SET_RANGES_MAX).take_while(fits).cloned().collect()
        });
    }

    /// Remembers the pages a fork touched, read or written, the first time it is called. Of very many ranges the last
    /// are left out: their pages would not be touched ahead, and what is learnt is to fit into a message.
    pub(crate) fn learn_touched(&self, mut touched: Vec<Range<usize>>) {
        touched.truncate(TOUCHED_RANGES_MAX);
        self.touched.get_or_init(|| touched.into());
    }

    /// Pages a fork is expected to touch, if any fork has been watched.
    pub(crate) fn touched(&self) -> Option<&[Range<usize>]> {
        self.touched.get().map(AsRef::as_ref)
    }

    /// Pages a fork is expected to write to; none as long as that is not known.
    pub(crate) fn written(&self) -> &[Range<usize>] {
        self.written.get().map_or(&[], AsRef::as_ref)
    }

    /// Makes the pages a fork is expected to write to its own ahead, so that KVM maps several with one fault.
    pub(crate) fn populate(&self, ram: &mut Mapping) {
        for range in self.written() {
            // Only saves faults later, so a refusal changes nothing.
            let _ = ram.advise(range.start, range.len(), Advice::PopulateWrite);
        }
    }
}

/// Pages that forks of a parent touch, as byte ranges of its RAM; `None`: not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingSet {
    /// Pages written to before the response.
    pub written: Option<Vec<Range<usize>>>,
    /// Pages read or written.
    pub touched: Option<Vec<Range<usize>>>,
}

impl WorkingSet {
    /// Most ranges a parent has learnt, of both kinds together.
    pub const RANGES_MAX: usize = WRITE_SET_RANGES_MAX + TOUCHED_RANGES_MAX;
}

/// Where a guest sees its RAM, unless page tables lead elsewhere.
pub(crate) fn plain_address(gpa: u64) -> u64 {
    if gpa < KERNEL_SIZE { KERNEL_VA + gpa } else { PROGRAM_VA + (gpa - KERNEL_SIZE) }
}
