//! Files in memory (tmpfs): everything the program can write to.
//!
//! Contents lie in pages of the program's memory and count against its limit; names and inodes lie on pico's
//! heap and have a limit of their own ([`METADATA_MAX_BYTES`]). `ENOSPC` says that either is used up.

mod data;
mod directory;
mod file;
mod mapped;
mod rename;
#[cfg(test)]
mod tests;

pub use data::Data;
pub use directory::{Directory, make};
pub use file::MemoryFile;
pub use mapped::SharedMappings;
pub use rename::{Place, rename};

use super::attributes::{Attributes, Time};
use crate::errno::{Errno, Result};
use crate::mm::Mm;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFREG};

/// Most bytes of pico's heap for names and inodes of all memory file systems together.
pub const METADATA_MAX_BYTES: usize = 2 << 20;
/// What an inode costs.
pub const INODE_COST_BYTES: usize = 256;
/// What a name costs, beside its bytes.
const NAME_COST_BYTES: usize = 96;
/// What a run of pages costs.
const EXTENT_COST_BYTES: usize = 64;

/// What all memory file systems share: the account of their metadata, and pages to be given back.
#[derive(Default)]
pub struct Pool {
    metadata: Cell<usize>,
    inodes: Cell<u64>,
    last_ino: Cell<u64>,
    /// User and group of new files.
    creator: Cell<(u32, u32)>,
    /// Pages of files that are gone. Who drops the last reference to a file cannot reach the memory manager.
    trash: RefCell<Vec<&'static mut [u8]>>,
}

impl Pool {
    fn charge(&self, bytes: usize) -> Result<()> {
        let total = self.metadata.get() + bytes;
        if total > METADATA_MAX_BYTES {
            return Err(Errno::ENOSPC);
        }
        self.metadata.set(total);
        Ok(())
    }

    fn refund(&self, bytes: usize) {
        self.metadata.set(self.metadata.get().saturating_sub(bytes));
    }

    /// Gives the pages of files that are gone back to the program's memory.
    pub fn empty_trash(&self, mm: &mut Mm) {
        for pages in self.trash.take() {
            mm.free_pages(pages);
        }
    }

    /// New files belong to user `uid` and group `gid`.
    pub fn set_creator(&self, uid: u32, gid: u32) {
        self.creator.set((uid, gid));
    }

    /// Inodes there are.
    pub fn inodes(&self) -> u64 {
        self.inodes.get()
    }

    /// Inodes that can still be made, at least.
    pub fn free_inodes(&self) -> u64 {
        ((METADATA_MAX_BYTES - self.metadata.get()) / (INODE_COST_BYTES + NAME_COST_BYTES)) as u64
    }
}

/// What an inode is.
pub enum Body {
    /// A regular file.
    File(RefCell<Data>),
    /// A directory.
    Directory(RefCell<Directory>),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A socket's name or a FIFO: `S_IFSOCK` or `S_IFIFO`.
    Special(u32),
}

/// A file, directory or symbolic link.
pub struct Inode {
    pool: Rc<Pool>,
    ino: u64,
    dev: u64,
    body: Body,
    /// Permissions.
    pub mode: Cell<u32>,
    /// Owner and group.
    pub owner: Cell<(u32, u32)>,
    nlink: Cell<u32>,
    /// Last read, as set by utimensat(2): reading does not change it.
    pub atime: Cell<Time>,
    /// Last change of the contents.
    pub mtime: Cell<Time>,
    /// Last change of the metadata.
    pub ctime: Cell<Time>,
}

impl Inode {
    /// An inode without a name.
    pub fn new(pool: &Rc<Pool>, dev: u64, body: Body, mode: u32, now: Time) -> Result<Rc<Self>> {
        pool.charge(Self::cost(&body))?;
        pool.inodes.set(pool.inodes.get() + 1);
        pool.last_ino.set(pool.last_ino.get() + 1);
        Ok(Rc::new(Self {
            pool: pool.clone(),
            ino: pool.last_ino.get(),
            dev,
            nlink: Cell::new(if matches!(body, Body::Directory(_)) { 2 } else { 0 }),
            body,
            mode: Cell::new(mode & 0o7777),
            owner: Cell::new(pool.creator.get()),
            atime: Cell::new(now),
            mtime: Cell::new(now),
            ctime: Cell::new(now),
        }))
    }

    fn cost(body: &Body) -> usize {
        INODE_COST_BYTES + if let Body::Symlink(target) = body { target.len() } else { 0 }
    }

    /// What it is.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The contents of a regular file; `EISDIR` or `EINVAL` for what is none.
    pub fn data(&self) -> Result<&RefCell<Data>> {
        match &self.body {
            Body::File(data) => Ok(data),
            Body::Directory(_) => Err(Errno::EISDIR),
            Body::Symlink(_) | Body::Special(_) => Err(Errno::EINVAL),
        }
    }

    /// The names in a directory; `ENOTDIR` for what is none.
    pub fn directory(&self) -> Result<&RefCell<Directory>> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) | Body::Symlink(_) | Body::Special(_) => Err(Errno::ENOTDIR),
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    /// Whether no name is left: it lives only as long as it is open.
    pub fn is_deleted(&self) -> bool {
        self.nlink.get() == 0
    }

    /// What no other file has: its file system and its number there.
    pub fn key(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// Which memory file system it is in.
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// Metadata for stat(2).
    pub fn attributes(&self) -> Attributes {
        let (kind, size, allocated) = match &self.body {
            Body::File(data) => (S_IFREG, data.borrow().size(), data.borrow().allocated()),
            Body::Directory(directory) => (S_IFDIR, 20 * (2 + directory.borrow().len() as u64), 0),
            Body::Symlink(target) => (S_IFLNK, target.len() as u64, 0),
            Body::Special(kind) => (*kind, 0, 0),
        };
        let (uid, gid) = self.owner.get();
        Attributes {
            dev: self.dev,
            ino: self.ino,
            mode: kind | self.mode.get(),
            nlink: self.nlink.get(),
            uid,
            gid,
            rdev: 0,
            size,
            allocated,
            atime: self.atime.get(),
            mtime: self.mtime.get(),
            ctime: self.ctime.get(),
        }
    }

    /// Notes that the contents changed.
    fn modified(&self, now: Time) {
        self.mtime.set(now);
        self.ctime.set(now);
    }

    /// Makes room for `len` bytes at `offset` and says how many there is room for.
    pub fn reserve(&self, mm: &mut Mm, offset: u64, len: usize, now: Time) -> Result<usize> {
        let data = self.data()?;
        self.pool.empty_trash(mm);
        let room = data.borrow_mut().reserve(mm, &self.pool, offset, len)?;
        self.modified(now);
        Ok(room)
    }

    /// Changes the size of a file.
    pub fn resize(&self, mm: &mut Mm, size: u64, now: Time) -> Result<()> {
        self.data()?.borrow_mut().resize(mm, &self.pool, size)?;
        self.modified(now);
        Ok(())
    }

    /// fallocate(2) without flags that move contents: room for `offset..offset + len`.
    pub fn allocate(&self, mm: &mut Mm, offset: u64, len: u64, keep_size: bool, now: Time) -> Result<()> {
        let data = self.data()?;
        let end = data::checked_end(offset, len)?;
        self.pool.empty_trash(mm);
        data.borrow_mut().reserve_all(mm, &self.pool, offset, end)?;
        let size = data.borrow().size();
        if !keep_size && end > size {
            data.borrow_mut().resize(mm, &self.pool, end)?;
        }
        self.modified(now);
        Ok(())
    }

    /// `FALLOC_FL_PUNCH_HOLE`: makes `offset..offset + len` zero and gives whole pages back.
    pub fn punch(&self, mm: &mut Mm, offset: u64, len: u64, now: Time) -> Result<()> {
        let end = data::checked_end(offset, len)?;
        self.data()?.borrow_mut().punch(mm, &self.pool, offset, end)?;
        self.modified(now);
        Ok(())
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.pool.refund(Self::cost(&self.body));
        self.pool.inodes.set(self.pool.inodes.get().saturating_sub(1));
        if let Body::File(data) = &mut self.body {
            data.get_mut().discard(&self.pool);
        }
    }
}
