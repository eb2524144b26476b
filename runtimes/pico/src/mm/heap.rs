//! The program break.

use super::areas::{Area, Kind};
use super::{DATA, Mm, round_up};
use crate::errno::Result;
use abi::layout::PAGE;

impl Mm {
    /// Sets where the heap starts: right behind the program's image.
    pub fn start_heap(&mut self, addr: u64) -> Result<()> {
        self.brk_start = round_up(addr)?;
        self.brk = self.brk_start;
        Ok(())
    }

    /// brk(2): moves the program break to `addr` if possible, and returns where it is. A break that merely runs into
    /// a mapping is not counted as refused memory: allocators then take memory elsewhere.
    pub fn brk(&mut self, addr: u64) -> u64 {
        if addr < self.brk_start {
            return self.brk;
        }
        let refused = self.refused.get();
        if addr <= self.end() && self.move_brk(addr).is_ok() {
            self.brk = addr;
        } else {
            self.refused.set(refused || self.used().saturating_add(addr - self.brk) > self.len);
        }
        self.brk
    }

    fn move_brk(&mut self, addr: u64) -> Result<()> {
        let (old, new) = (round_up(self.brk)?, round_up(addr)?);
        if new < old {
            self.discard(new, old);
        } else if new > old {
            let area =
                Area { start: old, end: new, prot: DATA, kind: Kind::Heap, reserved: false, file: None };
            self.place(area)?;
        }
        if addr < self.brk {
            // What is left of the last page must read as zero when the break comes back.
            self.clear(addr, new)?;
        }
        Ok(())
    }

    /// Fills `start..end`, a part of a page, with zeros.
    fn clear(&self, start: u64, end: u64) -> Result<()> {
        if start == end || !self.is_paged(start) {
            let closed = self.open_closed(start, end);
            self.raw(start, end - start).fill(0);
            if closed {
                self.close_again(start / PAGE * PAGE, end);
            }
            return Ok(());
        }
        self.own(start, end)?;
        if let Some(page) = self.sparse.borrow().page(self, start / PAGE * PAGE) {
            self.raw(page + start % PAGE, end - start).fill(0);
        }
        Ok(())
    }
}
