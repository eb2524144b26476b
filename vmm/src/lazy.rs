//! Memory of a parent that is not all there yet: what a mapping of it needs, and who gives it.
//!
//! The policy is not here. Whoever pages the memory in implements [`Paging`] and is told of every mapping before
//! anything touches it. What it returns stays with the mapping and is dropped before the mapping is.

use crate::kick::Kicker;
use crate::memory::Mapping;
use crate::userfault::Userfault;
use std::fmt::Debug;
use std::io;
use std::ops::Range;

/// Who makes missing pages of one parent's memory appear.
pub trait Paging: Send + Sync + Debug {
    /// Takes care of a new mapping. `None` if nothing is missing any more.
    fn on_map(&self, mapping: &LazyMapping<'_>) -> io::Result<Option<Box<dyn Registered>>>;
}

/// One mapping that is taken care of, until this is dropped.
pub trait Registered: Send + Sync + Debug {
    /// Why a page of this mapping could not be had. From then on the mapping shows zeros where it should show the
    /// parent's pages: nothing that was computed with it may be used.
    fn failure(&self) -> Option<String>;

    /// Stops this machine when a page cannot be had.
    fn watch(&self, kicker: Kicker);
}

/// The part of a mapping that shows one parent's own memory, from its first byte to its last.
#[derive(Debug)]
pub struct LazyMapping<'a> {
    mapping: &'a Mapping,
    offset: usize,
    len: usize,
}

impl<'a> LazyMapping<'a> {
    pub(crate) fn new(mapping: &'a Mapping, offset: usize, len: usize) -> LazyMapping<'a> {
        LazyMapping { mapping, offset, len }
    }

    /// Where the part begins in this process.
    pub fn address(&self) -> u64 {
        self.mapping.address() + self.offset as u64
    }

    /// Bytes of the part.
    #[expect(clippy::len_without_is_empty, reason = "memory of a parent is never empty")]
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Lets faults on missing pages of a part (bytes relative to the beginning) wait for a wake.
    pub fn register(&self, userfault: &Userfault, bytes: Range<u64>) -> io::Result<()> {
        let outside = || io::Error::other("the range lies outside the parent's memory");
        let [start, end] = [bytes.start, bytes.end].map(usize::try_from);
        let (start, end) = (start.map_err(|_| outside())?, end.map_err(|_| outside())?);
        if start > end || end > self.len {
            return Err(outside());
        }
        userfault.register(self.mapping, self.offset + start, end - start)
    }
}

/// What takes care of the parts of one mapping.
#[derive(Debug, Default)]
pub(crate) struct Registrations(Vec<Box<dyn Registered>>);

impl Registrations {
    pub(crate) fn add(&mut self, registered: Box<dyn Registered>) {
        self.0.push(registered);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.0.iter().find_map(|registered| registered.failure())
    }

    pub(crate) fn watch(&self, kicker: &Kicker) {
        for registered in &self.0 {
            registered.watch(kicker.clone());
        }
    }
}
