//! Which pages may hold old data. RAM starts as zeros, so only pages that were mapped before need zeroing.

use abi::layout::PAGE;
use alloc::vec;
use alloc::vec::Vec;

/// One bit per page of the program's memory.
#[derive(Clone)]
pub(super) struct Dirty {
    base: u64,
    words: Vec<u64>,
}

impl Dirty {
    pub(super) fn new(base: u64, len: u64) -> Self {
        Self { base, words: vec![0; words(len)] }
    }

    /// There are `len` bytes from now on, the new ones clean.
    pub(super) fn grow(&mut self, len: u64) {
        self.words.resize(words(len), 0);
    }

    fn index(&self, addr: u64) -> usize {
        usize::try_from((addr - self.base) / PAGE).expect("usize is 64 bits wide")
    }

    /// The pages of `start..end` may hold data from now on.
    pub(super) fn mark(&mut self, start: u64, end: u64) {
        for page in self.index(start)..self.index(end) {
            self.words[page / 64] |= 1 << (page % 64);
        }
    }

    /// Calls `zero(addr, len)` for each run of marked pages in `start..end` and unmarks them.
    pub(super) fn sweep(&mut self, start: u64, end: u64, mut zero: impl FnMut(u64, u64)) {
        let last = self.index(end);
        let mut page = self.index(start);
        while page < last {
            if page.is_multiple_of(64) && self.words[page / 64] == 0 {
                page += 64;
                continue;
            }
            let run = page;
            while page < last && self.words[page / 64] >> (page % 64) & 1 == 1 {
                self.words[page / 64] &= !(1 << (page % 64));
                page += 1;
            }
            if page > run {
                zero(self.base + run as u64 * PAGE, (page - run) as u64 * PAGE);
            } else {
                page += 1;
            }
        }
    }
}

/// How many words have a bit for every page of `len` bytes.
fn words(len: u64) -> usize {
    usize::try_from(len / PAGE).expect("usize is 64 bits wide").div_ceil(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_swept_once() {
        let mut dirty = Dirty::new(0x20_0000, 300 * PAGE);
        let at = |page: u64| 0x20_0000 + page * PAGE;
        dirty.mark(at(60), at(70));
        dirty.mark(at(299), at(300));
        let mut runs = Vec::new();
        dirty.sweep(at(0), at(65), |addr, len| runs.push((addr, len)));
        assert_eq!(runs, [(at(60), 5 * PAGE)]);
        runs.clear();
        dirty.sweep(at(0), at(300), |addr, len| runs.push((addr, len)));
        assert_eq!(runs, [(at(65), 5 * PAGE), (at(299), PAGE)]);
        runs.clear();
        dirty.sweep(at(0), at(300), |addr, len| runs.push((addr, len)));
        assert!(runs.is_empty());
    }
}
