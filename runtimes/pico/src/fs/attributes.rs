//! What stat(2), statx(2) and statfs(2) tell, from one description.

use linux_raw_sys::general::{
    self as linux, __kernel_fsid_t, S_IFMT, stat as Stat, statfs as StatFs, statx as Statx, statx_timestamp,
};

/// A point in time as file systems store it: nanoseconds since 1970-01-01T00:00:00Z.
pub type Time = i64;

const NS: i64 = 1_000_000_000;

/// The metadata of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// File system.
    pub dev: u64,
    /// Number in the file system.
    pub ino: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// For devices: which.
    pub rdev: u64,
    /// Bytes of contents.
    pub size: u64,
    /// Bytes of memory that hold contents.
    pub allocated: u64,
    /// Last read, where it is kept.
    pub atime: Time,
    /// Last change of the contents.
    pub mtime: Time,
    /// Last change of the metadata.
    pub ctime: Time,
}

/// `value` as the signed number an ABI structure has.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn seconds(time: Time) -> u64 {
    time.div_euclid(NS).cast_unsigned()
}

fn nanoseconds(time: Time) -> u64 {
    time.rem_euclid(NS).cast_unsigned()
}

/// The time of `seconds` and `nanoseconds`, as near as a [`Time`] gets.
pub fn time(seconds: i64, nanoseconds: u32) -> Time {
    seconds.saturating_mul(NS).saturating_add(nanoseconds.into())
}

impl Attributes {
    /// For stat(2).
    pub fn to_stat(&self) -> Stat {
        Stat {
            st_dev: self.dev,
            st_ino: self.ino,
            st_nlink: self.nlink.into(),
            st_mode: self.mode,
            st_uid: self.uid,
            st_gid: self.gid,
            __pad0: 0,
            st_rdev: self.rdev,
            st_size: signed(self.size),
            st_blksize: 4096,
            st_blocks: signed(self.allocated.div_ceil(512)),
            st_atime: seconds(self.atime),
            st_atime_nsec: nanoseconds(self.atime),
            st_mtime: seconds(self.mtime),
            st_mtime_nsec: nanoseconds(self.mtime),
            st_ctime: seconds(self.ctime),
            st_ctime_nsec: nanoseconds(self.ctime),
            __unused: [0; 3],
        }
    }
}

/// The parts of a device number, as makedev(3) joins them.
fn device_parts(dev: u64) -> (u32, u32) {
    let major = ((dev >> 8) & 0xfff) | ((dev >> 32) & 0xffff_f000);
    let minor = (dev & 0xff) | ((dev >> 12) & 0xffff_ff00);
    (low(major), low(minor))
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).expect("32 bits are left")
}

/// What statx(2) tells about a file that `stat` describes.
pub fn to_statx(stat: &Stat) -> Statx {
    let (dev_major, dev_minor) = device_parts(stat.st_dev);
    let (rdev_major, rdev_minor) = device_parts(stat.st_rdev);
    let stamp = |seconds: u64, nanoseconds: u64| statx_timestamp {
        tv_sec: seconds.cast_signed(),
        tv_nsec: low(nanoseconds),
        __reserved: 0,
    };
    let mode = u16::try_from(stat.st_mode & 0xffff).expect("16 bits are left");
    Statx {
        stx_mask: linux::STATX_BASIC_STATS,
        stx_blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        stx_attributes: 0,
        stx_nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        stx_uid: stat.st_uid,
        stx_gid: stat.st_gid,
        stx_mode: mode,
        __spare0: [0],
        stx_ino: stat.st_ino,
        stx_size: stat.st_size.cast_unsigned(),
        stx_blocks: stat.st_blocks.cast_unsigned(),
        stx_attributes_mask: 0,
        stx_atime: stamp(stat.st_atime, stat.st_atime_nsec),
        stx_btime: stamp(0, 0),
        stx_ctime: stamp(stat.st_ctime, stat.st_ctime_nsec),
        stx_mtime: stamp(stat.st_mtime, stat.st_mtime_nsec),
        stx_rdev_major: rdev_major,
        stx_rdev_minor: rdev_minor,
        stx_dev_major: dev_major,
        stx_dev_minor: dev_minor,
        stx_mnt_id: 0,
        stx_dio_mem_align: 0,
        stx_dio_offset_align: 0,
        stx_subvol: 0,
        stx_atomic_write_unit_min: 0,
        stx_atomic_write_unit_max: 0,
        stx_atomic_write_segments_max: 0,
        stx_dio_read_offset_align: 0,
        stx_atomic_write_unit_max_opt: 0,
        __spare2: [0],
        __spare3: [0; 8],
    }
}

/// A file system as statfs(2) describes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Space {
    /// `f_type`.
    pub magic: u32,
    /// Pages there are.
    pub pages: u64,
    /// Pages that are free.
    pub free_pages: u64,
    /// Files there can be.
    pub files: u64,
    /// Files that can still be made.
    pub free_files: u64,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Tells file systems apart.
    pub id: u64,
}

const ST_RDONLY: i64 = 1;
const ST_NOSUID: i64 = 2;
const ST_VALID: i64 = 0x20;
const ST_NOATIME: i64 = 0x400;

impl Space {
    /// For statfs(2).
    pub fn to_statfs(self) -> StatFs {
        StatFs {
            f_type: self.magic.into(),
            f_bsize: 4096,
            f_blocks: signed(self.pages),
            f_bfree: signed(self.free_pages),
            f_bavail: signed(self.free_pages),
            f_files: signed(self.files),
            f_ffree: signed(self.free_files),
            f_fsid: __kernel_fsid_t { val: [low(self.id).cast_signed(), 0] },
            f_namelen: 255,
            f_frsize: 4096,
            f_flags: ST_VALID | ST_NOSUID | ST_NOATIME | if self.read_only { ST_RDONLY } else { 0 },
            f_spare: [0; 4],
        }
    }
}

/// Whether `mode` says directory.
pub fn is_dir(mode: u32) -> bool {
    mode & S_IFMT == linux::S_IFDIR
}

/// Whether `mode` says symbolic link.
pub fn is_symlink(mode: u32) -> bool {
    mode & S_IFMT == linux::S_IFLNK
}

/// Whether `mode` says regular file.
pub fn is_regular(mode: u32) -> bool {
    mode & S_IFMT == linux::S_IFREG
}

/// The `DT_*` of readdir(3) for `mode`.
pub fn dirent_type(mode: u32) -> u8 {
    u8::try_from((mode & S_IFMT) >> 12).expect("4 bits are left")
}
