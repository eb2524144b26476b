//! Directory listings: getdents64(2).
//!
//! A position is a number that stays with a name while other names come and go: 0 is `.`, 1 is `..`, then the
//! directory's own numbering, then names that exist only because something is mounted there.

use super::device::LINKS;
use super::node::{Location, Node};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use alloc::string::{String, ToString};
use linux_raw_sys::general::{S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG};

/// One line of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The name.
    pub name: &'a [u8],
    /// `st_ino`.
    pub ino: u64,
    /// `st_mode`, of which only the type counts.
    pub mode: u32,
    /// Where the listing goes on behind this.
    pub next: u64,
}

/// Takes lines as long as it returns true.
pub type Taker<'a> = dyn FnMut(Listed<'_>) -> bool + 'a;

/// Position of the first name behind `.` and `..`.
const FIRST: u64 = 2;
/// Inode number of `/dev/pts/ptmx`, which those of the terminals follow.
const TERMINAL_INO: u32 = 2;
/// Position of the first mount that the directory itself does not have.
const MOUNTED: u64 = 1 << 62;

impl Location {
    /// The names there are now are what a listing tells: it begins.
    pub(super) fn begin_listing(&self) {
        if let Node::Memory(inode) = &self.node
            && let Ok(directory) = inode.directory()
        {
            self.last_listed.set(directory.borrow().last_place());
        }
    }

    /// Gives the names in this directory from position `from` on to `take`. At 0 a new listing begins.
    pub fn list(&self, kernel: &Kernel, from: u64, take: &mut Taker<'_>) -> Result<()> {
        if from == 0 {
            self.begin_listing();
        }
        // A directory that was removed is empty.
        let Ok(path) = self.path(kernel) else { return Ok(()) };
        let above = kernel.parent_of(&path).and_then(|above| above.stat()).map_or(1, |stat| stat.st_ino);
        let dots: [(&[u8], u64); 2] = [(b".", self.stat()?.st_ino), (b"..", above)];
        for ((name, ino), position) in dots.into_iter().zip(0..) {
            if position >= from && !take(Listed { name, ino, mode: S_IFDIR, next: position + 1 }) {
                return Ok(());
            }
        }
        let own =
            if from < MOUNTED { self.list_own(kernel, from.saturating_sub(FIRST), take)? } else { true };
        if !own {
            return Ok(());
        }
        for (name, position) in kernel.vfs.mounts.names_below(&path).into_iter().zip(MOUNTED..) {
            let hidden = position < from || self.node_child(kernel, name)?.is_some();
            if !hidden && !take(Listed { name, ino: 1, mode: S_IFDIR, next: position + 1 }) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The directory's own names; positions are counted from 0. False: `take` has enough.
    fn list_own(&self, kernel: &Kernel, from: u64, take: &mut Taker<'_>) -> Result<bool> {
        let mut add = |name: &[u8], ino, mode, position: u64| {
            take(Listed { name, ino, mode, next: position + FIRST + 1 })
        };
        match &self.node {
            Node::Image(image, inode, _) => {
                for entry in image.entries(inode, from)? {
                    let (number, entry) = entry?;
                    let dot = matches!(entry.name, b"." | b"..");
                    if !dot && !add(entry.name, entry.nid, image_type(entry.file_type), number) {
                        return Ok(false);
                    }
                }
            }
            Node::Memory(inode) => {
                for (place, name, child) in inode.directory()?.borrow().list(from, self.last_listed.get()) {
                    let attributes = child.attributes();
                    if !add(&name, attributes.ino, attributes.mode, place) {
                        return Ok(false);
                    }
                }
            }
            Node::Devices => {
                let links =
                    LINKS.iter().enumerate().map(|(index, &(name, _))| (name, Node::DeviceLink(index)));
                let devices = kernel.vfs.devices.names().map(|(name, device)| (name, Node::Device(device)));
                for ((name, node), position) in devices.chain(links).zip(0..) {
                    let stat = node.stat()?;
                    if position >= from && !add(name.as_bytes(), stat.st_ino, stat.st_mode, position) {
                        return Ok(false);
                    }
                }
            }
            Node::Terminals => {
                let numbers = kernel.terminals.numbers();
                let first = core::iter::once((String::from("ptmx"), u64::from(TERMINAL_INO)));
                let names = first
                    .chain(numbers.into_iter().map(|n| (n.to_string(), u64::from(n + TERMINAL_INO + 1))));
                for (name, ino) in names {
                    let position = ino - u64::from(TERMINAL_INO);
                    if position >= from && !add(name.as_bytes(), ino, S_IFCHR, position) {
                        return Ok(false);
                    }
                }
            }
            Node::Generated(generated) => {
                for (position, name, child) in generated.children(kernel) {
                    let attributes = child.attributes();
                    if position >= from && !add(&name, attributes.ino, attributes.mode, position) {
                        return Ok(false);
                    }
                }
            }
            Node::Damaged(_) => return Err(Errno::EUCLEAN),
            Node::Empty(_) | Node::Device(_) | Node::Terminal(_) | Node::DeviceLink(_) | Node::Open(_) => {}
        }
        Ok(true)
    }
}

/// The type bits of `st_mode` for a directory entry of an image.
fn image_type(file_type: u8) -> u32 {
    match file_type {
        abi::erofs::TYPE_REGULAR => S_IFREG,
        abi::erofs::TYPE_DIRECTORY => S_IFDIR,
        abi::erofs::TYPE_SYMLINK => S_IFLNK,
        _ => 0,
    }
}
