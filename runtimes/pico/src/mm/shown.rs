//! Files of images that the program sees in linear memory, without a copy.
//!
//! Linear memory is mapped in pieces of 2 MiB. A piece can lead to an image instead of the memory that belongs there, if the
//! program has mapped as much of a file, to read or to execute, and its place in the image is a multiple of 2 MiB, too. The
//! writer of images puts large files where that is so, and [`Mm::map_image`] chooses addresses that agree.
//!
//! Before a part of a piece is written to, or used for something else, the piece becomes memory again, with a copy
//! of what is still mapped there. Until then that memory is not touched. It may hold anything.

use super::Mm;
use crate::errno::Result;
use abi::layout::{HUGE, PAGE};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// By address: what each piece shows.
#[derive(Default)]
pub(super) struct Shown {
    pieces: BTreeMap<u64, &'static [u8]>,
}

impl Shown {
    /// The pieces in `start..end` or partly there.
    pub(super) fn overlapping(&self, start: u64, end: u64) -> Vec<(u64, &'static [u8])> {
        let pieces = self.pieces.range(start / HUGE * HUGE..end.max(start));
        pieces.map(|(&piece, &image)| (piece, image)).collect()
    }

    /// What is shown at `addr`, up to the end of its piece.
    fn at(&self, addr: u64) -> Option<&'static [u8]> {
        let image = self.pieces.get(&(addr / HUGE * HUGE))?;
        image.get(index(addr % HUGE)..)
    }

    /// The parts of `start..end` that show no image.
    pub(super) fn memory(&self, start: u64, end: u64) -> impl Iterator<Item = Range<u64>> {
        cut(start, end).filter(|part| self.at(part.start).is_none())
    }

    /// What lies behind the page at `va`, if it is shown.
    pub(super) fn page(&self, va: u64) -> Option<u64> {
        self.at(va).map(address_of)
    }
}

pub(super) fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("usize is 64 bits wide")
}

pub(super) fn address_of(bytes: &[u8]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

/// `start..end`, cut where pieces begin.
pub(super) fn cut(start: u64, end: u64) -> impl Iterator<Item = Range<u64>> {
    let first = (start < end).then(|| start..end.min(start / HUGE * HUGE + HUGE));
    core::iter::successors(first, move |part| {
        (part.end < end).then(|| part.end..end.min(part.end.saturating_add(HUGE)))
    })
}

impl Mm {
    /// From now on no page tables are changed to show an image: the host uses a VM again if they are as they were.
    pub fn settle(&mut self) {
        self.settled = true;
    }

    /// Lets the program see `image`, contents of an image's file, at `start` of linear memory, where nothing is
    /// mapped yet; only as far as whole pieces do.
    pub fn show_ahead(&self, start: u64, image: &'static [u8]) {
        let end = start.saturating_add(image.len() as u64);
        let inside = start >= self.base && end <= self.end() && !self.is_paged(start);
        let is_free = || self.areas.borrow().overlapping(start, end).all(|area| area.reserved);
        if inside && is_free() {
            self.show(start, end, image);
        }
    }

    /// The parts of `start..end`, just mapped by [`Mm::map_image`], that show no image: they are zeroed memory.
    pub fn not_shown(&self, start: u64, end: u64) -> Vec<Range<u64>> {
        if self.is_paged(start) {
            let sparse = self.sparse.borrow();
            let mut memory: Vec<Range<u64>> = Vec::new();
            for va in (start..end).step_by(super::PAGE_BYTES).filter(|&va| sparse.image(self, va).is_none()) {
                match memory.last_mut() {
                    Some(last) if last.end == va => last.end += PAGE,
                    _ => memory.push(va..va + PAGE),
                }
            }
            return memory;
        }
        let shown = self.shown.borrow();
        shown.memory(start, end).collect()
    }

    /// Shows `image` in `start..end`, linear memory, and what lies there already if it is the same; returns the rest,
    /// which is memory then.
    pub(super) fn show(&self, start: u64, end: u64, image: &'static [u8]) -> Vec<Range<u64>> {
        let (mut rest, mut new) = (Vec::new(), Vec::new());
        for part in cut(start, end) {
            match image.get(index(part.start - start)..index(part.end - start)) {
                Some(bytes) if self.shown.borrow().page(part.start) == Some(address_of(bytes)) => {}
                Some(bytes)
                    if bytes.len() as u64 == HUGE && !self.settled && !self.linear.is_split(part.start) =>
                {
                    new.push((part, bytes));
                }
                _ => rest.push(part),
            }
        }
        let mut changed = false;
        for (part, bytes) in new {
            if self.linear.show_image(part.start, address_of(bytes)) {
                self.shown.borrow_mut().pieces.insert(part.start, bytes);
                self.dirty.borrow_mut().mark(part.start, part.end);
                changed = true;
            } else {
                rest.push(part);
            }
        }
        if changed {
            self.linear.flush();
        }
        rest.iter().for_each(|part| self.hide(part.start, part.end));
        rest
    }

    /// Sees to it that `start..end` of linear memory is memory. [`Mm::close_memory`] is to be called when the map of
    /// areas is complete again.
    pub(super) fn hide(&self, start: u64, end: u64) {
        let hit = self.shown.borrow().overlapping(start, end);
        self.make_memory(&hit);
        for (piece, image) in hit {
            for area in self.areas.borrow().overlapping(piece, piece + HUGE).filter(|area| !area.reserved) {
                let (from, to) = (area.start.max(piece), area.end.min(piece + HUGE));
                self.raw(from, to - from).copy_from_slice(&image[index(from - piece)..index(to - piece)]);
            }
            self.became_memory.borrow_mut().push(piece);
        }
    }

    /// Pieces in `start..end` of which nothing is mapped any more are memory again.
    pub(super) fn forget_shown(&self, start: u64, end: u64) {
        if self.settled {
            return;
        }
        let mut hit = self.shown.borrow().overlapping(start, end);
        hit.retain(|&(piece, _)| self.areas.borrow().is_free(piece, piece + HUGE));
        self.make_memory(&hit);
    }

    /// All that is shown, which is memory from now on.
    pub(super) fn take_shown(&self) -> Shown {
        let pieces = self.shown.borrow().overlapping(self.base, self.end());
        self.make_memory(&pieces);
        Shown { pieces: pieces.into_iter().collect() }
    }

    /// Takes back [`Mm::take_shown`].
    pub(super) fn show_again(&self, shown: Shown) {
        for (piece, image) in shown.pieces {
            self.show(piece, piece + HUGE, image);
        }
    }

    fn make_memory(&self, pieces: &[(u64, &'static [u8])]) {
        if pieces.is_empty() {
            return;
        }
        for (piece, _) in pieces {
            self.shown.borrow_mut().pieces.remove(piece);
            self.linear.show_memory(*piece);
        }
        self.linear.flush();
    }

    /// The highest free range of `len` bytes of linear memory that agrees with `image`, if that helps.
    pub(super) fn find_gap_for(&self, len: u64, image: &[u8]) -> Option<u64> {
        let wanted = address_of(image) % HUGE;
        let helps = image.len() as u64 >= HUGE && !self.settled && self.pool.is_none();
        let room = len.checked_add(HUGE - PAGE).filter(|_| helps)?;
        let gap = self.areas.borrow().gap_below(room, self.base, self.end())?;
        Some(gap + (wanted + HUGE - gap % HUGE) % HUGE)
    }

    /// The first address from `hint` on that agrees with `image`, if that helps.
    pub fn agreeing(&self, hint: u64, image: &[u8]) -> u64 {
        let helps = image.len() as u64 >= HUGE && !self.settled && self.pool.is_none();
        let ahead = (address_of(image) % HUGE + HUGE - hint % HUGE) % HUGE;
        if helps { hint.saturating_add(ahead) } else { hint }
    }

    /// Puts whole pages of `image` behind `start`, just mapped where memory is taken page by page.
    pub(super) fn show_pages_of(&self, start: u64, image: &[u8], prot: u32) -> Result<()> {
        if !address_of(image).is_multiple_of(PAGE) {
            return Ok(());
        }
        let mut sparse = self.sparse.borrow_mut();
        let pages = image.chunks_exact(super::PAGE_BYTES).zip((start..).step_by(super::PAGE_BYTES));
        for (bytes, va) in pages {
            sparse.show_image(self, va, address_of(bytes), prot).ok_or_else(|| self.refuse())?;
        }
        Ok(())
    }
}
