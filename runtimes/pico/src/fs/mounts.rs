//! Which path is the root of which file system.

use super::attributes::Space;
use super::erofs::Image;
use super::known::Known;
use super::memory::{Body, Inode, Pool};
use super::node::{Location, Node};
use crate::mm::Mm;
use abi::boot::PACKAGE_DIR;
use abi::layout::PAGE;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::iter;
use linux_raw_sys::general::{DEVPTS_SUPER_MAGIC, RAMFS_MAGIC, SYSFS_MAGIC, TMPFS_MAGIC};

/// `st_dev` of the root image.
pub const DEV_ROOT: u64 = 1;
/// `st_dev` of the package image.
pub const DEV_PACKAGE: u64 = 2;
/// `st_dev` of `/dev`.
pub const DEV_DEVICES: u64 = 3;
/// `st_dev` of `/proc`.
pub const DEV_PROC: u64 = 4;
/// `st_dev` of `/sys`.
pub const DEV_SYS: u64 = 5;
/// `st_dev` of `/dev/pts`.
pub const DEV_TERMINALS: u64 = 12;
/// `st_dev` of the first memory file system.
const DEV_MEMORY: u64 = 6;

const PROC_MAGIC: u32 = 0x9fa0;
const EROFS_MAGIC: u32 = abi::erofs::MAGIC;

/// Where memory file systems are, with the permissions of their roots.
const MEMORY: [(&str, u32); 4] =
    [("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/dev/shm", 0o1777), ("/run", 0o755)];

/// One mounted file system.
pub struct Mount {
    /// Where.
    pub path: &'static str,
    /// `st_dev` of what is in it.
    pub dev: u64,
    /// Type for `/proc/mounts`.
    pub kind: &'static str,
    /// Whether it can be written to.
    pub writable: bool,
    root: Node,
}

/// All mounted file systems.
pub struct Mounts {
    mounts: Vec<Mount>,
    root: Location,
    known: Known,
    images: [Option<Image>; 2],
    pool: Rc<Pool>,
}

fn read_only(path: &'static str, dev: u64, kind: &'static str, root: Node) -> Mount {
    Mount { path, dev, kind, writable: false, root }
}

/// The root of an image.
fn image(image: Option<Image>, dev: u64) -> Node {
    let inode = image.and_then(|image| image.root().ok().map(|inode| (image, inode)));
    inode.map_or(Node::Damaged(dev), |(image, inode)| Node::Image(image, inode, dev))
}

impl Mounts {
    /// Mounts everything. No root image is an empty one.
    pub fn new(root: &'static [u8], package: Option<&'static [u8]>) -> Self {
        let images = [Image::open(root).ok(), None];
        let pool: Rc<Pool> = Rc::default();
        let root = if root.is_empty() { Node::Empty(DEV_ROOT) } else { image(images[0], DEV_ROOT) };
        let mut mounts = Vec::from([
            read_only("/", DEV_ROOT, "erofs", root.clone()),
            read_only("/dev", DEV_DEVICES, "devtmpfs", Node::Devices),
            Mount { writable: true, ..read_only("/dev/pts", DEV_TERMINALS, "devpts", Node::Terminals) },
            read_only("/proc", DEV_PROC, "proc", Node::proc_root()),
            read_only("/sys", DEV_SYS, "sysfs", Node::sys_root()),
        ]);
        for ((path, mode), dev) in iter::zip(MEMORY, DEV_MEMORY..) {
            let root =
                Inode::new(&pool, dev, Body::directory(), mode, 0).expect("an empty pool has room for roots");
            mounts.push(Mount { path, dev, kind: "tmpfs", writable: true, root: Node::Memory(root) });
        }
        let mut mounts =
            Self { mounts, root: Location::new(root, b"/"), known: Known::default(), images, pool };
        if let Some(package) = package {
            mounts.mount_package(package);
        }
        mounts
    }

    /// Mounts the package image, behind the root and the system's own.
    pub fn mount_package(&mut self, package: &'static [u8]) {
        let package = Image::open(package).ok();
        self.images[1] = package;
        self.known.forget();
        self.mounts.push(read_only(PACKAGE_DIR, DEV_PACKAGE, "erofs", image(package, DEV_PACKAGE)));
    }

    /// All of them, the root first.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// What memory file systems share.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// `/`.
    pub fn root(&self) -> Location {
        self.root.clone()
    }

    /// Paths that were followed before.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// What is mounted at `path`.
    pub fn at(&self, path: &[u8]) -> Option<Node> {
        self.mounts.iter().find(|mount| mount.path.as_bytes() == path).map(|mount| mount.root.clone())
    }

    /// Where the file system `dev` is mounted.
    pub fn path_of(&self, dev: u64) -> &'static str {
        self.mounts.iter().find(|mount| mount.dev == dev).map_or("/", |mount| mount.path)
    }

    /// The names directly below the directory `path` that lead to mounted file systems.
    pub fn names_below(&self, path: &[u8]) -> Vec<&'static [u8]> {
        let mut names: Vec<&[u8]> = Vec::new();
        for mount in &self.mounts {
            let below = mount.path.as_bytes().strip_prefix(path);
            let below = if path == b"/" { below } else { below.and_then(|below| below.strip_prefix(b"/")) };
            let name = below.and_then(|below| below.split(|&byte| byte == b'/').next()).unwrap_or_default();
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What statfs(2) tells about the file system `dev`; memory ones have what `mm` has.
    pub fn space(&self, dev: u64, mm: &Mm) -> Space {
        let image = match dev {
            DEV_ROOT => self.images[0],
            DEV_PACKAGE => self.images[1],
            _ => None,
        };
        let magic = match dev {
            DEV_ROOT | DEV_PACKAGE => EROFS_MAGIC,
            DEV_DEVICES => RAMFS_MAGIC,
            DEV_PROC => PROC_MAGIC,
            DEV_SYS => SYSFS_MAGIC,
            DEV_TERMINALS => DEVPTS_SUPER_MAGIC,
            _ => TMPFS_MAGIC,
        };
        let empty = Space { magic, read_only: true, id: dev, ..Space::default() };
        if let Some(image) = image {
            return Space { pages: image.bytes().div_ceil(PAGE), files: image.inode_count(), ..empty };
        }
        if magic != TMPFS_MAGIC {
            return empty;
        }
        Space {
            pages: mm.total() / PAGE,
            free_pages: mm.total().saturating_sub(mm.used()) / PAGE,
            files: self.pool.inodes() + self.pool.free_inodes(),
            free_files: self.pool.free_inodes(),
            read_only: false,
            ..empty
        }
    }
}
