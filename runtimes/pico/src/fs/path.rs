//! From a path to a place in the tree: path_resolution(7).

use super::attributes::{is_dir, is_symlink};
use super::node::{Link, Location, Node};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Longest path, its NUL included.
pub const PATH_MAX: usize = 4096;
/// Longest name in a path.
pub const NAME_MAX: usize = 255;
/// Most symbolic links followed for one path.
const LINKS_MAX: u32 = 40;

/// What to do when the last name is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Follow it.
    Follow,
    /// Follow it only if a slash comes behind it.
    Keep,
    /// Never follow it: the name itself is to be made, removed or renamed.
    Name,
}

/// How a path is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// The last name.
    pub last: Last,
    /// `RESOLVE_NO_SYMLINKS`.
    pub no_links: bool,
    /// `RESOLVE_NO_MAGICLINKS`.
    pub no_magic: bool,
    /// `RESOLVE_BENEATH`.
    pub beneath: bool,
}

impl How {
    /// Without restrictions.
    pub const fn new(last: Last) -> Self {
        Self { last, no_links: false, no_magic: false, beneath: false }
    }
}

/// The last name of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// An ordinary one.
    Normal(Vec<u8>),
    /// There is none: the path is the root.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
}

/// Where a path leads.
pub struct Found {
    /// The directory of the last name.
    pub parent: Location,
    /// The last name.
    pub name: Name,
    /// What is there, if anything.
    pub target: Option<Location>,
    /// A slash comes behind the last name: it must be a directory.
    pub slash: bool,
}

impl Found {
    /// What is there, else `ENOENT`.
    pub fn existing(self) -> Result<Location> {
        self.target.ok_or(Errno::ENOENT)
    }
}

impl Kernel {
    /// Where `path`, relative to the current directory, leads; links are followed.
    pub fn resolve(&self, path: &[u8]) -> Result<Location> {
        self.look_up(&self.vfs.place.cwd, path, How::new(Last::Follow))?.existing()
    }

    /// Where `path`, relative to `base`, leads.
    pub fn look_up(&self, base: &Location, path: &[u8], how: How) -> Result<Found> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let absolute = path[0] == b'/';
        if absolute && how.beneath {
            return Err(Errno::EXDEV);
        }
        let start = if absolute { self.vfs.mounts.root() } else { base.clone() };
        let mut walk =
            Walk { kernel: self, base, how, at: start, ahead: VecDeque::new(), slash: false, links: 0 };
        walk.push(path);
        walk.run()
    }

    /// The directory that holds the canonical path `path`; `/` holds itself.
    pub fn parent_of(&self, path: &[u8]) -> Result<Location> {
        let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let mut at = self.vfs.mounts.root();
        for name in path[..end].split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            at = at.child(self, name)?.ok_or(Errno::ENOENT)?;
        }
        Ok(at)
    }
}

/// A look-up on its way.
struct Walk<'a> {
    kernel: &'a Kernel,
    base: &'a Location,
    how: How,
    at: Location,
    /// Names to come.
    ahead: VecDeque<Vec<u8>>,
    /// A slash comes behind the last of them.
    slash: bool,
    links: u32,
}

impl Walk<'_> {
    /// Puts the names of `path` before those that are still to come.
    fn push(&mut self, path: &[u8]) {
        if self.ahead.is_empty() {
            self.slash |= path.ends_with(b"/");
        }
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        names.rev().for_each(|name| self.ahead.push_front(name.to_vec()));
    }

    fn run(mut self) -> Result<Found> {
        let mut special = Name::Root;
        while let Some(name) = self.ahead.pop_front() {
            if !self.at.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            if name.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            match name.as_slice() {
                b"." => special = Name::Dot,
                b".." => {
                    self.up()?;
                    special = Name::DotDot;
                }
                _ => {
                    if let Some(found) = self.step(name)? {
                        return Ok(found);
                    }
                    special = Name::Root;
                }
            }
        }
        let (parent, target) = (self.at.clone(), Some(self.at));
        Ok(Found { parent, name: special, target, slash: self.slash })
    }

    fn up(&mut self) -> Result<()> {
        let path = self.at.path(self.kernel)?;
        if self.how.beneath && path == self.base.path(self.kernel)? {
            return Err(Errno::EXDEV);
        }
        self.at = self.kernel.parent_of(&path)?;
        Ok(())
    }

    /// Goes on to `name`; says where the path leads if that was the last name.
    fn step(&mut self, name: Vec<u8>) -> Result<Option<Found>> {
        let last = self.ahead.is_empty();
        let Some(child) = self.at.child(self.kernel, &name)? else {
            return if last { Ok(Some(self.found(name, None))) } else { Err(Errno::ENOENT) };
        };
        let follow = !last
            || match self.how.last {
                Last::Follow => true,
                Last::Keep => self.slash,
                Last::Name => false,
            };
        let mode = child.node.mode()?;
        if follow && is_symlink(mode) {
            self.follow(&child)?;
            return self.arrived();
        }
        if last {
            if self.slash && !is_dir(mode) && self.how.last != Last::Name {
                return Err(Errno::ENOTDIR);
            }
            return Ok(Some(self.found(name, Some(child))));
        }
        self.at = child;
        Ok(None)
    }

    fn found(&self, name: Vec<u8>, target: Option<Location>) -> Found {
        Found { parent: self.at.clone(), name: Name::Normal(name), target, slash: self.slash }
    }

    /// A link to a file that has no path may have ended the walk at something that is no directory.
    fn arrived(&self) -> Result<Option<Found>> {
        if !self.ahead.is_empty() || self.at.is_dir() {
            return Ok(None);
        }
        if self.slash {
            return Err(Errno::ENOTDIR);
        }
        let target = Some(self.at.clone());
        Ok(Some(Found { parent: self.at.clone(), name: Name::Root, target, slash: false }))
    }

    fn follow(&mut self, link: &Location) -> Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX || self.how.no_links {
            return Err(Errno::ELOOP);
        }
        match link.link(self.kernel)?.ok_or(Errno::EIO)? {
            Link::Path(target) => {
                if target.starts_with(b"/") {
                    if self.how.beneath {
                        return Err(Errno::EXDEV);
                    }
                    self.at = self.kernel.vfs.mounts.root();
                }
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                self.push(&target);
            }
            Link::File(file, text) => {
                if self.how.no_magic || self.how.beneath {
                    return Err(Errno::ELOOP);
                }
                self.at = match file.location() {
                    Some(location) => location.clone(),
                    None => Location::new(Node::Open(file), &text),
                };
            }
        }
        Ok(())
    }
}
