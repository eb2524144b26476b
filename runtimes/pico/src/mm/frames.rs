//! Single pages for the sparse area: taken from the program's linear memory in blocks, so that they leave large gaps.

use super::Mm;
use abi::layout::PAGE;
use alloc::collections::{BTreeMap, BTreeSet};

/// Sizes of blocks in pages, tried in this order.
const BLOCK_PAGES: [u32; 4] = [64, 16, 4, 1];

/// Pages in one piece; one bit each.
struct Block {
    pages: u32,
    free: u64,
    /// Not zero any more.
    dirty: u64,
}

impl Block {
    fn all(&self) -> u64 {
        u64::MAX >> (64 - self.pages)
    }
}

/// Pages that are in use or ready to be.
#[derive(Default)]
pub(super) struct Frames {
    blocks: BTreeMap<u64, Block>,
    /// Blocks with free pages.
    open: BTreeSet<u64>,
    free: u64,
}

impl Frames {
    /// Bytes that are ready to be used.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free * PAGE
    }

    /// The blocks: where each begins and ends, and the pages of it that are in use.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, u64, impl Iterator<Item = u64> + use<>)> {
        self.blocks.iter().map(|(&start, block)| {
            let free = block.free;
            let used = (0..u64::from(block.pages)).filter(move |index| free >> index & 1 == 0);
            (start, start + u64::from(block.pages) * PAGE, used.map(move |index| start + index * PAGE))
        })
    }

    /// A zeroed page, neighbours in turn.
    pub(super) fn take(&mut self, mm: &Mm) -> Option<u64> {
        if self.open.is_empty() {
            self.grow(mm)?;
        }
        let start = *self.open.first()?;
        let block = self.blocks.get_mut(&start)?;
        let index = block.free.trailing_zeros();
        let page = start + u64::from(index) * PAGE;
        block.free &= !(1 << index);
        if block.dirty >> index & 1 == 1 {
            block.dirty &= !(1 << index);
            mm.raw(page, PAGE).fill(0);
        }
        if block.free == 0 {
            self.open.remove(&start);
        }
        self.free -= 1;
        Some(page)
    }

    fn grow(&mut self, mm: &Mm) -> Option<()> {
        let refused = mm.refused.get();
        for pages in BLOCK_PAGES {
            if let Ok(memory) = mm.alloc_pages(pages as usize) {
                let mut block = Block { pages, free: 0, dirty: 0 };
                block.free = block.all();
                let start = memory.as_ptr().expose_provenance() as u64;
                self.blocks.insert(start, block);
                self.open.insert(start);
                self.free += u64::from(pages);
                mm.refused.set(refused);
                return Some(());
            }
        }
        None
    }

    /// Takes a page back.
    pub(super) fn give(&mut self, mm: &Mm, page: u64) {
        let Some((&start, block)) = self.blocks.range_mut(..=page).next_back() else { return };
        let bit = 1 << ((page - start) / PAGE);
        debug_assert!(block.free & bit == 0, "a page is given back once");
        block.free |= bit;
        block.dirty |= bit;
        self.free += 1;
        if block.free == block.all() {
            let pages = block.pages;
            self.free -= u64::from(pages);
            self.blocks.remove(&start);
            self.open.remove(&start);
            mm.free_pages(mm.raw(start, u64::from(pages) * PAGE));
        } else {
            self.open.insert(start);
        }
    }
}
