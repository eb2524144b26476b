//! System V shared memory: files in memory without names, known by number.

use crate::errno::{Errno, Result};
use crate::fs::memory::Inode;
use crate::kernel::Kernel;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;

/// Most segments there can be.
pub const SEGMENTS_MAX: usize = 256;

/// The file of a segment.
enum Contents {
    /// It lives until it is removed.
    Kept(Rc<Inode>),
    /// It was removed, and lives as long as it is mapped.
    Removed(Weak<Inode>),
}

/// One segment.
pub struct Segment {
    /// What it is known by to who made it.
    pub id: u32,
    /// What it is found by; 0: by nothing.
    pub key: u32,
    /// Bytes, as asked for.
    pub size: u64,
    /// Who made it.
    pub creator: Access,
    /// Whose it is.
    pub access: Access,
    /// Seconds: mapped, unmapped, changed last.
    pub times: [i64; 3],
    /// Processes: who made it, who used it last.
    pub pids: [u32; 2],
    contents: Contents,
}

/// Owner and permissions.
#[derive(Clone, Copy)]
pub struct Access {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
}

impl Segment {
    /// What lies in it; nothing if it is gone.
    pub fn inode(&self) -> Option<Rc<Inode>> {
        match &self.contents {
            Contents::Kept(inode) => Some(inode.clone()),
            Contents::Removed(inode) => inode.upgrade(),
        }
    }

    /// Whether it is gone once nobody has it mapped.
    pub fn is_removed(&self) -> bool {
        matches!(self.contents, Contents::Removed(_))
    }

    /// Nobody finds it any more, and it goes when nobody has it mapped.
    pub fn remove(&mut self) {
        if let Contents::Kept(inode) = &self.contents {
            self.contents = Contents::Removed(Rc::downgrade(inode));
            self.key = 0;
        }
    }
}

/// All segments.
#[derive(Default)]
pub struct Segments {
    all: Vec<Segment>,
    next: u32,
}

impl Segments {
    /// The one numbered `id`.
    pub fn get(&mut self, id: u32) -> Result<&mut Segment> {
        self.sweep();
        self.all.iter_mut().find(|segment| segment.id == id).ok_or(Errno::EINVAL)
    }

    /// The one found by `key`.
    pub fn find(&mut self, key: u32) -> Option<&Segment> {
        self.sweep();
        self.all.iter().find(|segment| key != 0 && segment.key == key)
    }

    /// The one whose contents are `inode`.
    pub fn of_inode(&mut self, inode: &Rc<Inode>) -> Option<&mut Segment> {
        self.all.iter_mut().find(|segment| segment.inode().is_some_and(|own| Rc::ptr_eq(&own, inode)))
    }

    /// Whether there can be one more.
    pub fn has_room(&mut self) -> bool {
        self.sweep();
        self.all.len() < SEGMENTS_MAX
    }

    /// A new segment, made by process `pid` at time `now`. Returns its number.
    pub fn add(&mut self, key: u32, size: u64, inode: Rc<Inode>, access: Access, pid: u32, now: i64) -> u32 {
        while self.all.iter().any(|segment| segment.id == self.next) {
            self.next = next_id(self.next);
        }
        let id = self.next;
        self.next = next_id(id);
        let contents = Contents::Kept(inode);
        let (times, pids) = ([0, 0, now], [pid, 0]);
        self.all.push(Segment { id, key, size, creator: access, access, times, pids, contents });
        id
    }

    /// Forgets those that are gone.
    fn sweep(&mut self) {
        self.all.retain(|segment| segment.inode().is_some());
    }
}

/// Numbers are positive C integers.
fn next_id(id: u32) -> u32 {
    if id < i32::MAX.unsigned_abs() { id + 1 } else { 0 }
}

impl Kernel {
    /// How often processes have `inode` mapped.
    pub(crate) fn attachments(&self, inode: &Rc<Inode>) -> u64 {
        let stored: u64 = self.processes.spaces.all_stored().map(|space| space.shared.count_of(inode)).sum();
        stored + self.vfs.shared.count_of(inode)
    }
}
