//! Positions and sizes of files, and making them durable.

use super::file_io::writable;
use super::path::{existing, full, open_arg, partial};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::{File, OpenFile};
use crate::fs::attributes::{is_dir, is_regular};
use crate::fs::memory::MemoryFile;
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_lseek, "lseek", lseek),
    full(linux::__NR_truncate, "truncate", truncate),
    full(linux::__NR_ftruncate, "ftruncate", ftruncate),
    partial(
        linux::__NR_fallocate,
        "fallocate",
        fallocate,
        "FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE only, as on Linux's tmpfs",
    ),
    full(linux::__NR_fsync, "fsync", fsync),
    full(linux::__NR_fdatasync, "fdatasync", fsync),
    full(linux::__NR_sync, "sync", sync),
    full(linux::__NR_syncfs, "syncfs", any_file),
    full(linux::__NR_sync_file_range, "sync_file_range", any_file),
    full(linux::__NR_fadvise64, "fadvise64", fadvise64),
    full(linux::__NR_readahead, "readahead", any_file),
];

fn lseek(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_arg(kernel, args, 0)?;
    if !open.file.seekable() {
        return Err(Errno::ESPIPE);
    }
    if open.file.stat()?.st_mode & linux::S_IFMT == linux::S_IFCHR {
        return Ok(0);
    }
    let offset = args.raw(1).cast_signed();
    let from = match args.uint(2) {
        linux::SEEK_SET => 0,
        linux::SEEK_CUR => open.offset.get(),
        _ if open.file.location().is_some() => return Err(Errno::EINVAL),
        linux::SEEK_END => open.file.size(),
        linux::SEEK_DATA => return seek_data(&open, offset, false),
        linux::SEEK_HOLE => return seek_data(&open, offset, true),
        _ => return Err(Errno::EINVAL),
    };
    let to = from.checked_add_signed(offset);
    let to = to.filter(|&to| i64::try_from(to).is_ok()).ok_or(Errno::EINVAL)?;
    open.offset.set(to);
    Ok(to)
}

fn seek_data(open: &OpenFile, offset: i64, hole: bool) -> Result<u64> {
    let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
    let to = match open.file.as_any().downcast_ref::<MemoryFile>() {
        Some(file) => file.0.data()?.borrow().seek(offset, hole)?,
        None if offset >= open.file.size() => return Err(Errno::ENXIO),
        None if hole => open.file.size(),
        None => offset,
    };
    open.offset.set(to);
    Ok(to)
}

/// Argument `index` as a size of a file.
fn length(args: &Args, index: usize) -> Result<u64> {
    let value = args.raw(index);
    if i64::try_from(value).is_ok() { Ok(value) } else { Err(Errno::EINVAL) }
}

fn truncate(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    let size = length(args, 1)?;
    let mode = location.stat()?.st_mode;
    if is_dir(mode) {
        return Err(Errno::EISDIR);
    }
    if !is_regular(mode) {
        return Err(Errno::EINVAL);
    }
    MemoryFile(location.writable()?).truncate(kernel, size)?;
    kernel.tell_at(&location, linux::IN_MODIFY);
    Ok(0)
}

fn ftruncate(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let size = length(args, 1)?;
    open_arg(kernel, args, 0)?;
    let open = writable(kernel, args, 0).map_err(|_| Errno::EINVAL)?;
    open.file.truncate(kernel, size)?;
    kernel.tell_open(&open, linux::IN_MODIFY);
    Ok(0)
}

fn fallocate(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const MODES: u32 = linux::FALLOC_FL_KEEP_SIZE | linux::FALLOC_FL_PUNCH_HOLE;
    open_arg(kernel, args, 0)?;
    let (mode, offset, len) = (args.uint(1), length(args, 2)?, length(args, 3)?);
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let keep = mode & linux::FALLOC_FL_KEEP_SIZE != 0;
    let punch = mode & linux::FALLOC_FL_PUNCH_HOLE != 0;
    if mode & !MODES != 0 || punch && !keep {
        return Err(Errno::EOPNOTSUPP);
    }
    let open = writable(kernel, args, 0)?;
    let file_mode = open.file.stat()?.st_mode;
    let Some(file) = open.file.as_any().downcast_ref::<MemoryFile>() else {
        return Err(if file_mode & linux::S_IFMT == linux::S_IFIFO { Errno::ESPIPE } else { Errno::ENODEV });
    };
    let now = kernel.file_time();
    if punch {
        file.0.punch(&mut kernel.mm, offset, len, now)?;
    } else {
        file.0.allocate(&mut kernel.mm, offset, len, keep, now)?;
    }
    kernel.tell_open(&open, linux::IN_MODIFY);
    Ok(0)
}

fn fsync(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_arg(kernel, args, 0)?;
    match open.file.stat()?.st_mode & linux::S_IFMT {
        linux::S_IFIFO | linux::S_IFSOCK => Err(Errno::EINVAL),
        _ => open.file.sync().map(|()| 0),
    }
}

fn sync(_kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    Ok(0)
}

/// Nothing to do for a file in memory.
fn any_file(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    open_arg(kernel, args, 0).map(|_| 0)
}

fn fadvise64(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_arg(kernel, args, 0)?;
    if open.file.stat()?.st_mode & linux::S_IFMT == linux::S_IFIFO {
        return Err(Errno::ESPIPE);
    }
    if args.uint(3) > linux::POSIX_FADV_NOREUSE { Err(Errno::EINVAL) } else { Ok(0) }
}
