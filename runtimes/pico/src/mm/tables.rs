//! The processor's page tables, as a trait: the guest has them, tests record them.

use alloc::rc::Rc;
use alloc::vec::Vec;

/// Page tables of one address space: of its sparse area or, once there is more than one, of the program's addresses.
/// Addresses are multiples of a page.
pub trait PageTables {
    /// Whether `va` has a table of the lowest level.
    fn has_table(&self, va: u64) -> bool;
    /// Uses `page`, a page of the program's linear memory, as the highest table that `va` lacks. It stays one for
    /// ever: a table that came and went would have to be forgotten by whoever shadows it.
    fn add_table(&self, va: u64, page: u64);
    /// Lets `va`, which has a table, lead to `page`; with no protection at all it leads nowhere.
    fn set(&self, va: u64, page: u64, prot: u32);
    /// The same with `image`, a page of an image, which is not written to.
    fn set_image(&self, va: u64, image: u64, prot: u32);
    /// Lets the 2 MiB of linear memory at `va` lead to as much of an image, at address `image`: whether that can be. Not in
    /// tables from [`PageTables::another`].
    fn show_image(&self, va: u64, image: u64) -> bool;
    /// Lets them lead to linear memory again.
    fn show_memory(&self, va: u64);
    /// Lets `va` lead nowhere.
    fn clear(&self, va: u64);
    /// Whether the 2 MiB of linear memory around `va` have a table of the lowest level.
    fn is_split(&self, va: u64) -> bool;
    /// Gives the 2 MiB of linear memory at `va` such a table: `page` of it, for ever.
    fn split(&self, va: u64, page: u64);
    /// Lets the processor allow `prot` at `va` of linear memory, which was split; without a protection everything. Returns
    /// whether that is something else than before.
    fn allow(&self, va: u64, prot: Option<u32>) -> bool;
    /// Makes the processor forget what it remembers of entries that were changed or cleared.
    fn flush(&self);
    /// Shows all linear memory a second time, in these tables and in all that come from [`PageTables::another`]. Returns
    /// how much further up.
    fn show_again(&self) -> u64;
    /// Empty page tables for another address space; `root`, a page, becomes the highest. What is pico's is there.
    fn another(&self, root: u64) -> Rc<dyn PageTables>;
    /// The processor uses these tables from now on, and remembers nothing of others.
    fn activate(&self);
    /// All pages that tables from [`PageTables::another`] are made of.
    fn pages(&self) -> Vec<u64>;
}

#[cfg(test)]
pub(super) mod fake {
    use super::PageTables;
    use crate::mm::is_sparse;
    use abi::layout::HUGE;
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::rc::Rc;
    use alloc::vec::Vec;
    use core::cell::{Cell, RefCell};

    /// Page tables that only remember. There are none but those of the lowest level.
    #[derive(Default)]
    pub(crate) struct Fake {
        tables: RefCell<BTreeSet<u64>>,
        /// Address to page and protection.
        pub(crate) entries: RefCell<BTreeMap<u64, (u64, u32)>>,
        /// 2 MiB of linear memory that show an image.
        pub(crate) shown: RefCell<BTreeMap<u64, u64>>,
        /// How often everything was forgotten.
        pub(crate) flushes: Cell<u64>,
        /// What they are made of.
        pages: RefCell<Vec<u64>>,
        /// Tables of linear memory, by 2 MiB.
        pub(crate) splits: RefCell<BTreeMap<u64, u64>>,
        /// What is allowed there, where that is not everything.
        pub(crate) allowed: RefCell<BTreeMap<u64, u32>>,
        /// All tables that were made from these, and from those.
        pub(crate) others: Rc<RefCell<Vec<Rc<Fake>>>>,
    }

    impl PageTables for Fake {
        fn has_table(&self, va: u64) -> bool {
            self.tables.borrow().contains(&(va / HUGE))
        }

        fn add_table(&self, va: u64, page: u64) {
            assert!(!is_sparse(page), "a table is linear memory");
            assert!(self.tables.borrow_mut().insert(va / HUGE), "a second table for {va:#x}");
            self.pages.borrow_mut().push(page);
        }

        fn set(&self, va: u64, page: u64, prot: u32) {
            assert!(self.has_table(va), "no table for {va:#x}");
            if prot == 0 {
                self.clear(va);
            } else {
                self.entries.borrow_mut().insert(va, (page, prot));
            }
        }

        fn set_image(&self, va: u64, image: u64, prot: u32) {
            self.set(va, image, prot);
        }

        fn show_image(&self, va: u64, image: u64) -> bool {
            let agrees = image.is_multiple_of(HUGE);
            if agrees {
                self.shown.borrow_mut().insert(va, image);
            }
            agrees
        }

        fn show_memory(&self, va: u64) {
            assert!(self.shown.borrow_mut().remove(&va).is_some(), "{va:#x} shows no image");
        }

        fn clear(&self, va: u64) {
            self.entries.borrow_mut().remove(&va);
        }

        fn is_split(&self, va: u64) -> bool {
            self.splits.borrow().contains_key(&(va / HUGE))
        }

        fn split(&self, va: u64, page: u64) {
            assert!(va.is_multiple_of(HUGE) && !self.shown.borrow().contains_key(&va), "{va:#x}");
            assert!(self.splits.borrow_mut().insert(va / HUGE, page).is_none(), "{va:#x} was split");
        }

        fn allow(&self, va: u64, prot: Option<u32>) -> bool {
            assert!(self.is_split(va), "{va:#x} is not split");
            let mut allowed = self.allowed.borrow_mut();
            let before = match prot {
                Some(prot) => allowed.insert(va, prot),
                None => allowed.remove(&va),
            };
            before != prot
        }

        fn flush(&self) {
            self.flushes.set(self.flushes.get() + 1);
        }

        fn show_again(&self) -> u64 {
            0
        }

        fn another(&self, root: u64) -> Rc<dyn PageTables> {
            let others = self.others.clone();
            let another = Rc::new(Self { pages: RefCell::new(Vec::from([root])), others, ..Self::default() });
            self.others.borrow_mut().push(another.clone());
            another
        }

        fn activate(&self) {}

        fn pages(&self) -> Vec<u64> {
            self.pages.borrow().clone()
        }
    }
}
