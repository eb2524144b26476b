//! What a child gets of its parent's memory where that was advised: nothing (`MADV_DONTFORK`), or zeros (`MADV_WIPEONFORK`).

use super::areas::{Area, Areas, Kind};
use super::{DATA, Mm, round_up};
use crate::errno::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// Most ranges with one such advice.
const RANGES_MAX: usize = 1024;

/// What is advised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// A child has no mapping there.
    Absent,
    /// A child finds zeros there.
    Wiped,
}

/// Disjoint ranges: the ends by the starts.
#[derive(Clone, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, start: u64, end: u64) {
        let touching = |&(&from, &to): &(&u64, &u64)| from <= end && start <= to;
        let joined: Vec<(u64, u64)> = self.0.iter().filter(touching).map(|(&from, &to)| (from, to)).collect();
        let (mut start, mut end) = (start, end);
        for (from, to) in joined {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    fn remove(&mut self, start: u64, end: u64) {
        for part in self.within(start, end) {
            let Some((&from, &to)) = self.0.range(..=part.start).next_back() else { continue };
            self.0.remove(&from);
            self.0.extend((from < start).then_some((from, start)));
            self.0.extend((end < to).then_some((end, to)));
        }
    }

    /// The parts of `start..end` that are in these ranges.
    fn within(&self, start: u64, end: u64) -> Vec<Range<u64>> {
        let first = self.0.range(..=start).next_back().map_or(start, |(&from, _)| from);
        let parts = self.0.range(first..end.max(first)).filter(|&(_, &to)| start < to);
        parts.map(|(&from, &to)| from.max(start)..to.min(end)).collect()
    }
}

/// What was advised.
#[derive(Clone, Default)]
pub(super) struct Inherited {
    absent: Ranges,
    wiped: Ranges,
}

impl Inherited {
    fn is_empty(&self) -> bool {
        self.absent.0.is_empty() && self.wiped.0.is_empty()
    }

    fn of(&mut self, advice: Advice) -> &mut Ranges {
        match advice {
            Advice::Absent => &mut self.absent,
            Advice::Wiped => &mut self.wiped,
        }
    }

    /// Nothing is mapped in `start..end` any more.
    pub(super) fn forget(&mut self, start: u64, end: u64) {
        if !self.is_empty() {
            self.absent.remove(start, end);
            self.wiped.remove(start, end);
        }
    }

    /// What is mapped in `from` moves to `to`, where it ends at `end`: what it grows by is like its last byte.
    pub(super) fn follow(&mut self, from: Range<u64>, to: u64, end: u64) {
        if self.is_empty() {
            return;
        }
        for advice in [Advice::Absent, Advice::Wiped] {
            let ranges = self.of(advice);
            for part in ranges.within(from.start, from.end) {
                let part_end = if part.end == from.end { end } else { to + (part.end - from.start) };
                ranges.add(to + (part.start - from.start), part_end);
            }
        }
    }

    /// Shows `share` the parts of `areas` whose contents a child gets.
    pub(super) fn each_shared(&self, areas: &Areas, mut share: impl FnMut(&Area)) {
        if self.is_empty() {
            return areas.iter().for_each(share);
        }
        for area in areas.iter() {
            let mut holes = self.absent.within(area.start, area.end);
            holes.extend(self.wiped.within(area.start, area.end));
            holes.sort_unstable_by_key(|hole| hole.start);
            holes.push(area.end..area.end);
            let mut at = area.start;
            for hole in holes {
                if at < hole.start {
                    share(&area.cut(at, hole.start));
                }
                at = at.max(hole.end);
            }
        }
    }

    /// What a child knows of it; its `areas` are those that it has. What `is_pinned` stays pico's there: the child cannot map
    /// anything in its place.
    pub(super) fn of_child(&self, areas: &mut Areas, is_pinned: impl Fn(u64) -> bool) -> Self {
        for (&start, &end) in &self.absent.0 {
            for piece in areas.remove(start, end) {
                if piece.kind.is_of_files() && is_pinned(piece.start) {
                    areas.insert(Area { prot: DATA, kind: Kind::Kernel, file: None, ..piece });
                }
            }
        }
        Self { absent: Ranges::default(), wiped: self.wiped.clone() }
    }
}

impl Mm {
    /// Advises what a child gets of `len` bytes at `addr`, or takes that back.
    pub fn advise(&mut self, addr: u64, len: u64, advice: Advice, on: bool) -> Result<()> {
        self.check_mapped(addr, len)?;
        let end = addr + round_up(len)?;
        let is_private = |area: &Area| matches!(area.kind, Kind::Anonymous | Kind::Heap | Kind::Stack);
        if on && advice == Advice::Wiped && !self.areas.borrow().overlapping(addr, end).all(is_private) {
            return Err(Errno::EINVAL);
        }
        let mut inherited = self.inherited.borrow_mut();
        let ranges = inherited.of(advice);
        if addr == end {
            return Ok(());
        }
        if ranges.0.len() >= RANGES_MAX {
            return Err(Errno::ENOMEM);
        }
        if on {
            ranges.add(addr, end)
        } else {
            ranges.remove(addr, end)
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "inherit_tests.rs"]
mod tests;
