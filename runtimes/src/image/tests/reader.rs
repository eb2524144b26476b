//! A second, independent reader of EROFS images, just good enough to unpack one that this crate built.

use abi::erofs::{BLOCK, MODE_DIRECTORY, MODE_REGULAR, MODE_SYMLINK, MODE_TYPE, SLOT, SUPER_OFFSET};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    bytes[at..at + len].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

struct Inode {
    mode: u16,
    content: Vec<u8>,
}

fn inode(image: &[u8], nid: usize) -> Inode {
    let meta = number(image, SUPER_OFFSET + 40, 4) * BLOCK;
    let at = meta + nid * SLOT;
    let format = number(image, at, 2);
    let extended = format & 1 == 1;
    let size = number(image, at + 8, if extended { 8 } else { 4 });
    let mode = u16::try_from(number(image, at + 4, 2)).unwrap();
    let start = number(image, at + 16, 4) * BLOCK;
    let content = match format >> 1 & 7 {
        0 => image[start..start + size].to_vec(),
        2 => {
            let whole = size / BLOCK * BLOCK;
            let tail = at + if extended { 2 * SLOT } else { SLOT };
            let blocks = if whole == 0 { &[][..] } else { &image[start..start + whole] };
            [blocks, &image[tail..tail + size - whole]].concat()
        }
        other => panic!("layout {other}"),
    };
    Inode { mode, content }
}

fn entries(directory: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut found = Vec::new();
    for block in directory.chunks(BLOCK) {
        let count = number(block, 8, 2) / 12;
        for index in 0..count {
            let start = number(block, index * 12 + 8, 2);
            let end = if index + 1 < count { number(block, index * 12 + 20, 2) } else { block.len() };
            let name = block[start..end].split(|byte| *byte == 0).next().unwrap();
            found.push((number(block, index * 12, 8), name.to_vec()));
        }
    }
    found.retain(|(_, name)| name != b"." && name != b"..");
    found
}

/// Writes everything in `image` into the empty directory `to`.
pub(super) fn extract(image: &[u8], to: &Path) {
    unpack(image, number(image, SUPER_OFFSET + 14, 2), to);
}

fn unpack(image: &[u8], nid: usize, to: &Path) {
    let inode = inode(image, nid);
    match inode.mode & MODE_TYPE {
        MODE_DIRECTORY => {
            fs::create_dir_all(to).unwrap();
            for (child, name) in entries(&inode.content) {
                unpack(image, child, &to.join(OsStr::from_bytes(&name)));
            }
        }
        MODE_SYMLINK => symlink(OsStr::from_bytes(&inode.content), to).unwrap(),
        MODE_REGULAR => {
            fs::write(to, &inode.content).unwrap();
            fs::set_permissions(to, Permissions::from_mode(u32::from(inode.mode & 0o777))).unwrap();
        }
        other => panic!("{} has the mode {other:o}", to.display()),
    }
}
