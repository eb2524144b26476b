//! Paths as arguments of system calls, the current directory, and links as text.

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::fs::path::{Found, How, Last, PATH_MAX};
use crate::fs::{Link, Location, Node};
use crate::kernel::Kernel;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_getcwd, "getcwd", getcwd),
    full(linux::__NR_chdir, "chdir", chdir),
    full(linux::__NR_fchdir, "fchdir", fchdir),
    full(linux::__NR_umask, "umask", umask),
    full(linux::__NR_readlink, "readlink", readlink),
    full(linux::__NR_readlinkat, "readlinkat", readlinkat),
];

/// A row that is supported in full.
pub(super) const fn full(
    number: u32,
    name: &'static str,
    handler: fn(&mut Kernel, &Args) -> Result<u64>,
) -> Entry {
    Entry { number, name, support: Support::Full, handler }
}

/// A row that is supported with a difference.
pub(super) const fn partial(
    number: u32,
    name: &'static str,
    handler: fn(&mut Kernel, &Args) -> Result<u64>,
    difference: &'static str,
) -> Entry {
    Entry { number, name, support: Support::Partial(difference), handler }
}

/// The path at `addr`.
pub(super) fn path_at(kernel: &Kernel, addr: u64) -> Result<&'static [u8]> {
    kernel.mm.c_str(addr, PATH_MAX)
}

/// The directory a path is relative to. An absolute path does not care.
pub(super) fn base(kernel: &Kernel, dirfd: i32, path: &[u8]) -> Result<Location> {
    if path.starts_with(b"/") {
        return Ok(kernel.vfs.mounts.root());
    }
    if dirfd == linux::AT_FDCWD {
        return Ok(kernel.vfs.place.cwd.clone());
    }
    let fd = u64::try_from(dirfd).map_err(|_| Errno::EBADF)?;
    kernel.fds.get(fd)?.open.file.location().cloned().ok_or(Errno::ENOTDIR)
}

/// Where the path at `addr`, relative to `dirfd`, leads.
pub(super) fn find(kernel: &Kernel, dirfd: i32, addr: u64, last: Last) -> Result<Found> {
    let path = path_at(kernel, addr)?;
    kernel.look_up(&base(kernel, dirfd, path)?, path, How::new(last))
}

/// The place an open file is at.
pub(super) fn place_of(open: &OpenFile) -> Location {
    match open.file.location() {
        Some(location) => location.clone(),
        None => Location::new(Node::Open(open.file.clone()), open.path.as_bytes()),
    }
}

/// What is at the path at `addr`; with `AT_EMPTY_PATH` in `flags` and an empty path, what `dirfd` is.
/// `AT_SYMLINK_NOFOLLOW` keeps a last link.
pub(super) fn existing(kernel: &Kernel, dirfd: i32, addr: u64, flags: u32) -> Result<Location> {
    let empty_allowed = flags & linux::AT_EMPTY_PATH != 0;
    let path = if empty_allowed && addr == 0 { b"" } else { path_at(kernel, addr)? };
    if path.is_empty() && empty_allowed {
        if dirfd == linux::AT_FDCWD {
            return Ok(kernel.vfs.place.cwd.clone());
        }
        let fd = u64::try_from(dirfd).map_err(|_| Errno::EBADF)?;
        return Ok(place_of(&kernel.fds.get(fd)?.open));
    }
    let base = base(kernel, dirfd, path)?;
    if flags & linux::AT_SYMLINK_NOFOLLOW == 0 {
        return kernel.look_up_existing(&base, path);
    }
    kernel.look_up(&base, path, How::new(Last::Keep))?.existing()
}

/// The open file of argument `index`, not opened with `O_PATH`.
pub(super) fn open_arg(kernel: &Kernel, args: &Args, index: usize) -> Result<Rc<OpenFile>> {
    let open = kernel.fds.get(args.fd(index)?)?.open.clone();
    if open.flags.get() & linux::O_PATH != 0 { Err(Errno::EBADF) } else { Ok(open) }
}

fn getcwd(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let path = kernel.vfs.place.cwd.path(kernel)?;
    let len = path.len() + 1;
    if args.size(1) < len {
        return Err(Errno::ERANGE);
    }
    let target = kernel.mm.slice_mut(args.raw(0), len)?;
    target[..len - 1].copy_from_slice(&path);
    target[len - 1] = 0;
    Ok(len as u64)
}

fn chdir(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = existing(kernel, linux::AT_FDCWD, args.raw(0), 0)?;
    kernel.enter_dir(location).map(|()| 0)
}

fn fchdir(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let location = kernel.fds.get(args.fd(0)?)?.open.file.location().cloned().ok_or(Errno::ENOTDIR)?;
    kernel.enter_dir(location).map(|()| 0)
}

fn umask(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let old = core::mem::replace(&mut kernel.vfs.place.umask, args.uint(0) & 0o777);
    Ok(old.into())
}

fn readlink(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    read_link(kernel, linux::AT_FDCWD, args.raw(0), args.raw(1), args.int(2))
}

fn readlinkat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    read_link(kernel, args.int(0), args.raw(1), args.raw(2), args.int(3))
}

fn read_link(kernel: &Kernel, dirfd: i32, path: u64, target: u64, size: i32) -> Result<u64> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let itself = dirfd != linux::AT_FDCWD && path_at(kernel, path)?.is_empty();
    let flags = linux::AT_SYMLINK_NOFOLLOW | if itself { linux::AT_EMPTY_PATH } else { 0 };
    let location = existing(kernel, dirfd, path, flags)?;
    let text = match location.link(kernel)? {
        Some(Link::Path(text) | Link::File(_, text)) => text,
        None if itself => return Err(Errno::ENOENT),
        None => return Err(Errno::EINVAL),
    };
    let len = text.len().min(size);
    kernel.mm.slice_mut(target, len)?.copy_from_slice(&text[..len]);
    Ok(len as u64)
}
