//! Writes an image as laid out.

use super::Options;
use super::directory::{self, Entry};
use super::error::{Error, Result};
use super::layout::{self, Layout, Placed};
use super::tree::{Content, Kind, NodeId, ROOT, Tree};
use abi::erofs::{
    BLOCK, BLOCK_BITS, DataLayout, ExtendedInode, FORMAT_EXTENDED, MAGIC, MODE_DIRECTORY, MODE_REGULAR,
    MODE_SYMLINK, SLOT, SUPER_OFFSET, SuperBlock, TYPE_DIRECTORY, TYPE_REGULAR, TYPE_SYMLINK,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use zerocopy::{FromZeros, IntoBytes};

/// Writes an image of `tree` to `out` and returns its size in bytes, a multiple of 4096.
pub fn build(tree: &Tree, out: &mut impl Write, options: &Options) -> Result<u64> {
    let layout = layout::plan(tree)?;
    out.write_all(&metadata(tree, &layout, options)).map_err(Error::Write)?;
    for inode in layout.placed.iter().filter(|inode| inode.block.is_some()) {
        if !matches!(tree.nodes[inode.node].kind, Kind::File(_)) {
            let mut contents = small_contents(tree, &layout, inode);
            contents.resize(contents.len().next_multiple_of(BLOCK), 0);
            out.write_all(&contents).map_err(Error::Write)?;
        }
    }
    write_files(tree, &layout, out)?;
    out.flush().map_err(Error::Write)?;
    Ok(layout.blocks * BLOCK as u64)
}

/// The contents of files, with zeros in the gaps.
fn write_files(tree: &Tree, layout: &Layout, out: &mut impl Write) -> Result<()> {
    let contents = |inode: &Placed| match &tree.nodes[inode.node].kind {
        Kind::File(content) => Some((inode.block?, content)),
        _ => None,
    };
    let mut files: Vec<(u64, &Content)> = layout.placed.iter().filter_map(contents).collect();
    files.sort_by_key(|&(block, _)| block);
    let mut next = layout.first_file;
    for (block, content) in files {
        for _ in next..block {
            out.write_all(&[0; BLOCK]).map_err(Error::Write)?;
        }
        write_file(content, out)?;
        next = next.max(block) + content.len().div_ceil(BLOCK as u64);
    }
    Ok(())
}

/// Superblock, inodes and what lies behind them.
fn metadata(tree: &Tree, layout: &Layout, options: &Options) -> Vec<u8> {
    let bytes = usize::try_from(layout.meta_blocks).expect("usize is 64 bits wide") * BLOCK;
    let mut meta = vec![0; bytes];
    put(&mut meta, SUPER_OFFSET, superblock(layout, options).as_bytes());
    for (index, inode) in layout.placed.iter().enumerate() {
        let offset = usize::try_from(inode.nid).expect("usize is 64 bits wide") * SLOT;
        put(&mut meta, offset, on_disk(tree, inode, index, options).as_bytes());
        if inode.block.is_none() {
            put(&mut meta, offset + size_of::<ExtendedInode>(), &small_contents(tree, layout, inode));
        }
    }
    meta
}

fn put(meta: &mut [u8], offset: usize, bytes: &[u8]) {
    meta[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn superblock(layout: &Layout, options: &Options) -> SuperBlock {
    let mut volume_name = [0; 16];
    volume_name[..5].copy_from_slice(b"spore");
    SuperBlock {
        magic: MAGIC.into(),
        block_bits: BLOCK_BITS,
        root_nid: u16::try_from(layout.nid(ROOT)).expect("the root inode comes first").into(),
        inode_count: (layout.placed.len() as u64).into(),
        build_time: options.mtime.into(),
        blocks: u32::try_from(layout.blocks).expect("IMAGE_MAX is less than 2^32 blocks").into(),
        volume_name,
        ..SuperBlock::new_zeroed()
    }
}

fn on_disk(tree: &Tree, inode: &Placed, index: usize, options: &Options) -> ExtendedInode {
    let node = &tree.nodes[inode.node];
    let file_type = match node.kind {
        Kind::Directory(_) => MODE_DIRECTORY,
        Kind::File(_) => MODE_REGULAR,
        Kind::Symlink(_) => MODE_SYMLINK,
    };
    let data_layout = if inode.block.is_some() { DataLayout::Plain } else { DataLayout::Inline };
    let block = u32::try_from(inode.block.unwrap_or(0)).expect("IMAGE_MAX is less than 2^32 blocks");
    let number = u32::try_from(index + 1).expect("a tree has at most NODES_MAX nodes");
    ExtendedInode {
        format: (FORMAT_EXTENDED | (data_layout as u16) << 1).into(),
        mode: (file_type | node.mode).into(),
        size: inode.size.into(),
        data: block.into(),
        ino: number.into(),
        mtime: options.mtime.into(),
        nlink: inode.links.into(),
        ..ExtendedInode::new_zeroed()
    }
}

/// The contents of a directory or a symbolic link.
fn small_contents(tree: &Tree, layout: &Layout, inode: &Placed) -> Vec<u8> {
    match &tree.nodes[inode.node].kind {
        Kind::Directory(entries) => directory_contents(tree, layout, inode, entries),
        Kind::Symlink(target) => target.clone(),
        Kind::File(_) => Vec::new(),
    }
}

fn directory_contents(
    tree: &Tree,
    layout: &Layout,
    inode: &Placed,
    entries: &BTreeMap<Vec<u8>, NodeId>,
) -> Vec<u8> {
    let on_disk: Vec<Entry<'_>> = layout::with_dots(entries)
        .map(|(name, node)| {
            let node = node.unwrap_or(if name == b"." { inode.node } else { inode.parent });
            let file_type = match tree.nodes[node].kind {
                Kind::Directory(_) => TYPE_DIRECTORY,
                Kind::File(_) => TYPE_REGULAR,
                Kind::Symlink(_) => TYPE_SYMLINK,
            };
            Entry { name, nid: layout.nid(node), file_type }
        })
        .collect();
    directory::encode(&on_disk)
}

fn write_file(content: &Content, out: &mut impl Write) -> Result<()> {
    match content {
        Content::Bytes(bytes) => out.write_all(bytes).map_err(Error::Write)?,
        Content::Host { path, len } => copy_host_file(path, *len, out)?,
    }
    let padding = content.len().next_multiple_of(BLOCK as u64) - content.len();
    let padding = usize::try_from(padding).expect("less than a block");
    out.write_all(&[0; BLOCK][..padding]).map_err(Error::Write)
}

fn copy_host_file(path: &Path, len: u64, out: &mut impl Write) -> Result<()> {
    let unreadable = |source| Error::Host { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut buffer = vec![0; 1 << 18];
    let mut left = len;
    loop {
        let got = match file.read(&mut buffer) {
            Ok(got) => got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        if got as u64 > left || (got == 0 && left > 0) {
            return Err(Error::Changed { path: path.to_path_buf() });
        }
        if got == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..got]).map_err(Error::Write)?;
        left -= got as u64;
    }
}
