//! Changing permissions, owners, times and extended attributes of files.

use super::path::{existing, full, partial, place_of};
use super::stat::check_flags;
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::fs::Location;
use crate::fs::attributes::{Time, is_symlink, time};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_chmod, "chmod", chmod),
    full(linux::__NR_fchmod, "fchmod", fchmod),
    full(linux::__NR_fchmodat, "fchmodat", fchmodat),
    full(linux::__NR_fchmodat2, "fchmodat2", fchmodat2),
    full(linux::__NR_chown, "chown", chown),
    full(linux::__NR_lchown, "lchown", lchown),
    full(linux::__NR_fchown, "fchown", fchown),
    full(linux::__NR_fchownat, "fchownat", fchownat),
    full(linux::__NR_utimensat, "utimensat", utimensat),
    full(linux::__NR_utimes, "utimes", utimes),
    full(linux::__NR_futimesat, "futimesat", futimesat),
    full(linux::__NR_utime, "utime", utime),
    partial(linux::__NR_getxattr, "getxattr", no_data, NO_XATTR),
    partial(linux::__NR_lgetxattr, "lgetxattr", no_data_link, NO_XATTR),
    partial(linux::__NR_fgetxattr, "fgetxattr", no_data_fd, NO_XATTR),
    partial(linux::__NR_listxattr, "listxattr", no_names, NO_XATTR),
    partial(linux::__NR_llistxattr, "llistxattr", no_names_link, NO_XATTR),
    partial(linux::__NR_flistxattr, "flistxattr", no_names_fd, NO_XATTR),
    partial(linux::__NR_setxattr, "setxattr", unsupported, NO_XATTR),
    partial(linux::__NR_lsetxattr, "lsetxattr", unsupported, NO_XATTR),
    partial(linux::__NR_fsetxattr, "fsetxattr", unsupported, NO_XATTR),
    partial(linux::__NR_removexattr, "removexattr", unsupported, NO_XATTR),
    partial(linux::__NR_lremovexattr, "lremovexattr", unsupported, NO_XATTR),
    partial(linux::__NR_fremovexattr, "fremovexattr", unsupported, NO_XATTR),
];

const NO_XATTR: &str = "no file has extended attributes and none can be set (EOPNOTSUPP)";

/// What descriptor argument 0 refers to; `O_PATH` will not do.
fn open_place(kernel: &Kernel, args: &Args) -> Result<Location> {
    Ok(place_of(&*super::path::open_arg(kernel, args, 0)?))
}

fn set_mode(kernel: &Kernel, location: &Location, mode: u32) -> Result<u64> {
    let inode = location.writable()?;
    if is_symlink(location.stat()?.st_mode) {
        return Err(Errno::EOPNOTSUPP);
    }
    inode.mode.set(mode & 0o7777);
    inode.ctime.set(kernel.file_time());
    kernel.tell_at(location, linux::IN_ATTRIB);
    Ok(0)
}

fn chmod(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    set_mode(kernel, &location, args.uint(1))
}

fn fchmod(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = open_place(kernel, args)?;
    set_mode(kernel, &location, args.uint(1))
}

fn fchmodat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, args.int(0), args.raw(1), 0)?;
    set_mode(kernel, &location, args.uint(2))
}

fn fchmodat2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(3);
    check_flags(flags, linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH)?;
    let location = existing(kernel, args.int(0), args.raw(1), flags)?;
    set_mode(kernel, &location, args.uint(2))
}

fn set_owner(kernel: &Kernel, location: &Location, uid: u32, gid: u32) -> Result<u64> {
    const KEEP: u32 = u32::MAX;
    const SET_ID: u32 = 0o6000;
    let inode = location.writable()?;
    let (old_uid, old_gid) = inode.owner.get();
    inode.owner.set((if uid == KEEP { old_uid } else { uid }, if gid == KEEP { old_gid } else { gid }));
    if !inode.is_dir() {
        inode.mode.set(inode.mode.get() & !SET_ID);
    }
    inode.ctime.set(kernel.file_time());
    kernel.tell_at(location, linux::IN_ATTRIB);
    Ok(0)
}

fn chown(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    set_owner(kernel, &location, args.uint(1), args.uint(2))
}

fn lchown(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), linux::AT_SYMLINK_NOFOLLOW)?;
    set_owner(kernel, &location, args.uint(1), args.uint(2))
}

fn fchown(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = open_place(kernel, args)?;
    set_owner(kernel, &location, args.uint(1), args.uint(2))
}

fn fchownat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(4);
    check_flags(flags, linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH)?;
    let location = existing(kernel, args.int(0), args.raw(1), flags)?;
    set_owner(kernel, &location, args.uint(2), args.uint(3))
}

/// A new time of a file; nothing keeps the old one.
type NewTime = Option<Time>;

fn set_times(kernel: &Kernel, location: &Location, [atime, mtime]: [NewTime; 2]) -> Result<u64> {
    if atime.is_none() && mtime.is_none() {
        return Ok(0);
    }
    let inode = location.writable()?;
    atime.into_iter().for_each(|atime| inode.atime.set(atime));
    mtime.into_iter().for_each(|mtime| inode.mtime.set(mtime));
    inode.ctime.set(kernel.file_time());
    let event = match (atime, mtime) {
        (Some(_), None) => linux::IN_ACCESS,
        (None, Some(_)) => linux::IN_MODIFY,
        _ => linux::IN_ATTRIB,
    };
    kernel.tell_at(location, event);
    Ok(0)
}

fn utimensat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(3);
    check_flags(flags, linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH)?;
    let now = kernel.file_time();
    let mut times = [Some(now); 2];
    if args.raw(2) != 0 {
        let given: [[i64; 2]; 2] = kernel.mm.read(args.raw(2))?;
        for (slot, [seconds, nanoseconds]) in times.iter_mut().zip(given) {
            *slot = match u32::try_from(nanoseconds) {
                Ok(linux::UTIME_NOW) => Some(now),
                Ok(linux::UTIME_OMIT) => None,
                Ok(nanoseconds @ 0..1_000_000_000) => Some(time(seconds, nanoseconds)),
                _ => return Err(Errno::EINVAL),
            };
        }
    }
    let location = if args.raw(1) == 0 {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        open_place(kernel, args)?
    } else {
        existing(kernel, args.int(0), args.raw(1), flags)?
    };
    set_times(kernel, &location, times)
}

/// Two `timeval` at `addr`, or now.
fn timevals(kernel: &Kernel, addr: u64) -> Result<[NewTime; 2]> {
    if addr == 0 {
        return Ok([Some(kernel.file_time()); 2]);
    }
    let given: [[i64; 2]; 2] = kernel.mm.read(addr)?;
    let mut times = [None; 2];
    for (slot, [seconds, microseconds]) in times.iter_mut().zip(given) {
        let microseconds = u32::try_from(microseconds).ok().filter(|&value| value < 1_000_000);
        *slot = Some(time(seconds, microseconds.ok_or(Errno::EINVAL)? * 1000));
    }
    Ok(times)
}

fn utimes(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let times = timevals(kernel, args.raw(1))?;
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    set_times(kernel, &location, times)
}

fn futimesat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let times = timevals(kernel, args.raw(2))?;
    let location = if args.raw(1) == 0 {
        open_place(kernel, args)?
    } else {
        existing(kernel, args.int(0), args.raw(1), 0)?
    };
    set_times(kernel, &location, times)
}

fn utime(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let times = if args.raw(1) == 0 {
        [Some(kernel.file_time()); 2]
    } else {
        let seconds: [i64; 2] = kernel.mm.read(args.raw(1))?;
        seconds.map(|seconds| Some(time(seconds, 0)))
    };
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    set_times(kernel, &location, times)
}

fn no_data(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    Err(Errno::ENODATA)
}

fn no_data_link(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    existing(kernel, linux::AT_FDCWD, args.raw(0), linux::AT_SYMLINK_NOFOLLOW)?;
    Err(Errno::ENODATA)
}

fn no_data_fd(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    open_place(kernel, args)?;
    Err(Errno::ENODATA)
}

fn no_names(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    existing(kernel, linux::AT_FDCWD, args.raw(0), 0).map(|_| 0)
}

fn no_names_link(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    existing(kernel, linux::AT_FDCWD, args.raw(0), linux::AT_SYMLINK_NOFOLLOW).map(|_| 0)
}

fn no_names_fd(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    open_place(kernel, args).map(|_| 0)
}

fn unsupported(_kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    Err(Errno::EOPNOTSUPP)
}
