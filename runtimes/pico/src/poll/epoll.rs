//! epoll(7): a set of files to wait for.
//!
//! The set holds its files weakly: a file whose last descriptor is closed falls out. Edge-triggered entries are
//! reported when the file's [`File::activity`] has moved since they were last reported.

use super::{ALWAYS, INCOMING, Sources, event_bits};
use crate::errno::{Errno, Result};
use crate::file::{File, OpenFile, Ready};
use crate::net::budget::Budget;
use crate::net::{anonymous_stat, next_inode};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general as c;
use linux_raw_sys::general::stat as Stat;

/// Most entries in all sets together (`/proc/sys/fs/epoll/max_user_watches`).
pub const WATCHES_MAX: usize = 4096;

/// Bits of an interest that are not events.
const MODES: u32 = c::EPOLLET | c::EPOLLONESHOT | c::EPOLLWAKEUP | c::EPOLLEXCLUSIVE;

/// What the program wants to know about a file, and what it wants to be told with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Events; in an interest, modes as well.
    pub events: u32,
    /// The program's own value.
    pub data: u64,
}

struct Item {
    open: Weak<OpenFile>,
    fd: u64,
    interest: Event,
    /// Not reported since it was added or changed.
    fresh: bool,
    /// One-shot, and reported.
    spent: bool,
    /// Activity of the file when it was last reported.
    seen: u64,
}

impl Item {
    fn is(&self, fd: u64, open: &Rc<OpenFile>) -> bool {
        self.fd == fd && core::ptr::eq(self.open.as_ptr(), Rc::as_ptr(open))
    }

    /// Events to report now, and the activity they stand for.
    fn events(&self, open: &OpenFile) -> Option<(u32, u64)> {
        if self.spent {
            return None;
        }
        let wanted = self.interest.events & !MODES | ALWAYS;
        let events = event_bits(open.file.ready()) & wanted;
        let activity = open.file.activity();
        let edge = self.interest.events & c::EPOLLET != 0;
        let news = !edge || self.fresh || activity != self.seen;
        (events != 0 && news).then_some((events, activity))
    }

    fn incoming(&self) -> bool {
        !self.spent && self.interest.events & INCOMING != 0
    }
}

/// The set.
pub struct Epoll {
    items: RefCell<Vec<Item>>,
    /// Where the next report starts, so that no file is starved.
    turn: Cell<usize>,
    budget: Budget,
    inode: u64,
}

impl Epoll {
    /// An empty set whose entries count against `budget`.
    pub fn new(budget: Budget) -> Self {
        Self { items: RefCell::default(), turn: Cell::new(0), budget, inode: next_inode() }
    }

    /// `EPOLL_CTL_ADD`.
    pub fn add(&self, fd: u64, open: &Rc<OpenFile>, interest: Event) -> Result<()> {
        self.prune();
        let mut items = self.items.borrow_mut();
        if items.iter().any(|item| item.is(fd, open)) {
            return Err(Errno::EEXIST);
        }
        self.budget.take(1).map_err(|_| Errno::ENOSPC)?;
        items.push(Item { open: Rc::downgrade(open), fd, interest, fresh: true, spent: false, seen: 0 });
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    pub fn modify(&self, fd: u64, open: &Rc<OpenFile>, interest: Event) -> Result<()> {
        let mut items = self.items.borrow_mut();
        let item = items.iter_mut().find(|item| item.is(fd, open)).ok_or(Errno::ENOENT)?;
        if item.interest.events & c::EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        item.interest = interest;
        item.fresh = true;
        item.spent = false;
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    pub fn remove(&self, fd: u64, open: &Rc<OpenFile>) -> Result<()> {
        let mut items = self.items.borrow_mut();
        let at = items.iter().position(|item| item.is(fd, open)).ok_or(Errno::ENOENT)?;
        items.remove(at);
        self.budget.give(1);
        Ok(())
    }

    /// Up to `max` events that are due now; they count as reported. Tells the files the time, and `sources` the files.
    pub fn report(&self, max: usize, now: u64, sources: &mut Sources) -> Vec<Event> {
        self.prune();
        let mut items = self.items.borrow_mut();
        let mut report = Vec::new();
        let count = items.len();
        let start = self.turn.get();
        for step in 0..count {
            let at = (start + step) % count;
            let item = &mut items[at];
            let Some(open) = item.open.upgrade() else { continue };
            open.file.tick(now);
            sources.add(&open, item.incoming());
            let Some((events, activity)) = item.events(&open) else { continue };
            item.seen = activity;
            item.fresh = false;
            item.spent = item.interest.events & c::EPOLLONESHOT != 0;
            report.push(Event { events, data: item.interest.data });
            if report.len() == max {
                self.turn.set((at + 1) % count);
                break;
            }
        }
        report
    }

    /// Drops entries whose file is closed.
    fn prune(&self) {
        let mut items = self.items.borrow_mut();
        let before = items.len();
        items.retain(|item| item.open.strong_count() > 0);
        self.budget.give(before - items.len());
    }

    /// The files in the set and whether each is waited for to become readable.
    fn files(&self) -> Vec<(Rc<OpenFile>, bool)> {
        let items = self.items.borrow();
        items.iter().filter_map(|item| Some((item.open.upgrade()?, item.incoming()))).collect()
    }
}

impl File for Epoll {
    fn stat(&self) -> Result<Stat> {
        Ok(anonymous_stat(0o600, self.inode))
    }

    fn ready(&self) -> Ready {
        let items = self.items.borrow();
        let due =
            items.iter().any(|item| item.open.upgrade().is_some_and(|open| item.events(&open).is_some()));
        if due { Ready::IN } else { Ready::empty() }
    }

    fn tick(&self, now: u64) {
        self.files().iter().for_each(|(open, _)| open.file.tick(now));
    }

    fn wakes_at(&self) -> Option<u64> {
        self.files().iter().filter_map(|(open, _)| open.file.wakes_at()).min()
    }

    fn takes_request(&self) -> bool {
        self.files().iter().any(|(open, incoming)| *incoming && open.file.takes_request())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        self.budget.give(self.items.borrow().len());
    }
}
