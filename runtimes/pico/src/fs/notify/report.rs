//! What happens to files, told to those who watch them or the directory they are in.

use super::{Event, Identity, Key};
use crate::errno::Result;
use crate::file::OpenFile;
use crate::fs::Location;
use crate::fs::attributes::is_dir;
use crate::fs::memory::Inode;
use crate::kernel::Kernel;
use linux_raw_sys::general::{self as c, stat as Stat};

/// `IN_ISDIR` for a directory.
fn dir_flag(stat: &Stat) -> u32 {
    if is_dir(stat.st_mode) { c::IN_ISDIR } else { 0 }
}

impl Kernel {
    /// Whether anybody watches anything. All that follows costs something only then.
    pub fn is_watched(&self) -> bool {
        self.vfs.notifier.is_active()
    }

    /// Something happened to a file at the canonical path `path`: told to those who watch its directory, and to those who
    /// watch it. If it was moved since it was opened, only to the latter.
    fn tell_both(&self, file: Identity, path: &[u8], mask: u32) {
        if let Ok(Some((parent, name))) = self.place_in_tree(file, path) {
            self.vfs.notifier.tell(parent, &Event { mask, cookie: 0, name, unlinked: file.unlinked });
        }
        self.vfs.notifier.tell(file.key, &Event::plain(mask));
    }

    /// The directory that has the file at `path`, or had it to the end, and the name.
    fn place_in_tree<'a>(&self, file: Identity, path: &'a [u8]) -> Result<Option<(Key, &'a [u8])>> {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        if !path.starts_with(b"/") || name.is_empty() {
            return Ok(None);
        }
        let parent = self.parent_of(path)?;
        let there = parent.child(self, name)?;
        let is_it =
            there.is_some_and(|there| there.stat().is_ok_and(|stat| Identity::of(&stat).key == file.key));
        Ok(if is_it || file.unlinked { Some((Identity::of(&parent.stat()?).key, name)) } else { None })
    }

    /// Something happened to an open file: `IN_ACCESS`, `IN_MODIFY`, `IN_OPEN`.
    pub fn tell_open(&self, open: &OpenFile, mask: u32) {
        if !self.is_watched() || open.path.is_empty() {
            return;
        }
        if let Ok(stat) = open.file.stat() {
            self.tell_both(Identity::of(&stat), open.path.as_bytes(), mask | dir_flag(&stat));
        }
    }

    /// Something happened to what is at `location`: `IN_ATTRIB`, `IN_MODIFY`.
    pub fn tell_at(&self, location: &Location, mask: u32) {
        if !self.is_watched() {
            return;
        }
        if let (Ok(stat), Ok(path)) = (location.stat(), location.path(self)) {
            self.tell_both(Identity::of(&stat), &path, mask | dir_flag(&stat));
        }
    }

    /// `name` in `directory` has come or gone: `IN_CREATE`, `IN_DELETE`.
    pub fn tell_name(&self, directory: &Inode, name: &[u8], is_dir: bool, mask: u32) {
        let mask = mask | if is_dir { c::IN_ISDIR } else { 0 };
        self.vfs.notifier.tell(directory.key(), &Event { mask, cookie: 0, name, unlinked: false });
    }

    /// The number of names of a file has changed.
    pub fn tell_links(&self, inode: &Inode) {
        self.vfs.notifier.lost_a_name();
        if !inode.is_dir() {
            self.vfs.notifier.tell(inode.key(), &Event::plain(c::IN_ATTRIB));
        }
    }

    /// `inode` was moved.
    pub fn tell_move(&self, from: (&Inode, &[u8]), to: (&Inode, &[u8]), inode: &Inode, over: Option<&Inode>) {
        let notifier = &self.vfs.notifier;
        let (cookie, dir) = (notifier.cookie(), if inode.is_dir() { c::IN_ISDIR } else { 0 });
        notifier.tell(
            from.0.key(),
            &Event { mask: c::IN_MOVED_FROM | dir, cookie, name: from.1, unlinked: false },
        );
        notifier.tell(to.0.key(), &Event { mask: c::IN_MOVED_TO | dir, cookie, name: to.1, unlinked: false });
        if let Some(over) = over {
            self.tell_links(over);
        }
        notifier.tell(inode.key(), &Event::plain(c::IN_MOVE_SELF));
    }

    /// At the end of a system call, and of a process: tells of open files that were closed and of files that are gone.
    pub fn settle_watches(&mut self) {
        if !self.vfs.notifier.is_stale() {
            return;
        }
        let closed = self.vfs.notifier.closed.take();
        for file in &closed {
            self.tell_both(file.file, file.path.as_bytes(), file.mask);
        }
        self.vfs.notifier.reap();
        self.threads.note_change();
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let Some(notifier) = self.notifier.as_ref().filter(|notifier| notifier.is_active()) else { return };
        let flags = self.flags.get();
        if flags & c::O_PATH != 0 {
            return;
        }
        let wrote = flags & c::O_ACCMODE != c::O_RDONLY;
        if let Ok(stat) = self.file.stat() {
            let mask = if wrote { c::IN_CLOSE_WRITE } else { c::IN_CLOSE_NOWRITE } | dir_flag(&stat);
            notifier.closed(Identity::of(&stat), mask, &self.path);
        }
    }
}
