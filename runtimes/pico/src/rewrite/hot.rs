//! Which sites are worth it where there are several address spaces.
//!
//! Most programs that another one starts are short and make a few calls from each site, if any. To rewrite all sites of a C
//! library takes longer than all their traps. So a large text is rewritten site by site, each when it has trapped often
//! enough; a small one, such as that of `ld.so`, as a whole.

use super::{Rewriter, is_text};
use crate::mm::Mm;
use alloc::collections::BTreeMap;
use alloc::vec;
use core::ops::Range;

/// Bytes of text that are looked through as a whole.
const SMALL: u64 = 256 << 10;
/// So many traps of a site cost more than to rewrite it.
const HOT: u8 = 4;
/// Most sites whose traps are counted.
const SITES_MAX: usize = 1024;
/// How many sites are remembered at least as those nothing is to be done about.
const SEEN: usize = 64;

/// The last sites nothing is to be done about, each at a place its address determines.
#[derive(Clone)]
pub(super) struct Seen([u64; SEEN]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; SEEN])
    }
}

impl Seen {
    fn place(syscall: u64) -> usize {
        // Sites of the C library are 16 bytes apart and more.
        usize::try_from((syscall ^ syscall >> 4) % SEEN as u64).unwrap_or(0)
    }

    pub(super) fn has(&self, syscall: u64) -> bool {
        self.0[Self::place(syscall)] == syscall
    }

    pub(super) fn add(&mut self, syscall: u64) {
        self.0[Self::place(syscall)] = syscall;
    }

    fn forget(&mut self, range: &Range<u64>) {
        self.0.iter_mut().filter(|syscall| range.contains(syscall)).for_each(|syscall| *syscall = 0);
    }
}

/// How often sites have trapped.
#[derive(Clone, Default)]
pub(super) struct Traps(BTreeMap<u64, u8>);

impl Traps {
    /// One more. Returns whether the site is worth it now.
    pub(super) fn count(&mut self, syscall: u64) -> bool {
        if self.0.len() >= SITES_MAX && !self.0.contains_key(&syscall) {
            self.0.clear();
        }
        let count = self.0.entry(syscall).or_default();
        *count = count.saturating_add(1);
        *count == HOT
    }

    fn forget(&mut self, range: &Range<u64>) {
        self.0.retain(|syscall, _| !range.contains(syscall));
    }
}

impl Rewriter {
    /// Something else may come to be in `range`: what is known of calls from there is forgotten.
    pub fn forget(&mut self, range: Range<u64>) {
        self.seen.forget(&range);
        self.traps.forget(&range);
        if self.undescribed.start < range.end && range.start < self.undescribed.end {
            self.undescribed = 0..0;
        }
    }

    /// Like [`Rewriter::rewrite_around`] where there are several address spaces.
    pub(super) fn rewrite_hot(&mut self, mm: &mut Mm, entry: u64, syscall: u64) {
        let Some(text) = mm.area_at(syscall).filter(is_text) else { return self.seen.add(syscall) };
        if self.sites.contains_key(&syscall) || self.undescribed.contains(&syscall) {
            return self.seen.add(syscall);
        }
        if text.end - text.start <= SMALL {
            // All of its pages at once, not one after the other.
            if mm.own_text(text.start, text.end).is_ok() {
                self.rewrite_around(mm, entry, syscall);
            }
        } else if self.traps.count(syscall) {
            self.seen.add(syscall);
            self.rewrite_sites(mm, entry, &text, vec![syscall]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_counted_for_a_limited_number_of_sites() {
        let mut traps = Traps::default();
        for syscall in 0..10 * SITES_MAX as u64 {
            assert!(!traps.count(syscall));
            assert!(traps.0.len() <= SITES_MAX);
        }
        assert!((1..HOT).all(|_| !traps.count(1)) && traps.count(1) && !traps.count(1));
    }

    #[test]
    fn sites_that_were_seen_are_known_until_something_else_may_be_there() {
        let mut seen = Seen::default();
        [0x1000, 0x2002].into_iter().for_each(|syscall| seen.add(syscall));
        seen.forget(&(0x2000..0x3000));
        assert!(seen.has(0x1000) && !seen.has(0x2002));
    }
}
