//! Which pages a program writes to as soon as it was copied: stack, thread, counters of its libraries. The next copy begins
//! with copies of these, as an exception and a flush for each of them, in both, cost far more.

use core::cell::Cell;

/// How many pages are remembered.
const PAGES: usize = 8;

/// The last pages that were written to while somebody else had them, too.
#[derive(Clone, Default)]
pub(super) struct Written(Cell<[u64; PAGES]>);

impl Written {
    /// The page at `va` was one.
    pub(super) fn note(&self, va: u64) {
        let mut pages = self.0.get();
        if !pages.contains(&va) {
            pages.rotate_right(1);
            pages[0] = va;
            self.0.set(pages);
        }
    }

    /// Whether the page at `va` is one of them.
    pub(super) fn has(&self, va: u64) -> bool {
        self.0.get().contains(&va)
    }
}
