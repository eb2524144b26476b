//! Mappings of files beyond the ends of these: whoever touches them gets `SIGBUS`. They hold no memory.

use super::Mm;
use super::areas::{Area, Kind};
use crate::errno::{Errno, Result};

impl Area {
    /// Whether it lies beyond the end of the file it maps.
    pub fn is_beyond(&self) -> bool {
        self.kind == Kind::File && self.reserved
    }

    /// What the processor may allow there.
    pub(super) fn allowed(&self) -> u32 {
        if self.is_beyond() { 0 } else { self.prot }
    }
}

impl Mm {
    /// What was just mapped in `start..end` lies beyond the end of its file. While a fork answers, page tables of linear memory
    /// stay as they are, and it is zeros.
    pub fn end_file(&mut self, start: u64, end: u64) -> Result<()> {
        if start >= end || (self.settled && !self.is_paged(start)) {
            return Ok(());
        }
        if self.is_crowded() {
            return Err(Errno::ENOMEM);
        }
        if self.is_paged(start) {
            self.sparse.borrow_mut().drop_pages(self, start, end);
        } else {
            self.split(start, end)?;
            self.close(start, end, 0);
        }
        let parts = self.areas.borrow_mut().remove(start, end);
        for part in parts {
            self.areas.borrow_mut().insert(Area { reserved: true, ..part });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::areas::{READ, WRITE};
    use super::super::fault::PageFault;
    use super::super::tables::fake::Fake;
    use super::super::{DATA, Mapping, Placement};
    use super::*;
    use abi::layout::PAGE;
    use alloc::rc::Rc;

    /// Four pages of a file of two.
    fn world(placement: Placement) -> (Mm, Rc<Fake>, u64) {
        let tables = Rc::new(Fake::default());
        let mut mm = Mm::with_tables(8 << 20, tables.clone());
        let file = Some((Rc::from("/lib/short"), 0));
        let mapping = Mapping { placement, len: 4 * PAGE, prot: DATA, kind: Kind::File, file };
        let start = mm.map(mapping).unwrap();
        mm.end_file(start + 2 * PAGE, start + 4 * PAGE).unwrap();
        (mm, tables, start)
    }

    #[test]
    fn what_lies_beyond_is_closed_whatever_is_allowed_and_costs_nothing() {
        let (mut mm, tables, start) = world(Placement::Hint(0));
        let beyond = start + 2 * PAGE;
        assert!(mm.slice_mut(start, 8192).is_ok());
        assert_eq!((mm.slice(start, 8193), mm.populate(beyond, beyond + PAGE)), (Err(Errno::EFAULT), Ok(())));
        for (prot, write, read) in [
            (DATA, PageFault::Beyond, PageFault::Beyond),
            (READ, PageFault::Refused(2), PageFault::Beyond),
            (0, PageFault::Refused(2), PageFault::Refused(2)),
            (DATA, PageFault::Beyond, PageFault::Beyond),
        ] {
            mm.protect(start, 4 * PAGE, prot).unwrap();
            assert_eq!(tables.allowed.borrow().get(&beyond), Some(&0), "{prot}");
            assert_eq!((mm.page_fault(beyond, 2), mm.page_fault(beyond, 0)), (write, read), "{prot}");
        }
        assert_eq!(mm.used(), 3 * PAGE, "two pages of a file and a table");
        mm.unmap(start, 4 * PAGE).unwrap();
        assert!(tables.allowed.borrow().is_empty());
        let data = Mapping {
            placement: Placement::Fixed(start),
            len: 4 * PAGE,
            prot: DATA,
            kind: Kind::Anonymous,
            file: None,
        };
        mm.map(data).unwrap();
        assert_eq!(mm.slice_mut(start, 16_384).map(|bytes| bytes.len()), Ok(16_384));
    }

    #[test]
    fn in_the_sparse_area_and_in_a_second_space_it_gets_no_page() {
        let at = abi::layout::SPARSE_VA;
        for placement in [Placement::Fixed(at), Placement::Hint(0)] {
            let (mut mm, _, start) = world(placement);
            let mut child = mm.copy().unwrap();
            for mm in [&mut mm, &mut child] {
                let beyond = start + 3 * PAGE;
                assert_eq!(mm.page_fault(beyond, 2), PageFault::Beyond);
                assert_eq!(mm.populate(beyond, beyond + PAGE), Err(Errno::ENOMEM));
                assert_eq!(mm.slice(beyond, 1), Err(Errno::EFAULT));
                mm.protect(beyond, PAGE, READ | WRITE).unwrap();
                assert_eq!(mm.page_fault(beyond, 0), PageFault::Beyond);
                assert_eq!(mm.page_fault(start, 0), PageFault::Resolved);
            }
            child.release();
        }
    }

    #[test]
    fn what_reaches_beyond_becomes_larger_and_smaller_in_place() {
        let (mut mm, tables, start) = world(Placement::Hint(0));
        let parts = |mm: &Mm| {
            let parts = mm.areas().filter(|area| area.kind == Kind::File);
            parts
                .map(|area| (area.start - start, area.end - start, area.is_beyond()))
                .collect::<alloc::vec::Vec<_>>()
        };
        let whole = [(0, 2 * PAGE, false), (2 * PAGE, 4 * PAGE, true)];
        assert_eq!(mm.remap(start, 4 * PAGE, 3 * PAGE, false, None), Ok(start));
        assert_eq!(parts(&mm), [whole[0], (2 * PAGE, 3 * PAGE, true)]);
        assert_eq!(mm.remap(start, 3 * PAGE, 4 * PAGE, false, None), Ok(start));
        assert_eq!(parts(&mm), whole);
        assert_eq!(tables.allowed.borrow().get(&(start + 3 * PAGE)), Some(&0));
        assert_eq!(mm.page_fault(start + 3 * PAGE, 0), PageFault::Beyond);
        assert_eq!(mm.remap(start, 4 * PAGE, PAGE, true, Some(start - 16 * PAGE)), Err(Errno::EFAULT));
        assert_eq!(mm.remap(start, 5 * PAGE, PAGE, false, None), Err(Errno::EFAULT));
        assert_eq!(mm.remap(start, 4 * PAGE, PAGE, false, None), Ok(start));
        assert_eq!(parts(&mm), [(0, PAGE, false)]);
    }
}
