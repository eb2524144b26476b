//! Reads EROFS images that lie in memory: uncompressed, 4 KiB blocks.
//!
//! An image is data from outside: every number in it is checked before it is used, and damage is reported as
//! `EUCLEAN` when it is met. Contents are slices of the image; nothing is copied.

use crate::errno::{Errno, Result};
use abi::erofs::{
    BLOCK, BLOCK_BITS, CompactInode, DataLayout, Dirent, ExtendedInode, FORMAT_EXTENDED, KNOWN_INCOMPAT,
    LINK_MAX, MAGIC, MODE_DIRECTORY, MODE_SYMLINK, MODE_TYPE, NAME_MAX, SLOT, SUPER_OFFSET, SuperBlock,
};
use alloc::vec::Vec;
use core::cmp::Ordering;
use zerocopy::FromBytes;

/// A file system image.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    data: &'static [u8],
    /// Offset of inode 0.
    meta: u64,
    root: u64,
    inodes: u64,
    /// Modification time of compact inodes.
    build_time: (u64, u32),
}

/// One inode, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Inode {
    /// Number.
    pub nid: u64,
    /// Type and permissions.
    pub mode: u16,
    /// Names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of contents.
    pub size: u64,
    /// Modification time: seconds, nanoseconds.
    pub mtime: (u64, u32),
    layout: DataLayout,
    /// First block of contents.
    block: u32,
    /// Offset behind the inode, where inline contents lie.
    end: u64,
}

impl Inode {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & MODE_TYPE == MODE_DIRECTORY
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode & MODE_TYPE == MODE_SYMLINK
    }
}

/// Contents of an inode: two runs, because what does not fill a block may lie behind the inode.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// The contents from the beginning.
    pub head: &'static [u8],
    /// The rest.
    pub tail: &'static [u8],
}

impl Contents {
    /// Copies what lies at `offset` to `buf` and returns how much there was.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let Ok(offset) = usize::try_from(offset) else { return 0 };
        let mut done = 0;
        for (run, start) in [(self.head, 0), (self.tail, self.head.len())] {
            let from = (offset + done).saturating_sub(start).min(run.len());
            if offset + done >= start {
                let len = (run.len() - from).min(buf.len() - done);
                buf[done..done + len].copy_from_slice(&run[from..from + len]);
                done += len;
            }
        }
        done
    }

    /// The contents if they are in one piece, as in every image Spore builds.
    pub fn whole(&self) -> Option<&'static [u8]> {
        if self.head.is_empty() {
            Some(self.tail)
        } else if self.tail.is_empty() {
            Some(self.head)
        } else {
            None
        }
    }
}

/// One name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: &'static [u8],
    /// Its inode.
    pub nid: u64,
    /// A `TYPE_*` of [`abi::erofs`].
    pub file_type: u8,
}

impl Image {
    /// Checks the superblock of `data`.
    pub fn open(data: &'static [u8]) -> Result<Self> {
        let bytes = data.get(SUPER_OFFSET..).ok_or(Errno::EUCLEAN)?;
        let (sb, _) = SuperBlock::read_from_prefix(bytes).map_err(|_| Errno::EUCLEAN)?;
        let plain = sb.feature_incompat.get() & !KNOWN_INCOMPAT == 0 && sb.dir_block_bits == 0;
        if sb.magic.get() != MAGIC || sb.block_bits != BLOCK_BITS || !plain {
            return Err(Errno::EUCLEAN);
        }
        let image = Self {
            data,
            meta: u64::from(sb.meta_blkaddr.get()) << BLOCK_BITS,
            root: u64::from(sb.root_nid.get()),
            inodes: sb.inode_count.get(),
            build_time: (sb.build_time.get(), sb.build_time_nsec.get()),
        };
        if image.root()?.is_dir() { Ok(image) } else { Err(Errno::EUCLEAN) }
    }

    /// The inode of `/`.
    pub fn root(&self) -> Result<Inode> {
        self.inode(self.root)
    }

    /// Bytes of the image.
    pub fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// Number of inodes, as the superblock says.
    pub fn inode_count(&self) -> u64 {
        self.inodes
    }

    /// The `len` bytes at `offset`.
    fn at(&self, offset: u64, len: u64) -> Result<&'static [u8]> {
        let start = usize::try_from(offset).map_err(|_| Errno::EUCLEAN)?;
        let len = usize::try_from(len).map_err(|_| Errno::EUCLEAN)?;
        let end = start.checked_add(len).ok_or(Errno::EUCLEAN)?;
        self.data.get(start..end).ok_or(Errno::EUCLEAN)
    }

    fn structure<T: FromBytes>(&self, offset: u64) -> Result<T> {
        T::read_from_bytes(self.at(offset, size_of::<T>() as u64)?).map_err(|_| Errno::EUCLEAN)
    }

    /// Inode number `nid`.
    pub fn inode(&self, nid: u64) -> Result<Inode> {
        let offset = nid.checked_mul(SLOT as u64).and_then(|offset| offset.checked_add(self.meta));
        let offset = offset.ok_or(Errno::EUCLEAN)?;
        let compact: CompactInode = self.structure(offset)?;
        let format = compact.format.get();
        let layout = DataLayout::of_format(format).ok_or(Errno::EUCLEAN)?;
        let xattrs = match u64::from(compact.xattr_count.get()) {
            0 => 0,
            count => 12 + 4 * (count - 1),
        };
        if format & FORMAT_EXTENDED == 0 {
            return Ok(Inode {
                nid,
                mode: compact.mode.get(),
                nlink: compact.nlink.get().into(),
                uid: compact.uid.get().into(),
                gid: compact.gid.get().into(),
                size: compact.size.get().into(),
                mtime: self.build_time,
                layout,
                block: compact.data.get(),
                end: offset + size_of::<CompactInode>() as u64 + xattrs,
            });
        }
        let extended: ExtendedInode = self.structure(offset)?;
        Ok(Inode {
            nid,
            mode: extended.mode.get(),
            nlink: extended.nlink.get(),
            uid: extended.uid.get(),
            gid: extended.gid.get(),
            size: extended.size.get(),
            mtime: (extended.mtime.get(), extended.mtime_nsec.get()),
            layout,
            block: extended.data.get(),
            end: offset + size_of::<ExtendedInode>() as u64 + xattrs,
        })
    }

    /// The contents of `inode`.
    pub fn contents(&self, inode: &Inode) -> Result<Contents> {
        let inline = match inode.layout {
            DataLayout::Plain => 0,
            DataLayout::Inline => inode.size % BLOCK as u64,
        };
        let in_blocks = inode.size - inline;
        let head: &[u8] = match in_blocks {
            0 => &[],
            len => self.at(u64::from(inode.block) << BLOCK_BITS, len)?,
        };
        let tail: &[u8] = match inline {
            0 => &[],
            len => self.at(inode.end, len)?,
        };
        Ok(Contents { head, tail })
    }

    /// The target of the symbolic link `inode`.
    pub fn link_target(&self, inode: &Inode) -> Result<Vec<u8>> {
        if inode.size == 0 || inode.size > LINK_MAX as u64 {
            return Err(Errno::EUCLEAN);
        }
        let contents = self.contents(inode)?;
        let target = [contents.head, contents.tail].concat();
        if target.contains(&0) { Err(Errno::EUCLEAN) } else { Ok(target) }
    }

    /// The entry `name` of the directory `dir`.
    pub fn lookup(&self, dir: &Inode, name: &[u8]) -> Result<Option<Entry>> {
        let blocks = DirBlocks::of(self.contents(dir)?);
        let (mut low, mut high) = (0, blocks.count());
        while low < high {
            let middle = low + (high - low) / 2;
            match blocks.get(middle)?.find(name)? {
                Found::Here(entry) => return Ok(Some(entry)),
                Found::Nowhere => return Ok(None),
                Found::Before => high = middle,
                Found::After => low = middle + 1,
            }
        }
        Ok(None)
    }

    /// The entries of the directory `dir` from number `first` on, `.` and `..` among them, each with its number.
    pub fn entries(&self, dir: &Inode, first: u64) -> Result<impl Iterator<Item = Result<(u64, Entry)>>> {
        let blocks = DirBlocks::of(self.contents(dir)?);
        // An entry's number is its block and its place in the block.
        let per_block = (BLOCK / size_of::<Dirent>() + 1) as u64;
        let from = usize::try_from(first / per_block).unwrap_or(usize::MAX);
        let entries = (from..blocks.count()).flat_map(move |index| {
            let block = blocks.get(index);
            let (count, damage) = match &block {
                Ok(block) => (block.count, None),
                Err(error) => (0, Some(Err(*error))),
            };
            let numbered = (0..count).filter_map(move |place| {
                let number = index as u64 * per_block + place as u64;
                let entry = block.and_then(|block| block.entry(place)).map(|entry| (number, entry));
                if number < first { None } else { Some(entry) }
            });
            numbered.chain(damage)
        });
        Ok(entries)
    }
}

/// The contents of a directory as blocks.
#[derive(Clone, Copy)]
struct DirBlocks(Contents);

impl DirBlocks {
    fn of(contents: Contents) -> Self {
        Self(contents)
    }

    fn count(&self) -> usize {
        self.0.head.len().div_ceil(BLOCK) + usize::from(!self.0.tail.is_empty())
    }

    fn get(&self, index: usize) -> Result<DirBlock> {
        let block = self.0.head.chunks(BLOCK).nth(index).unwrap_or(self.0.tail);
        DirBlock::of(block)
    }
}

/// Where a name is, seen from one block.
enum Found {
    Here(Entry),
    Nowhere,
    Before,
    After,
}

/// One block of a directory.
#[derive(Clone, Copy)]
struct DirBlock {
    bytes: &'static [u8],
    count: usize,
}

impl DirBlock {
    fn of(bytes: &'static [u8]) -> Result<Self> {
        let (first, _) = Dirent::read_from_prefix(bytes).map_err(|_| Errno::EUCLEAN)?;
        let names = usize::from(first.name_offset.get());
        let count = names / size_of::<Dirent>();
        if count == 0 || !names.is_multiple_of(size_of::<Dirent>()) || names >= bytes.len() {
            return Err(Errno::EUCLEAN);
        }
        Ok(Self { bytes, count })
    }

    fn dirent(&self, place: usize) -> Result<Dirent> {
        let bytes = self.bytes.get(place * size_of::<Dirent>()..).ok_or(Errno::EUCLEAN)?;
        Dirent::read_from_prefix(bytes).map(|(dirent, _)| dirent).map_err(|_| Errno::EUCLEAN)
    }

    /// The name at `place`, whatever it is.
    fn name(&self, place: usize, dirent: &Dirent) -> Result<&'static [u8]> {
        let start = usize::from(dirent.name_offset.get());
        if place + 1 < self.count {
            let end = usize::from(self.dirent(place + 1)?.name_offset.get());
            self.bytes.get(start..end).ok_or(Errno::EUCLEAN)
        } else {
            let rest = self.bytes.get(start..).ok_or(Errno::EUCLEAN)?;
            Ok(rest.split(|&byte| byte == 0).next().unwrap_or_default())
        }
    }

    fn entry(&self, place: usize) -> Result<Entry> {
        let dirent = self.dirent(place)?;
        let name = self.name(place, &dirent)?;
        let valid = !name.is_empty() && name.len() <= NAME_MAX && !name.contains(&b'/') && !name.contains(&0);
        if !valid {
            return Err(Errno::EUCLEAN);
        }
        Ok(Entry { name, nid: dirent.nid.get(), file_type: dirent.file_type })
    }

    /// Looks for `name`; the names of a directory are in byte order.
    fn find(&self, name: &[u8]) -> Result<Found> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match name.cmp(self.name(middle, &self.dirent(middle)?)?) {
                Ordering::Equal => return self.entry(middle).map(Found::Here),
                Ordering::Less => high = middle,
                Ordering::Greater => low = middle + 1,
            }
        }
        Ok(match low {
            0 => Found::Before,
            place if place == self.count => Found::After,
            _ => Found::Nowhere,
        })
    }
}

#[cfg(test)]
#[path = "erofs_tests.rs"]
mod tests;
