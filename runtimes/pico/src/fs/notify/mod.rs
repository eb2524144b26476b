//! inotify(7): who watches what, and events for them.
//!
//! A watched file is known by its file system and number, so files themselves know nothing of watches, and a tree without
//! watches pays one look at [`Notifier::is_active`]. Whoever changes something says so with the functions in [`report`].

mod queue;
mod report;
#[cfg(test)]
mod tests;

pub use queue::Inotify;

use crate::errno::{Errno, Result};
use crate::fs::memory::Inode;
use crate::net::budget::Budget;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general as c;

/// Most inotify descriptions of all processes (`max_user_instances`), then `EMFILE`.
pub const INSTANCES_MAX: usize = 128;
/// Most watches of all of them together (`max_user_watches`), then `ENOSPC`.
pub const WATCHES_MAX: usize = 4096;
/// Most events of one description that wait to be read (`max_queued_events`), then `IN_Q_OVERFLOW`.
pub const EVENTS_MAX: usize = 4096;
/// Most bytes of pico's own memory for events of all descriptions, then `IN_Q_OVERFLOW`.
pub const EVENT_BYTES_MAX: usize = 256 << 10;

/// What no other file has: its file system and its number there.
pub type Key = (u64, u64);

/// A file, and whether it has lost its last name.
#[derive(Clone, Copy)]
pub struct Identity {
    key: Key,
    unlinked: bool,
}

impl Identity {
    fn of(stat: &c::stat) -> Self {
        Self { key: (stat.st_dev, stat.st_ino), unlinked: stat.st_nlink == 0 }
    }
}

/// A file that is watched.
struct Watch {
    wd: i32,
    key: Key,
    mask: u32,
    /// The file, if it lies in memory: when it is gone, so is the watch.
    inode: Option<Weak<Inode>>,
}

/// Something that happened to a file.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// `IN_*`, with `IN_ISDIR` if it is a directory.
    pub mask: u32,
    /// What joins the two parts of a move.
    pub cookie: u32,
    /// The name in the watched directory, if that is what is watched.
    pub name: &'a [u8],
    /// It is an open file, whose name is no longer there.
    pub unlinked: bool,
}

impl Event<'_> {
    /// Something without a name.
    pub fn plain(mask: u32) -> Self {
        Self { mask, cookie: 0, name: b"", unlinked: false }
    }
}

/// An open file that was closed, to be told of when the system call is over.
struct Closed {
    file: Identity,
    mask: u32,
    path: String,
}

/// All watches of all processes.
pub struct Notifier {
    instances: RefCell<Vec<Weak<Inotify>>>,
    watches: Budget,
    bytes: Budget,
    last_cookie: Cell<u32>,
    closed: RefCell<Vec<Closed>>,
    /// Files may be gone that somebody watches.
    stale: Cell<bool>,
}

impl Default for Notifier {
    fn default() -> Self {
        Self {
            instances: RefCell::default(),
            watches: Budget::new(WATCHES_MAX),
            bytes: Budget::new(EVENT_BYTES_MAX),
            last_cookie: Cell::new(0),
            closed: RefCell::default(),
            stale: Cell::new(false),
        }
    }
}

impl Notifier {
    /// Whether anything is watched.
    pub fn is_active(&self) -> bool {
        self.watches.left() < WATCHES_MAX
    }

    /// A new description.
    pub fn instance(&self) -> Result<Rc<Inotify>> {
        let mut instances = self.instances.borrow_mut();
        instances.retain(|instance| instance.strong_count() > 0);
        if instances.len() >= INSTANCES_MAX {
            return Err(Errno::EMFILE);
        }
        let instance = Rc::new(Inotify::new(self.watches.clone(), self.bytes.clone()));
        instances.push(Rc::downgrade(&instance));
        Ok(instance)
    }

    /// A number for the two parts of a move.
    pub fn cookie(&self) -> u32 {
        let next = self.last_cookie.get().wrapping_add(1).max(1);
        self.last_cookie.set(next);
        next
    }

    /// Tells those who watch `key`.
    pub fn tell(&self, key: Key, event: &Event<'_>) {
        let instances: Vec<_> = self.instances.borrow().iter().filter_map(Weak::upgrade).collect();
        instances.iter().for_each(|instance| instance.tell(key, event));
    }

    /// Notes that the last descriptor of an open file is gone.
    pub fn closed(&self, file: Identity, mask: u32, path: &str) {
        self.closed.borrow_mut().push(Closed { file, mask, path: path.into() });
        self.stale.set(true);
    }

    /// Notes that a file has lost a name: perhaps it is gone.
    pub fn lost_a_name(&self) {
        self.stale.set(true);
    }

    /// Whether [`Kernel::settle_watches`](crate::kernel::Kernel::settle_watches) has something to do.
    pub fn is_stale(&self) -> bool {
        self.stale.get()
    }

    /// Tells of files that are gone.
    fn reap(&self) {
        self.stale.set(false);
        let instances: Vec<_> = self.instances.borrow().iter().filter_map(Weak::upgrade).collect();
        instances.iter().for_each(|instance| instance.reap());
    }
}

/// What a watch may ask for, beside events.
const OPTIONS: u32 = c::IN_ONLYDIR
    | c::IN_DONT_FOLLOW
    | c::IN_EXCL_UNLINK
    | c::IN_MASK_ADD
    | c::IN_MASK_CREATE
    | c::IN_ONESHOT;
/// What comes unasked.
const ALWAYS: u32 = c::IN_ISDIR | c::IN_UNMOUNT | c::IN_Q_OVERFLOW | c::IN_IGNORED;

/// Whether inotify_add_watch(2) takes `mask`.
pub fn check_mask(mask: u32) -> Result<()> {
    let known = mask & !(c::IN_ALL_EVENTS | OPTIONS | ALWAYS) == 0;
    let both = c::IN_MASK_ADD | c::IN_MASK_CREATE;
    if known && mask != 0 && mask & both != both { Ok(()) } else { Err(Errno::EINVAL) }
}
