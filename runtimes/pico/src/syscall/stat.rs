//! What is known about files and file systems.

use super::path::{existing, full, partial, place_of};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::fs::attributes::{is_regular, to_statx};
use crate::fs::{Location, Node};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_stat, "stat", stat),
    full(linux::__NR_lstat, "lstat", lstat),
    full(linux::__NR_fstat, "fstat", fstat),
    full(linux::__NR_newfstatat, "newfstatat", newfstatat),
    partial(linux::__NR_statx, "statx", statx, "basic fields only: no birth time, no mount id"),
    full(linux::__NR_statfs, "statfs", statfs),
    full(linux::__NR_fstatfs, "fstatfs", fstatfs),
    full(linux::__NR_access, "access", access),
    full(linux::__NR_faccessat, "faccessat", faccessat),
    full(linux::__NR_faccessat2, "faccessat2", faccessat2),
];

fn put_stat(kernel: &Kernel, location: &Location, target: u64) -> Result<u64> {
    kernel.mm.put(target, &location.stat()?)?;
    Ok(0)
}

fn stat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    put_stat(kernel, &location, args.raw(1))
}

fn lstat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), linux::AT_SYMLINK_NOFOLLOW)?;
    put_stat(kernel, &location, args.raw(1))
}

fn fstat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let stat = kernel.fds.get(args.fd(0)?)?.open.file.stat()?;
    kernel.mm.put(args.raw(1), &stat)?;
    Ok(0)
}

/// Refuses flags outside of `known`.
pub(super) fn check_flags(flags: u32, known: u32) -> Result<()> {
    if flags & !known == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn newfstatat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(3);
    check_flags(flags, linux::AT_EMPTY_PATH | linux::AT_NO_AUTOMOUNT | linux::AT_SYMLINK_NOFOLLOW)?;
    let location = existing(kernel, args.int(0), args.raw(1), flags)?;
    put_stat(kernel, &location, args.raw(2))
}

fn statx(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const FLAGS: u32 = linux::AT_EMPTY_PATH
        | linux::AT_NO_AUTOMOUNT
        | linux::AT_SYMLINK_NOFOLLOW
        | linux::AT_STATX_SYNC_TYPE;
    let (flags, mask) = (args.uint(2), args.uint(3));
    check_flags(flags, FLAGS)?;
    if mask & linux::STATX__RESERVED != 0 || flags & linux::AT_STATX_SYNC_TYPE == linux::AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let location = existing(kernel, args.int(0), args.raw(1), flags)?;
    kernel.mm.put(args.raw(4), &to_statx(&location.stat()?))?;
    Ok(0)
}

fn statfs(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    kernel.mm.put(args.raw(1), &location.space(kernel)?.to_statfs())?;
    Ok(0)
}

fn fstatfs(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = place_of(&kernel.fds.get(args.fd(0)?)?.open);
    kernel.mm.put(args.raw(1), &location.space(kernel)?.to_statfs())?;
    Ok(0)
}

fn access(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_access(kernel, linux::AT_FDCWD, args.raw(0), args.uint(1), 0)
}

fn faccessat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_access(kernel, args.int(0), args.raw(1), args.uint(2), 0)
}

fn faccessat2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_flags(args.uint(3), linux::AT_EACCESS | linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW)?;
    check_access(kernel, args.int(0), args.raw(1), args.uint(2), args.uint(3))
}

/// The program is root: it may do everything but write what is read-only and execute what nobody can.
fn check_access(kernel: &Kernel, dirfd: i32, path: u64, wanted: u32, flags: u32) -> Result<u64> {
    check_flags(wanted, linux::R_OK | linux::W_OK | linux::X_OK)?;
    let location = existing(kernel, dirfd, path, flags)?;
    let mode = location.stat()?.st_mode;
    if wanted & linux::X_OK != 0 && is_regular(mode) && mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    if wanted & linux::W_OK != 0 {
        match location.node {
            Node::Generated(_) => return Err(Errno::EACCES),
            Node::Image(..) | Node::Empty(_) | Node::Damaged(_) => return Err(Errno::EROFS),
            Node::Memory(_)
            | Node::Devices
            | Node::Device(_)
            | Node::DeviceLink(_)
            | Node::Terminals
            | Node::Terminal(_)
            | Node::Open(_) => {}
        }
    }
    Ok(0)
}
