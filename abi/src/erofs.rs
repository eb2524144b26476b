//! EROFS structures as they lie on disk, for the image writer (host) and the reader (pico).
//!
//! Only what Spore's images use: uncompressed, 4 KiB blocks, no extended attributes, no extra devices. All
//! integers are little endian and unaligned. The format is described in the Linux kernel's
//! `fs/erofs/erofs_fs.h` and `Documentation/filesystems/erofs.rst`.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// log2 of [`BLOCK`].
pub const BLOCK_BITS: u8 = 12;
/// Bytes in a block; equal to a page, so that file contents can be mapped.
pub const BLOCK: usize = 1 << BLOCK_BITS;
/// Offset of the [`SuperBlock`] in the image.
pub const SUPER_OFFSET: usize = 1024;
/// `SuperBlock::magic`.
pub const MAGIC: u32 = 0xe0f5_e1e2;
/// Inode number `nid` lies at `meta_blkaddr * BLOCK + nid * SLOT`.
pub const SLOT: usize = 32;
/// Longest file name in bytes.
pub const NAME_MAX: usize = 255;
/// Longest symbolic link target in bytes.
pub const LINK_MAX: usize = 4095;

/// The superblock.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SuperBlock {
    /// [`MAGIC`].
    pub magic: U32,
    /// CRC32-C of the block if `feature_compat` bit 0 is set.
    pub checksum: U32,
    /// Features a reader may ignore.
    pub feature_compat: U32,
    /// log2 of the block size: [`BLOCK_BITS`].
    pub block_bits: u8,
    /// Extra 16-byte slots of this structure.
    pub ext_slots: u8,
    /// Inode of `/`.
    pub root_nid: U16,
    /// Number of inodes.
    pub inode_count: U64,
    /// Modification time of compact inodes, in seconds.
    pub build_time: U64,
    /// Nanoseconds of `build_time`.
    pub build_time_nsec: U32,
    /// Blocks in the image.
    pub blocks: U32,
    /// First block of the inode area.
    pub meta_blkaddr: U32,
    /// First block of shared extended attributes.
    pub xattr_blkaddr: U32,
    /// Identifies the image.
    pub uuid: [u8; 16],
    /// Label.
    pub volume_name: [u8; 16],
    /// Features a reader must know; [`KNOWN_INCOMPAT`] are those that do not change an uncompressed image.
    pub feature_incompat: U32,
    /// Compression algorithms.
    pub compression: U16,
    /// Extra devices.
    pub extra_devices: U16,
    /// First device slot.
    pub device_slots: U16,
    /// log2 of directory block size over the block size.
    pub dir_block_bits: u8,
    /// Long extended attribute prefixes.
    pub xattr_prefix_count: u8,
    /// Where those are.
    pub xattr_prefix_start: U32,
    /// Inode of packed fragments.
    pub packed_nid: U64,
    /// Extended attribute filter.
    pub xattr_filter: u8,
    /// Zero.
    pub reserved: [u8; 23],
}

/// Incompatible features that change nothing for files that are not compressed (`LZ4_0PADDING`).
pub const KNOWN_INCOMPAT: u32 = 0x1;

/// How the contents of an inode are stored: bits 1 to 3 of `format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum DataLayout {
    /// Consecutive blocks from `data` on.
    Plain = 0,
    /// As `Plain`, but what does not fill a block follows the inode.
    Inline = 2,
}

impl DataLayout {
    /// The layout in the `format` field of an inode, if it is one Spore's images have.
    pub const fn of_format(format: u16) -> Option<Self> {
        match (format >> 1) & 7 {
            0 => Some(Self::Plain),
            2 => Some(Self::Inline),
            _ => None,
        }
    }
}

/// Bit 0 of `format`: the inode is an [`ExtendedInode`].
pub const FORMAT_EXTENDED: u16 = 1;

/// A 32-byte inode.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct CompactInode {
    /// Version and [`DataLayout`].
    pub format: U16,
    /// Size of inline extended attributes: 0 is none, else 12 + 4 * (n - 1) bytes.
    pub xattr_count: U16,
    /// Type and permissions as in `st_mode`.
    pub mode: U16,
    /// Names of this inode.
    pub nlink: U16,
    /// Bytes of contents.
    pub size: U32,
    /// Zero.
    pub reserved: U32,
    /// First block of contents, or the device number.
    pub data: U32,
    /// Number for `stat` in 32-bit programs.
    pub ino: U32,
    /// Owner.
    pub uid: U16,
    /// Group.
    pub gid: U16,
    /// Zero.
    pub reserved2: U32,
}

/// A 64-byte inode.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ExtendedInode {
    /// Version and [`DataLayout`].
    pub format: U16,
    /// Size of inline extended attributes: 0 is none, else 12 + 4 * (n - 1) bytes.
    pub xattr_count: U16,
    /// Type and permissions as in `st_mode`.
    pub mode: U16,
    /// Zero.
    pub reserved: U16,
    /// Bytes of contents.
    pub size: U64,
    /// First block of contents, or the device number.
    pub data: U32,
    /// Number for `stat` in 32-bit programs.
    pub ino: U32,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Modification time in seconds.
    pub mtime: U64,
    /// Nanoseconds of `mtime`.
    pub mtime_nsec: U32,
    /// Names of this inode.
    pub nlink: U32,
    /// Zero.
    pub reserved2: [u8; 16],
}

/// A directory entry. A directory block is an array of these, sorted by name over the whole directory,
/// followed by the names; the first entry's `name_offset` tells how many there are.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Dirent {
    /// Inode.
    pub nid: U64,
    /// Where the name starts in the block.
    pub name_offset: U16,
    /// A `TYPE_*` number.
    pub file_type: u8,
    /// Zero.
    pub reserved: u8,
}

/// `Dirent::file_type` of a regular file.
pub const TYPE_REGULAR: u8 = 1;
/// `Dirent::file_type` of a directory.
pub const TYPE_DIRECTORY: u8 = 2;
/// `Dirent::file_type` of a symbolic link.
pub const TYPE_SYMLINK: u8 = 7;

/// `S_IFMT`: the type bits of `mode`.
pub const MODE_TYPE: u16 = 0o170_000;
/// `S_IFREG`.
pub const MODE_REGULAR: u16 = 0o100_000;
/// `S_IFDIR`.
pub const MODE_DIRECTORY: u16 = 0o040_000;
/// `S_IFLNK`.
pub const MODE_SYMLINK: u16 = 0o120_000;

const _: () = assert!(size_of::<SuperBlock>() == 128);
const _: () = assert!(size_of::<CompactInode>() == SLOT);
const _: () = assert!(size_of::<ExtendedInode>() == 2 * SLOT);
const _: () = assert!(size_of::<Dirent>() == 12);
const _: () = assert!(BLOCK as u64 == crate::layout::PAGE);
