//! Directories in memory, and what makes and removes names in them.

use super::{Body, Data, Inode, NAME_COST_BYTES};
use crate::errno::{Errno, Result};
use crate::fs::attributes::Time;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;

/// One name.
struct Entry {
    inode: Rc<Inode>,
    /// Place in listings. It never changes, so that a listing goes on correctly while names come and go.
    place: u64,
}

/// The names in a directory.
#[derive(Default)]
pub struct Directory {
    /// The directory it is in; nothing for a root and for a directory that was removed.
    pub(super) parent: Weak<Inode>,
    /// Its name there.
    pub(super) name: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Entry>,
    last_place: u64,
}

impl Directory {
    /// Number of names, without `.` and `..`.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What `name` is.
    pub fn get(&self, name: &[u8]) -> Option<Rc<Inode>> {
        self.entries.get(name).map(|entry| entry.inode.clone())
    }

    /// The last place there is: names that come later have later ones.
    pub fn last_place(&self) -> u64 {
        self.last_place
    }

    /// The names with places from `first` to `last`, in the order of their places.
    pub fn list(&self, first: u64, last: u64) -> Vec<(u64, Vec<u8>, Rc<Inode>)> {
        let within = self.entries.iter().filter(|(_, entry)| (first..=last).contains(&entry.place));
        let mut listed: Vec<_> =
            within.map(|(name, entry)| (entry.place, name.clone(), entry.inode.clone())).collect();
        listed.sort_by_key(|&(place, ..)| place);
        listed
    }
}

/// Names of a directory are changed through its inode, whose times and link count change with them.
impl Inode {
    /// Gives the free name `name` to `inode`, at the end of listings.
    pub(super) fn enter(self: &Rc<Self>, name: &[u8], inode: &Rc<Self>, now: Time) -> Result<()> {
        self.enter_at(None, name, inode, now)
    }

    /// As `enter`, at the place `kept`, which the name had before.
    pub(super) fn enter_at(
        self: &Rc<Self>,
        kept: Option<u64>,
        name: &[u8],
        inode: &Rc<Self>,
        now: Time,
    ) -> Result<()> {
        self.pool.charge(NAME_COST_BYTES + name.len())?;
        let mut directory = self.directory()?.borrow_mut();
        let place = kept.unwrap_or(directory.last_place + 1);
        directory.last_place = directory.last_place.max(place);
        directory.entries.insert(name.to_vec(), Entry { inode: inode.clone(), place });
        drop(directory);
        if let Body::Directory(child) = inode.body() {
            let mut child = child.borrow_mut();
            child.parent = Rc::downgrade(self);
            child.name = name.to_vec();
            self.nlink.set(self.nlink.get() + 1);
        }
        self.modified(now);
        inode.ctime.set(now);
        Ok(())
    }

    /// Takes the name `name` away and returns what had it. Its link count stays as it is.
    pub(super) fn leave(&self, name: &[u8], now: Time) -> Result<Rc<Self>> {
        let entry = self.directory()?.borrow_mut().entries.remove(name).ok_or(Errno::ENOENT)?;
        self.pool.refund(NAME_COST_BYTES + name.len());
        if let Body::Directory(child) = entry.inode.body() {
            child.borrow_mut().parent = Weak::new();
            self.nlink.set(self.nlink.get() - 1);
        }
        self.modified(now);
        entry.inode.ctime.set(now);
        Ok(entry.inode)
    }

    /// Place of `name` in listings, if there is that name.
    pub(super) fn place_of(&self, name: &[u8]) -> Result<Option<u64>> {
        Ok(self.directory()?.borrow().entries.get(name).map(|entry| entry.place))
    }

    /// Exchanges what two names in two directories are.
    pub(super) fn swap(
        self: &Rc<Self>,
        name: &[u8],
        other: &Rc<Self>,
        other_name: &[u8],
        now: Time,
    ) -> Result<()> {
        let (place, other_place) = (self.place_of(name)?, other.place_of(other_name)?);
        let (one, two) = (self.leave(name, now)?, other.leave(other_name, now)?);
        self.enter_at(place, name, &two, now)?;
        other.enter_at(other_place, other_name, &one, now)
    }

    /// Another name for a file: link(2).
    pub fn link(self: &Rc<Self>, name: &[u8], inode: &Rc<Self>, now: Time) -> Result<()> {
        if inode.is_dir() {
            return Err(Errno::EPERM);
        }
        self.must_be_free(name)?;
        self.enter(name, inode, now)?;
        inode.nlink.set(inode.nlink.get() + 1);
        Ok(())
    }

    fn must_be_free(&self, name: &[u8]) -> Result<()> {
        if self.directory()?.borrow().get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.is_deleted() { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Takes a file's name away: unlink(2).
    pub fn unlink(&self, name: &[u8], now: Time) -> Result<()> {
        let inode = self.directory()?.borrow().get(name).ok_or(Errno::ENOENT)?;
        if inode.is_dir() {
            return Err(Errno::EISDIR);
        }
        self.leave(name, now)?;
        inode.nlink.set(inode.nlink.get() - 1);
        Ok(())
    }

    /// Removes an empty directory: rmdir(2).
    pub fn remove_dir(&self, name: &[u8], now: Time) -> Result<()> {
        let inode = self.directory()?.borrow().get(name).ok_or(Errno::ENOENT)?;
        if !inode.directory()?.borrow().is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.leave(name, now)?;
        inode.nlink.set(0);
        Ok(())
    }

    /// Path from the root of the file system, empty for the root; `ENOENT` if it was removed.
    pub fn path(&self) -> Result<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut above = {
            let directory = self.directory()?.borrow();
            if self.is_deleted() {
                return Err(Errno::ENOENT);
            }
            names.push(directory.name.clone());
            directory.parent.upgrade()
        };
        while let Some(inode) = above {
            let directory = inode.directory()?.borrow();
            names.push(directory.name.clone());
            above = directory.parent.upgrade();
        }
        names.pop();
        Ok(names.iter().rev().flat_map(|name| [b"/", name.as_slice()].concat()).collect())
    }
}

/// Makes something new called `name` in the directory `parent`.
pub fn make(parent: &Rc<Inode>, name: &[u8], body: Body, mode: u32, now: Time) -> Result<Rc<Inode>> {
    parent.must_be_free(name)?;
    let inode = Inode::new(&parent.pool, parent.dev, body, mode, now)?;
    parent.enter(name, &inode, now)?;
    if !inode.is_dir() {
        inode.nlink.set(1);
    }
    Ok(inode)
}

impl Body {
    /// An empty file.
    pub fn file() -> Self {
        Self::File(RefCell::new(Data::default()))
    }

    /// An empty directory.
    pub fn directory() -> Self {
        Self::Directory(RefCell::new(Directory::default()))
    }
}

impl Inode {
    /// A file without a name, in the file system of this directory: `O_TMPFILE`.
    pub fn nameless(&self, mode: u32, now: Time) -> Result<Rc<Self>> {
        self.directory()?;
        Self::new(&self.pool, self.dev, Body::file(), mode, now)
    }
}
