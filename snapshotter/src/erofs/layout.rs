//! Decides where in the image every inode and every file lies, before anything is written.
//!
//! ```text
//! 0                superblock block: 1 KiB of zeros, superblock, then the first inodes
//! ...              inodes; directories and links that fit have their contents behind them
//! next block       contents of larger directories and links
//! ...              contents of files, each from a block boundary; large ones begin at a multiple of 2 MiB, so that a
//!                  guest can map them with large pages, and small ones fill the gaps before them
//! ```

use super::directory;
use super::error::{Error, Result};
use super::tree::{Kind, NodeId, ROOT, Tree};
use abi::erofs::{BLOCK, ExtendedInode, SLOT, SUPER_OFFSET, SuperBlock};
use abi::layout::HUGE;
use std::collections::BTreeMap;

/// Blocks of a large page.
const LARGE_BLOCKS: u64 = HUGE / BLOCK as u64;

/// Where one inode lies.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) node: NodeId,
    /// Number of the inode: its offset over [`SLOT`].
    pub(super) nid: u64,
    /// Bytes of contents.
    pub(super) size: u64,
    /// First block of contents; `None` if they lie behind the inode.
    pub(super) block: Option<u64>,
    /// Names of the inode.
    pub(super) links: u32,
    /// Directory it is in.
    pub(super) parent: NodeId,
}

/// Where everything lies.
pub(super) struct Layout {
    /// All inodes, by offset.
    pub(super) placed: Vec<Placed>,
    /// Position of a node in `placed`.
    pub(super) index: BTreeMap<NodeId, usize>,
    /// Blocks of superblock and inodes.
    pub(super) meta_blocks: u64,
    /// First block of contents of files.
    pub(super) first_file: u64,
    /// Blocks of the image.
    pub(super) blocks: u64,
}

impl Layout {
    /// The number of the inode of `node`.
    pub(super) fn nid(&self, node: NodeId) -> u64 {
        self.placed[self.index[&node]].nid
    }
}

/// Lays out `tree`.
pub(super) fn plan(tree: &Tree) -> Result<Layout> {
    let (mut placed, index) = collect(tree);
    let mut end = SUPER_OFFSET + size_of::<SuperBlock>();
    for inode in &mut placed {
        let behind = if inode.block.is_none() { usize_of(inode.size) } else { 0 };
        let bytes = size_of::<ExtendedInode>() + behind;
        let start = end.next_multiple_of(SLOT);
        let start = if start % BLOCK + bytes > BLOCK { start.next_multiple_of(BLOCK) } else { start };
        inode.nid = (start / SLOT) as u64;
        end = start + bytes;
    }
    let meta_blocks = end.div_ceil(BLOCK) as u64;
    let mut blocks = meta_blocks;
    let is_file = |inode: &Placed| matches!(tree.nodes[inode.node].kind, Kind::File(_));
    for inode in placed.iter_mut().filter(|inode| inode.block.is_some() && !is_file(inode)) {
        put(inode, &mut blocks);
    }
    let first_file = blocks;
    let (large, small): (Vec<_>, Vec<_>) =
        placed.iter_mut().filter(|inode| is_file(inode)).partition(|inode| inode.size >= HUGE);
    put_files(large, small, &mut blocks);
    let bytes = blocks.saturating_mul(BLOCK as u64);
    if bytes > abi::layout::IMAGE_MAX {
        return Err(Error::TooLarge { bytes });
    }
    Ok(Layout { placed, index, meta_blocks, first_file, blocks })
}

/// Puts the contents of `inode` at block `next`, which becomes the first one behind them.
fn put(inode: &mut Placed, next: &mut u64) {
    inode.block = Some(*next);
    *next = next.saturating_add(blocks_of(inode));
}

fn blocks_of(inode: &Placed) -> u64 {
    inode.size.div_ceil(BLOCK as u64)
}

/// Puts `large` files at multiples of 2 MiB and `small` ones where there is room.
fn put_files(large: Vec<&mut Placed>, small: Vec<&mut Placed>, next: &mut u64) {
    let mut small = small.into_iter().peekable();
    for file in large {
        let start = next.div_ceil(LARGE_BLOCKS).saturating_mul(LARGE_BLOCKS).max(*next);
        while let Some(filler) = small.next_if(|small| blocks_of(small) <= start - *next) {
            put(filler, next);
        }
        *next = start;
        put(file, next);
    }
    small.for_each(|file| put(file, next));
}

/// All nodes that have a name, directories before what is in them, in the order of their names.
fn collect(tree: &Tree) -> (Vec<Placed>, BTreeMap<NodeId, usize>) {
    let mut placed: Vec<Placed> = Vec::new();
    let mut index = BTreeMap::new();
    let mut ahead = vec![(ROOT, ROOT)];
    while let Some((node, parent)) = ahead.pop() {
        if let Some(&known) = index.get(&node) {
            let inode: &mut Placed = &mut placed[known];
            inode.links += 1;
            continue;
        }
        let size = contents_size(&tree.nodes[node].kind);
        let mut links = 1;
        if let Kind::Directory(entries) = &tree.nodes[node].kind {
            let is_dir = |id: &NodeId| matches!(tree.nodes[*id].kind, Kind::Directory(_));
            let subdirectories = entries.values().filter(|id| is_dir(id)).count();
            links = u32::try_from(2 + subdirectories).expect("a tree has at most NODES_MAX nodes");
            ahead.extend(entries.values().rev().map(|&id| (id, node)));
        }
        let is_file = matches!(tree.nodes[node].kind, Kind::File(_));
        let fits = usize_of(size) + size_of::<ExtendedInode>() <= BLOCK;
        let block = if is_file || !fits { Some(0) } else { None };
        index.insert(node, placed.len());
        placed.push(Placed { node, nid: 0, size, block, links, parent });
    }
    (placed, index)
}

fn contents_size(kind: &Kind) -> u64 {
    match kind {
        Kind::File(content) => content.len(),
        Kind::Symlink(target) => target.len() as u64,
        Kind::Directory(entries) => {
            let names: Vec<usize> = with_dots(entries).map(|(name, _)| name.len()).collect();
            directory::size(&names) as u64
        }
    }
}

/// The names in a directory in byte order, `.` and `..` (without a node) among them.
pub(super) fn with_dots(
    entries: &BTreeMap<Vec<u8>, NodeId>,
) -> impl Iterator<Item = (&[u8], Option<NodeId>)> {
    let dots: [&[u8]; 2] = [b".", b".."];
    let before = entries.range(..b".".to_vec());
    let between = entries.range(b".".to_vec()..b"..".to_vec());
    let after = entries.range(b"..".to_vec()..);
    before
        .map(|(name, &id)| (name.as_slice(), Some(id)))
        .chain([(dots[0], None)])
        .chain(between.map(|(name, &id)| (name.as_slice(), Some(id))))
        .chain([(dots[1], None)])
        .chain(after.map(|(name, &id)| (name.as_slice(), Some(id))))
}

fn usize_of(value: u64) -> usize {
    usize::try_from(value).expect("usize is 64 bits wide")
}
