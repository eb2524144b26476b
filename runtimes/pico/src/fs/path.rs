//! From a path to a place in the tree: path_resolution(7).

use super::attributes::{is_dir, is_symlink};
use super::node::{Link, Location, Node};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use alloc::borrow::Cow;
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
        self.look_up_existing(&self.vfs.place.cwd, path)
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
        let at = if absolute { self.vfs.mounts.root() } else { base.clone() };
        let slash = path.ends_with(b"/");
        let mut walk = Walk { kernel: self, base, how, at, slash, links: 0, fixed: absolute };
        let found = walk.run(path)?;
        if walk.fixed
            && how == How::new(Last::Follow)
            && let Some(target) = &found.target
        {
            self.vfs.mounts.known().note(path, target);
        }
        Ok(found)
    }

    /// Where `path`, relative to `base`, leads; links are followed.
    pub fn look_up_existing(&self, base: &Location, path: &[u8]) -> Result<Location> {
        match self.vfs.mounts.known().find(path) {
            Some(location) => Ok(location),
            None => self.look_up(base, path, How::new(Last::Follow))?.existing(),
        }
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
    /// A slash comes behind the last of the names to come.
    slash: bool,
    links: u32,
    /// Whether it has met nothing but what never changes: images, and directories that lead to mounted ones.
    fixed: bool,
}

/// What one name leads to.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each path"
)]
enum Step {
    /// The end of the path.
    End(Found),
    /// The place to go on from.
    On,
    /// A link: its path comes before the rest.
    Link(Vec<u8>),
}

/// The first name of `path`, and the rest, which is empty behind the last name.
fn first_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = behind_slashes(path);
    let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    (end != 0).then(|| (&path[..end], behind_slashes(&path[end..])))
}

fn behind_slashes(path: &[u8]) -> &[u8] {
    &path[path.iter().position(|&byte| byte != b'/').unwrap_or(path.len())..]
}

impl Walk<'_> {
    fn run(&mut self, path: &[u8]) -> Result<Found> {
        let mut special = Name::Root;
        let (mut path, mut at) = (Cow::Borrowed(path), 0);
        while let Some((name, rest)) = first_name(&path[at..]) {
            if !self.at.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            if name.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            let behind = path.len() - rest.len();
            match name {
                b"." => special = Name::Dot,
                b".." => {
                    self.up()?;
                    special = Name::DotDot;
                }
                _ => {
                    match self.step(name, rest.is_empty())? {
                        Step::End(found) => return Ok(found),
                        Step::On => {}
                        Step::Link(target) => {
                            path = Cow::Owned([&target, &b"/"[..], rest].concat());
                            at = 0;
                            special = Name::Root;
                            continue;
                        }
                    }
                    special = Name::Root;
                }
            }
            at = behind;
        }
        let (parent, target) = (self.at.clone(), Some(self.at.clone()));
        Ok(Found { parent, name: special, target, slash: self.slash })
    }

    fn up(&mut self) -> Result<()> {
        self.fixed = false;
        let path = self.at.path(self.kernel)?;
        if self.how.beneath && path == self.base.path(self.kernel)? {
            return Err(Errno::EXDEV);
        }
        self.at = self.kernel.parent_of(&path)?;
        Ok(())
    }

    /// Goes on to `name`, the `last` one or not.
    fn step(&mut self, name: &[u8], last: bool) -> Result<Step> {
        let Some(child) = self.at.child(self.kernel, name)? else {
            return if last { Ok(Step::End(self.found(name, None))) } else { Err(Errno::ENOENT) };
        };
        let follow = !last
            || match self.how.last {
                Last::Follow => true,
                Last::Keep => self.slash,
                Last::Name => false,
            };
        self.fixed &= matches!(child.node, Node::Image(..) | Node::Empty(_));
        let mode = child.node.mode()?;
        if follow && is_symlink(mode) {
            return self.follow(&child, last);
        }
        if last {
            if self.slash && !is_dir(mode) && self.how.last != Last::Name {
                return Err(Errno::ENOTDIR);
            }
            return Ok(Step::End(self.found(name, Some(child))));
        }
        self.at = child;
        Ok(Step::On)
    }

    fn found(&self, name: &[u8], target: Option<Location>) -> Found {
        Found { parent: self.at.clone(), name: Name::Normal(name.into()), target, slash: self.slash }
    }

    /// A link to a file that has no path may have ended the walk at something that is no directory.
    fn arrived(&self, last: bool) -> Result<Step> {
        if !last || self.at.is_dir() {
            return Ok(Step::On);
        }
        if self.slash {
            return Err(Errno::ENOTDIR);
        }
        let target = Some(self.at.clone());
        Ok(Step::End(Found { parent: self.at.clone(), name: Name::Root, target, slash: false }))
    }

    fn follow(&mut self, link: &Location, last: bool) -> Result<Step> {
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
                self.slash |= last && target.ends_with(b"/");
                Ok(Step::Link(target))
            }
            Link::File(file, text) => {
                if self.how.no_magic || self.how.beneath {
                    return Err(Errno::ELOOP);
                }
                self.at = match file.location() {
                    Some(location) => location.clone(),
                    None => Location::new(Node::Open(file), &text),
                };
                self.arrived(last)
            }
        }
    }
}
