//! The tree of files an image is made from, built in memory path by path.
//!
//! Paths are relative to the image's root, with or without a leading `/`. Parents that do not exist are made.
//! Symbolic links among the parents are followed inside the tree, as they would be on a file system (packages
//! put files into `/lib` where `/lib` is a link to `usr/lib`); they can never lead out of it.

use super::error::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

/// Most files, directories and links in a tree.
pub const NODES_MAX: usize = 1 << 20;
/// Most bytes of a path.
pub const PATH_MAX: usize = 4095;
/// Most directories in a path.
pub const DEPTH_MAX: usize = 128;
/// Most symbolic links followed in one path.
const LINKS_MAX: usize = 40;
/// Permissions of directories that are made because something lies in them.
const PARENT_MODE: u16 = 0o755;

/// Where the bytes of a file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a file on the host, read when the image is built.
    Host {
        /// Where it is.
        path: PathBuf,
        /// How long it must be.
        len: u64,
    },
}

impl Content {
    /// Number of bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file at `path` on the host, with the size it has now.
    pub fn of_host_file(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Self::Host { path, len: metadata.len() }),
            Ok(_) => Err(Error::SpecialFile { path }),
            Err(source) => Err(Error::Host { path, source }),
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// Index of a node in [`Tree::nodes`].
pub(super) type NodeId = usize;
/// The node of `/`.
pub(super) const ROOT: NodeId = 0;

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Directory(BTreeMap<Vec<u8>, NodeId>),
    File(Content),
    Symlink(Vec<u8>),
}

/// One file, directory or symbolic link; hard links are several names of one node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u16,
}

/// A tree of files.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) nodes: Vec<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree with nothing but an empty root directory.
    pub fn new() -> Self {
        Self { nodes: vec![Node { kind: Kind::Directory(BTreeMap::new()), mode: PARENT_MODE }] }
    }

    /// Adds a directory, or sets the mode of the one that is there.
    pub fn add_dir(&mut self, path: impl AsRef<[u8]>, mode: u16) -> Result<()> {
        let path = path.as_ref();
        let components = components(path)?;
        let directory = self.walk(&components, path, true)?;
        self.nodes[directory].mode = mode & 0o7777;
        Ok(())
    }

    /// Adds a file; a file or link that is there is replaced.
    pub fn add_file(&mut self, path: impl AsRef<[u8]>, content: impl Into<Content>, mode: u16) -> Result<()> {
        self.put(path.as_ref(), Node { kind: Kind::File(content.into()), mode: mode & 0o7777 })
    }

    /// Adds a symbolic link; a file or link that is there is replaced.
    pub fn add_symlink(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<()> {
        let (path, target) = (path.as_ref(), target.as_ref());
        if target.is_empty() || target.len() > abi::erofs::LINK_MAX || target.contains(&0) {
            return Err(Error::InvalidTarget { path: lossy(path) });
        }
        self.put(path, Node { kind: Kind::Symlink(target.to_vec()), mode: 0o777 })
    }

    /// Adds another name for the file or symbolic link at `existing`.
    pub fn add_hard_link(&mut self, path: impl AsRef<[u8]>, existing: impl AsRef<[u8]>) -> Result<()> {
        let (path, existing) = (path.as_ref(), existing.as_ref());
        let not_found = || Error::NotFound { path: lossy(existing) };
        let (parents, name) = split(existing)?;
        let directory = self.walk(&parents, existing, false)?;
        let target = self.child(directory, name).ok_or_else(not_found)?;
        if matches!(self.nodes[target].kind, Kind::Directory(_)) {
            return Err(Error::IsADirectory { path: lossy(existing) });
        }
        let (parents, name) = split(path)?;
        let directory = self.walk(&parents, path, true)?;
        self.link(directory, name, target, path)
    }

    /// Whether there is something at `path` (a symbolic link there is not followed).
    pub fn contains(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        let find = || {
            let (parents, name) = split(path)?;
            let directory = self.lookup(&parents, path)?;
            Ok::<_, Error>(directory.and_then(|directory| self.child(directory, name)).is_some())
        };
        find().unwrap_or(false)
    }

    fn put(&mut self, path: &[u8], node: Node) -> Result<()> {
        let (parents, name) = split(path)?;
        let directory = self.walk(&parents, path, true)?;
        let id = self.add_node(node)?;
        self.link(directory, name, id, path)
    }

    fn add_node(&mut self, node: Node) -> Result<NodeId> {
        if self.nodes.len() >= NODES_MAX {
            return Err(Error::TooManyFiles);
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn link(&mut self, directory: NodeId, name: &[u8], id: NodeId, path: &[u8]) -> Result<()> {
        if let Some(there) = self.child(directory, name)
            && matches!(self.nodes[there].kind, Kind::Directory(_))
        {
            return Err(Error::IsADirectory { path: lossy(path) });
        }
        match &mut self.nodes[directory].kind {
            Kind::Directory(entries) => entries.insert(name.to_vec(), id),
            Kind::File(_) | Kind::Symlink(_) => return Err(Error::NotADirectory { path: lossy(path) }),
        };
        Ok(())
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes[directory].kind {
            Kind::Directory(entries) => entries.get(name).copied(),
            Kind::File(_) | Kind::Symlink(_) => None,
        }
    }

    /// The directory at `components`, made if it does not exist and `create` says so.
    fn walk(&mut self, components: &[&[u8]], path: &[u8], create: bool) -> Result<NodeId> {
        if create {
            self.create_missing(components, path)
        } else {
            self.lookup(components, path)?.ok_or_else(|| Error::NotFound { path: lossy(path) })
        }
    }

    fn create_missing(&mut self, components: &[&[u8]], path: &[u8]) -> Result<NodeId> {
        let mut at = ROOT;
        for depth in 1..=components.len() {
            at = match self.lookup(&components[..depth], path)? {
                Some(directory) => directory,
                None if self.child(at, components[depth - 1]).is_some() => {
                    return Err(Error::NotFound { path: lossy(path) });
                }
                None => {
                    let node = Node { kind: Kind::Directory(BTreeMap::new()), mode: PARENT_MODE };
                    let id = self.add_node(node)?;
                    self.link(at, components[depth - 1], id, path)?;
                    id
                }
            };
        }
        Ok(at)
    }

    /// The directory at `components`, `None` if there is nothing; symbolic links are followed.
    fn lookup(&self, components: &[&[u8]], path: &[u8]) -> Result<Option<NodeId>> {
        let mut ahead: VecDeque<Vec<u8>> = components.iter().map(|name| name.to_vec()).collect();
        let mut above = vec![ROOT];
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            let at = *above.last().unwrap_or(&ROOT);
            if name == b".." {
                above.pop();
                continue;
            }
            let Some(next) = self.child(at, &name) else { return Ok(None) };
            match &self.nodes[next].kind {
                Kind::Directory(_) => above.push(next),
                Kind::File(_) => return Err(Error::NotADirectory { path: lossy(path) }),
                Kind::Symlink(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Error::LinkLoop { path: lossy(path) });
                    }
                    if target.starts_with(b"/") {
                        above = vec![ROOT];
                    }
                    let names =
                        target.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
                    names.rev().for_each(|name| ahead.push_front(name.to_vec()));
                }
            }
        }
        Ok(Some(*above.last().unwrap_or(&ROOT)))
    }
}

/// The path for messages.
fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(&path[..path.len().min(256)]).into_owned()
}

/// The names in `path`, checked.
fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    if path.len() > PATH_MAX {
        return Err(Error::PathTooLong { path: lossy(path) });
    }
    let names: Vec<&[u8]> =
        path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.iter().any(|name| *name == b".." || name.contains(&0)) {
        return Err(Error::InvalidPath { path: lossy(path) });
    }
    if names.iter().any(|name| name.len() > abi::erofs::NAME_MAX) {
        return Err(Error::NameTooLong { path: lossy(path) });
    }
    if names.len() > DEPTH_MAX {
        return Err(Error::TooDeep { path: lossy(path) });
    }
    Ok(names)
}

/// The parents in `path` and its last name.
fn split(path: &[u8]) -> Result<(Vec<&[u8]>, &[u8])> {
    let mut names = components(path)?;
    let last = names.pop().ok_or_else(|| Error::InvalidPath { path: lossy(path) })?;
    Ok((names, last))
}
