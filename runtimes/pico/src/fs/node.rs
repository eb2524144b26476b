//! One file of any file system, and its place in the tree.

use super::attributes::{Attributes, Space, Time, is_dir, time};
use super::device::{Device, LINKS};
use super::erofs::{self, Image};
use super::files::{DirectoryFile, ImageFile};
use super::memory::{Body, Inode, MemoryFile};
use super::mounts::{DEV_DEVICES, DEV_PROC, DEV_SYS, DEV_TERMINALS};
use super::proc::{self, Generated};
use crate::errno::{Errno, Result};
use crate::file::File;
use crate::kernel::Kernel;
use crate::tty::ends::End;
use crate::tty::terminal::Terminal;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::general::{S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, stat as Stat};

/// A file, directory, link or device.
#[derive(Clone)]
pub enum Node {
    /// In an image; the number is its `st_dev`.
    Image(Image, erofs::Inode, u64),
    /// In memory.
    Memory(Rc<Inode>),
    /// A directory of the file system `st_dev` that exists only because something is mounted below it.
    Empty(u64),
    /// The root of an image that cannot be read: everything in it is `EUCLEAN`.
    Damaged(u64),
    /// `/dev`.
    Devices,
    /// A device.
    Device(Device),
    /// A symbolic link in `/dev`, by position.
    DeviceLink(usize),
    /// `/dev/pts`.
    Terminals,
    /// A terminal in there.
    Terminal(Rc<Terminal>),
    /// In `/proc` or `/sys`.
    Generated(Generated),
    /// What `/proc/self/fd/N` leads to.
    Open(Rc<dyn File>),
}

/// A node and its canonical path when it was looked up: absolute, without links, `.` and `..`.
#[derive(Clone)]
pub struct Location {
    /// What is there.
    pub node: Node,
    path: Rc<[u8]>,
    /// Last place that the listing under way tells: names that come meanwhile would let it go on for ever.
    pub(super) last_listed: Cell<u64>,
}

/// Where a symbolic link leads.
pub enum Link {
    /// To this path.
    Path(Vec<u8>),
    /// To this file, whatever its path is; the text is for readlink(2).
    File(Rc<dyn File>, Vec<u8>),
}

impl Node {
    /// `/proc`.
    pub fn proc_root() -> Self {
        Self::Generated(Generated::root(&proc::PROC, DEV_PROC))
    }

    /// `/sys`.
    pub fn sys_root() -> Self {
        Self::Generated(Generated::root(&proc::SYS, DEV_SYS))
    }

    /// What stat(2) tells.
    pub fn stat(&self) -> Result<Stat> {
        let directory =
            |dev, ino| Attributes { dev, ino, mode: S_IFDIR | 0o755, nlink: 2, ..Attributes::default() };
        Ok(match self {
            Self::Image(_, inode, dev) => image_attributes(inode, *dev).to_stat(),
            Self::Memory(inode) => inode.attributes().to_stat(),
            Self::Empty(dev) | Self::Damaged(dev) => directory(*dev, 1).to_stat(),
            Self::Devices => directory(DEV_DEVICES, 1).to_stat(),
            Self::Terminals => directory(DEV_TERMINALS, 1).to_stat(),
            Self::Terminal(terminal) => terminal_attributes(terminal).to_stat(),
            Self::Device(device) => device.attributes(DEV_DEVICES).to_stat(),
            Self::DeviceLink(index) => Attributes {
                dev: DEV_DEVICES,
                ino: 2 + *index as u64,
                mode: S_IFLNK | 0o777,
                nlink: 1,
                size: LINKS[*index].1.len() as u64,
                ..Attributes::default()
            }
            .to_stat(),
            Self::Generated(generated) => generated.attributes().to_stat(),
            Self::Open(file) => file.stat()?,
        })
    }

    /// Type and permissions.
    pub fn mode(&self) -> Result<u32> {
        Ok(match self {
            Self::Image(_, inode, _) => inode.mode.into(),
            _ => self.stat()?.st_mode,
        })
    }
}

fn image_attributes(inode: &erofs::Inode, dev: u64) -> Attributes {
    let (seconds, nanoseconds) = inode.mtime;
    let mtime: Time = time(i64::try_from(seconds).unwrap_or(i64::MAX), nanoseconds);
    Attributes {
        dev,
        ino: inode.nid,
        mode: inode.mode.into(),
        nlink: inode.nlink,
        uid: inode.uid,
        gid: inode.gid,
        rdev: 0,
        size: inode.size,
        allocated: inode.size.saturating_add(4095) / 4096 * 4096,
        atime: mtime,
        mtime,
        ctime: mtime,
    }
}

impl Location {
    /// `node` at the canonical path `path`.
    pub fn new(node: Node, path: &[u8]) -> Self {
        Self { node, path: path.into(), last_listed: Cell::new(u64::MAX) }
    }

    /// What stat(2) tells.
    pub fn stat(&self) -> Result<Stat> {
        self.node.stat()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.node.mode().is_ok_and(is_dir)
    }

    /// Its path now: directories in memory may have been moved, or removed (`ENOENT`), since they were looked up.
    pub fn path(&self, kernel: &Kernel) -> Result<Vec<u8>> {
        match &self.node {
            Node::Memory(inode) if inode.is_dir() => {
                let mount = kernel.vfs.mounts.path_of(inode.dev());
                Ok([mount.as_bytes(), &inode.path()?].concat())
            }
            _ => Ok(self.path.to_vec()),
        }
    }

    /// Its path when it was looked up.
    pub fn path_then(&self) -> &[u8] {
        &self.path
    }

    /// Where `name` in this directory is.
    pub fn child(&self, kernel: &Kernel, name: &[u8]) -> Result<Option<Self>> {
        let moved = if matches!(self.node, Node::Memory(_)) { Some(self.path(kernel)?) } else { None };
        let path = match moved.as_deref().unwrap_or(&self.path) {
            b"/" => [b"/", name].concat(),
            path => [path, b"/", name].concat(),
        };
        if let Some(mounted) = kernel.vfs.mounts.at(&path) {
            return Ok(Some(Self::new(mounted, &path)));
        }
        let found = self.node_child(kernel, name)?;
        let leads_to_mount = || !kernel.vfs.mounts.names_below(&path).is_empty();
        let node = match found {
            None if leads_to_mount() => Some(Node::Empty(self.stat()?.st_dev)),
            found => found,
        };
        Ok(node.map(|node| Self::new(node, &path)))
    }

    /// As [`Location::child`], without what is mounted.
    pub(super) fn node_child(&self, kernel: &Kernel, name: &[u8]) -> Result<Option<Node>> {
        match &self.node {
            Node::Image(image, inode, dev) if inode.is_dir() => {
                let Some(entry) = image.lookup(inode, name)? else { return Ok(None) };
                Ok(Some(Node::Image(*image, image.inode(entry.nid)?, *dev)))
            }
            Node::Memory(inode) => Ok(inode.directory()?.borrow().get(name).map(Node::Memory)),
            Node::Empty(_) => Ok(None),
            Node::Damaged(_) => Err(Errno::EUCLEAN),
            Node::Devices => Ok(device_child(kernel, name)),
            Node::Terminals => Ok(terminal_child(kernel, name)),
            Node::Generated(generated) => Ok(generated.child(kernel, name)?.map(Node::Generated)),
            Node::Image(..) | Node::Device(_) | Node::Terminal(_) | Node::DeviceLink(_) | Node::Open(_) => {
                Err(Errno::ENOTDIR)
            }
        }
    }

    /// Where a symbolic link leads; nothing for what is none.
    pub fn link(&self, kernel: &Kernel) -> Result<Option<Link>> {
        Ok(match &self.node {
            Node::Image(image, inode, _) if inode.is_symlink() => Some(Link::Path(image.link_target(inode)?)),
            Node::Memory(inode) => match inode.body() {
                Body::Symlink(target) => Some(Link::Path(target.clone())),
                Body::File(_) | Body::Directory(_) | Body::Special(_) => None,
            },
            Node::DeviceLink(index) => Some(Link::Path(LINKS[*index].1.into())),
            Node::Generated(generated) => generated.link(kernel)?,
            _ => None,
        })
    }

    /// The memory directory this is; what is none cannot be changed (`EROFS`).
    pub fn writable_dir(&self) -> Result<&Rc<Inode>> {
        match &self.node {
            Node::Memory(inode) if inode.is_dir() => Ok(inode),
            _ if !self.is_dir() => Err(Errno::ENOTDIR),
            _ => Err(Errno::EROFS),
        }
    }

    /// The memory inode this is; what is none cannot be changed (`EROFS`).
    pub fn writable(&self) -> Result<Rc<Inode>> {
        match &self.node {
            Node::Memory(inode) => Ok(inode.clone()),
            Node::Open(file) => match file.as_any().downcast_ref::<MemoryFile>() {
                Some(file) => Ok(file.0.clone()),
                None => Err(Errno::EROFS),
            },
            _ => Err(Errno::EROFS),
        }
    }

    /// Opens it.
    pub fn open(&self, kernel: &Kernel) -> Result<Rc<dyn File>> {
        if self.is_dir() {
            let directory = DirectoryFile(self.clone());
            directory.0.begin_listing();
            return Ok(Rc::new(directory));
        }
        Ok(match &self.node {
            Node::Image(image, inode, _) if u32::from(inode.mode) & S_IFMT == S_IFREG => {
                Rc::new(ImageFile { contents: image.contents(inode)?, stat: self.stat()? })
            }
            Node::Image(..) => return Err(Errno::ENXIO),
            Node::Memory(inode) => {
                inode.data()?;
                Rc::new(MemoryFile(inode.clone()))
            }
            Node::Device(device) => device.open(kernel, DEV_DEVICES)?,
            Node::Generated(generated) => generated.open(kernel)?,
            Node::Open(file) => file.clone(),
            Node::Terminal(terminal) => Rc::new(End::slave(terminal.clone(), self.stat()?)?),
            Node::Empty(_) | Node::Damaged(_) | Node::Devices | Node::Terminals | Node::DeviceLink(_) => {
                return Err(Errno::ELOOP);
            }
        })
    }

    /// What statfs(2) tells about the file system it is in.
    pub fn space(&self, kernel: &Kernel) -> Result<Space> {
        Ok(kernel.vfs.mounts.space(self.stat()?.st_dev, &kernel.mm))
    }
}

/// Group of terminals: Debian's `tty`.
const TERMINAL_GROUP: u32 = 5;

fn terminal_attributes(terminal: &Terminal) -> Attributes {
    Attributes {
        dev: DEV_TERMINALS,
        ino: 3 + u64::from(terminal.number),
        mode: S_IFCHR | 0o620,
        nlink: 1,
        uid: terminal.owner,
        gid: TERMINAL_GROUP,
        rdev: terminal.jobs.device(),
        ..Attributes::default()
    }
}

fn terminal_child(kernel: &Kernel, name: &[u8]) -> Option<Node> {
    if name == b"ptmx" {
        return Some(Node::Device(Device::Ptmx));
    }
    let number: u32 = core::str::from_utf8(name).ok()?.parse().ok()?;
    let terminal = kernel.terminals.get(number).map(Node::Terminal)?;
    (number.to_string().as_bytes() == name).then_some(terminal)
}

fn device_child(kernel: &Kernel, name: &[u8]) -> Option<Node> {
    let link = LINKS.iter().position(|(known, _)| known.as_bytes() == name).map(Node::DeviceLink);
    link.or_else(|| kernel.vfs.devices.find(name).map(Node::Device))
}
