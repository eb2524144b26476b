//! One inotify description: its watches, and the events that wait to be read.

use super::{EVENTS_MAX, Event, Key, Watch};
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::fs::memory::Inode;
use crate::net::budget::Budget;
use crate::net::{anonymous_stat, next_inode};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Weak;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general as c;
use linux_raw_sys::ioctl::FIONREAD;

/// Bytes of `struct inotify_event` without the name.
const HEADER: usize = 16;

/// An event that waits.
#[derive(PartialEq, Eq)]
struct Queued {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: Box<[u8]>,
}

impl Queued {
    /// Bytes that reading it takes: names end with at least one zero and fill multiples of the header.
    fn len(&self) -> usize {
        HEADER + if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) }
    }

    /// Bytes of pico's own memory.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.name.len()
    }

    fn write(&self, target: &mut [u8]) {
        target.fill(0);
        let len = u32::try_from(target.len() - HEADER).expect("a name is short");
        for (at, word) in [self.wd.cast_unsigned(), self.mask, self.cookie, len].into_iter().enumerate() {
            target[at * 4..at * 4 + 4].copy_from_slice(&word.to_ne_bytes());
        }
        target[HEADER..HEADER + self.name.len()].copy_from_slice(&self.name);
    }
}

/// The description.
pub struct Inotify {
    watches: RefCell<Vec<Watch>>,
    last_wd: Cell<i32>,
    events: RefCell<VecDeque<Queued>>,
    activity: Cell<u64>,
    /// Watches there can still be, of all descriptions.
    room: Budget,
    /// Bytes there can still be, of all descriptions.
    bytes: Budget,
    inode: u64,
}

impl Inotify {
    pub(super) fn new(room: Budget, bytes: Budget) -> Self {
        Self {
            watches: RefCell::default(),
            last_wd: Cell::new(0),
            events: RefCell::default(),
            activity: Cell::new(0),
            room,
            bytes,
            inode: next_inode(),
        }
    }

    /// Watches the file `key`, or changes its watch, and returns the watch's number.
    pub fn watch(&self, key: Key, inode: Option<Weak<Inode>>, mask: u32) -> Result<i32> {
        let mut watches = self.watches.borrow_mut();
        let kept = mask & (c::IN_ALL_EVENTS | c::IN_ONESHOT | c::IN_EXCL_UNLINK);
        if let Some(watch) = watches.iter_mut().find(|watch| watch.key == key) {
            if mask & c::IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            watch.mask = if mask & c::IN_MASK_ADD != 0 { watch.mask | kept } else { kept };
            return Ok(watch.wd);
        }
        let wd = self.last_wd.get().checked_add(1).ok_or(Errno::ENOSPC)?;
        self.room.take(1).map_err(|_| Errno::ENOSPC)?;
        self.last_wd.set(wd);
        watches.push(Watch { wd, key, mask: kept, inode });
        Ok(wd)
    }

    /// Ends a watch.
    pub fn unwatch(&self, wd: i32) -> Result<()> {
        let mut watches = self.watches.borrow_mut();
        let at = watches.iter().position(|watch| watch.wd == wd).ok_or(Errno::EINVAL)?;
        watches.remove(at);
        drop(watches);
        self.ended(wd);
        Ok(())
    }

    fn ended(&self, wd: i32) {
        self.room.give(1);
        self.push(wd, &Event::plain(c::IN_IGNORED));
    }

    /// Queues an event if `key` is watched for it.
    pub(super) fn tell(&self, key: Key, event: &Event<'_>) {
        let found = self.watches.borrow().iter().find(|watch| watch.key == key).map(|w| (w.wd, w.mask));
        let is_asked_for = |mask: u32| {
            mask & event.mask & c::IN_ALL_EVENTS != 0 && !(event.unlinked && mask & c::IN_EXCL_UNLINK != 0)
        };
        let Some((wd, mask)) = found.filter(|&(_, mask)| is_asked_for(mask)) else { return };
        self.push(wd, event);
        if mask & c::IN_ONESHOT != 0 {
            // It was there a moment ago.
            let _ = self.unwatch(wd);
        }
    }

    /// Ends the watches of files that are gone.
    pub(super) fn reap(&self) {
        let is_gone = |watch: &Watch| watch.inode.as_ref().is_some_and(|inode| inode.strong_count() == 0);
        let mut gone = Vec::new();
        self.watches.borrow_mut().retain(|watch| {
            if is_gone(watch) {
                gone.push((watch.wd, watch.mask));
            }
            !is_gone(watch)
        });
        for (wd, mask) in gone {
            if mask & c::IN_DELETE_SELF != 0 {
                self.push(wd, &Event::plain(c::IN_DELETE_SELF));
            }
            self.ended(wd);
        }
    }

    /// Queues an event. One that is equal to the last one is not told twice; what finds no room is told as
    /// `IN_Q_OVERFLOW`, once.
    fn push(&self, wd: i32, event: &Event<'_>) {
        let Event { mask, cookie, name, .. } = *event;
        let mut events = self.events.borrow_mut();
        let queued = Queued { wd, mask, cookie, name: name.into() };
        if events.back() == Some(&queued) && mask & c::IN_IGNORED == 0 {
            return;
        }
        self.activity.set(self.activity.get() + 1);
        if events.len() < EVENTS_MAX && self.bytes.take(queued.cost()).is_ok() {
            events.push_back(queued);
            return;
        }
        let lost = Queued { wd: -1, mask: c::IN_Q_OVERFLOW, cookie: 0, name: Box::default() };
        if events.back() != Some(&lost) {
            // It is one for each description, which the limit on descriptions bounds.
            events.push_back(lost);
        }
    }

    /// Gives back what an event took.
    fn refund(&self, event: &Queued) {
        if event.mask & c::IN_Q_OVERFLOW == 0 {
            self.bytes.give(event.cost());
        }
    }
}

impl File for Inotify {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut events = self.events.borrow_mut();
        let mut done = 0;
        while let Some(event) = events.front() {
            let Some(target) = buf.get_mut(done..done + event.len()) else { break };
            event.write(target);
            done += event.len();
            self.refund(event);
            events.pop_front();
        }
        match (done, events.is_empty()) {
            (0, true) => Err(Errno::EAGAIN),
            (0, false) => Err(Errno::EINVAL),
            _ => Ok(done),
        }
    }

    fn write(&self, _offset: u64, _buf: &[u8]) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn stat(&self) -> Result<c::stat> {
        Ok(anonymous_stat(0o600, self.inode))
    }

    fn ready(&self) -> Ready {
        if self.events.borrow().is_empty() { Ready::empty() } else { Ready::IN }
    }

    fn activity(&self) -> u64 {
        self.activity.get()
    }

    fn ioctl(&self, command: u32, _argument: u64) -> Result<u64> {
        match command {
            FIONREAD => Ok(self.events.borrow().iter().map(Queued::len).sum::<usize>() as u64),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        self.room.give(self.watches.get_mut().len());
        let events = self.events.take();
        events.iter().for_each(|event| self.refund(event));
    }
}
