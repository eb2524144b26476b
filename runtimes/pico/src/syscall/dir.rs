//! Making, removing and renaming names.

use super::path::{existing, find, full, partial, path_at};
use super::stat::check_flags;
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::fs::Location;
use crate::fs::attributes::is_dir;
use crate::fs::memory::{Body, Inode, make, rename as rename_in_memory};
use crate::fs::path::{Found, Last, Name};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_mkdir, "mkdir", mkdir),
    full(linux::__NR_mkdirat, "mkdirat", mkdirat),
    full(linux::__NR_rmdir, "rmdir", rmdir),
    full(linux::__NR_unlink, "unlink", unlink),
    full(linux::__NR_unlinkat, "unlinkat", unlinkat),
    full(linux::__NR_rename, "rename", rename),
    full(linux::__NR_renameat, "renameat", renameat),
    partial(linux::__NR_renameat2, "renameat2", renameat2, "no RENAME_WHITEOUT"),
    full(linux::__NR_link, "link", link),
    full(linux::__NR_linkat, "linkat", linkat),
    full(linux::__NR_symlink, "symlink", symlink),
    full(linux::__NR_symlinkat, "symlinkat", symlinkat),
    partial(linux::__NR_mknod, "mknod", mknod, NO_DEVICES),
    partial(linux::__NR_mknodat, "mknodat", mknodat, NO_DEVICES),
];

const NO_DEVICES: &str = "regular files, FIFOs and sockets only (EPERM for devices)";
const CWD: i32 = linux::AT_FDCWD;

/// The name to be made; it must be free.
fn free_name(found: &Found) -> Result<&[u8]> {
    match &found.name {
        Name::Normal(name) if found.target.is_none() => Ok(name),
        _ => Err(Errno::EEXIST),
    }
}

/// Makes something at a free path. `slash`: a slash may come behind it.
fn make_at(kernel: &Kernel, dirfd: i32, path: u64, body: Body, mode: u32) -> Result<u64> {
    let found = find(kernel, dirfd, path, Last::Name)?;
    let name = free_name(&found)?;
    if found.slash && !matches!(body, Body::Directory(_)) {
        return Err(Errno::ENOENT);
    }
    let directory = found.parent.writable_dir()?;
    let inode = make(directory, name, body, mode, kernel.file_time())?;
    kernel.tell_name(directory, name, inode.is_dir(), linux::IN_CREATE);
    Ok(0)
}

fn mkdir(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make_dir(kernel, CWD, args.raw(0), args.uint(1))
}

fn mkdirat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make_dir(kernel, args.int(0), args.raw(1), args.uint(2))
}

fn make_dir(kernel: &Kernel, dirfd: i32, path: u64, mode: u32) -> Result<u64> {
    make_at(kernel, dirfd, path, Body::directory(), mode & 0o1777 & !kernel.vfs.place.umask)
}

fn mknod(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make_node(kernel, CWD, args.raw(0), args.uint(1))
}

fn mknodat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make_node(kernel, args.int(0), args.raw(1), args.uint(2))
}

fn make_node(kernel: &Kernel, dirfd: i32, path: u64, mode: u32) -> Result<u64> {
    match mode & linux::S_IFMT {
        0 | linux::S_IFREG => make_at(kernel, dirfd, path, Body::file(), mode & !kernel.vfs.place.umask),
        kind @ (linux::S_IFIFO | linux::S_IFSOCK) => {
            make_at(kernel, dirfd, path, Body::Special(kind), mode & !kernel.vfs.place.umask)
        }
        linux::S_IFCHR | linux::S_IFBLK | linux::S_IFDIR => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

fn symlink(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make_link(kernel, args.raw(0), CWD, args.raw(1))
}

fn symlinkat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make_link(kernel, args.raw(0), args.int(1), args.raw(2))
}

fn make_link(kernel: &Kernel, target: u64, dirfd: i32, path: u64) -> Result<u64> {
    let target = path_at(kernel, target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make_at(kernel, dirfd, path, Body::Symlink(target.to_vec()), 0o777)
}

fn link(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    hard_link(kernel, (CWD, args.raw(0)), (CWD, args.raw(1)), 0)
}

fn linkat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_flags(args.uint(4), linux::AT_SYMLINK_FOLLOW | linux::AT_EMPTY_PATH)?;
    hard_link(kernel, (args.int(0), args.raw(1)), (args.int(2), args.raw(3)), args.uint(4))
}

/// A path argument: the descriptor it is relative to, and its address.
type PathArg = (i32, u64);

fn hard_link(kernel: &Kernel, from: PathArg, to: PathArg, flags: u32) -> Result<u64> {
    let keep = if flags & linux::AT_SYMLINK_FOLLOW == 0 { linux::AT_SYMLINK_NOFOLLOW } else { 0 };
    let source = existing(kernel, from.0, from.1, flags & linux::AT_EMPTY_PATH | keep)?;
    let found = find(kernel, to.0, to.1, Last::Name)?;
    let name = free_name(&found)?;
    if found.slash {
        return Err(Errno::ENOENT);
    }
    let stat = source.stat()?;
    if is_dir(stat.st_mode) {
        return Err(Errno::EPERM);
    }
    if stat.st_dev != found.parent.stat()?.st_dev {
        return Err(Errno::EXDEV);
    }
    let (directory, inode) = (found.parent.writable_dir()?, source.writable()?);
    directory.link(name, &inode, kernel.file_time())?;
    kernel.tell_links(&inode);
    kernel.tell_name(directory, name, false, linux::IN_CREATE);
    Ok(0)
}

fn rmdir(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    remove_dir(kernel, CWD, args.raw(0))
}

fn unlink(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    remove_file(kernel, CWD, args.raw(0))
}

fn unlinkat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_flags(args.uint(2), linux::AT_REMOVEDIR)?;
    if args.uint(2) == 0 {
        remove_file(kernel, args.int(0), args.raw(1))
    } else {
        remove_dir(kernel, args.int(0), args.raw(1))
    }
}

/// `EBUSY` if something is mounted at `found`.
fn check_mount(kernel: &Kernel, found: &Found) -> Result<()> {
    let Some(target) = &found.target else { return Ok(()) };
    if kernel.vfs.mounts.at(&target.path(kernel)?).is_some() { Err(Errno::EBUSY) } else { Ok(()) }
}

fn remove_dir(kernel: &mut Kernel, dirfd: i32, path: u64) -> Result<u64> {
    let found = find(kernel, dirfd, path, Last::Name)?;
    let name = match &found.name {
        Name::Normal(name) => name,
        Name::Root => return Err(Errno::EBUSY),
        Name::Dot => return Err(Errno::EINVAL),
        Name::DotDot => return Err(Errno::ENOTEMPTY),
    };
    check_mount(kernel, &found)?;
    let directory = found.parent.writable_dir()?;
    directory.remove_dir(name, kernel.file_time())?;
    kernel.tell_name(directory, name, true, linux::IN_DELETE);
    kernel.vfs.notifier.lost_a_name();
    Ok(0)
}

fn remove_file(kernel: &mut Kernel, dirfd: i32, path: u64) -> Result<u64> {
    let found = find(kernel, dirfd, path, Last::Name)?;
    let Name::Normal(name) = &found.name else { return Err(Errno::EISDIR) };
    let directory = found.parent.writable_dir()?;
    if found.slash {
        return Err(match &found.target {
            None => Errno::ENOENT,
            Some(target) if target.is_dir() => Errno::EISDIR,
            Some(_) => Errno::ENOTDIR,
        });
    }
    directory.unlink(name, kernel.file_time())?;
    if let Some(inode) = found.target.as_ref().and_then(|target| target.writable().ok()) {
        kernel.tell_links(&inode);
    }
    kernel.tell_name(directory, name, false, linux::IN_DELETE);
    drop(found);
    kernel.reclaim_files();
    Ok(0)
}

fn rename(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    rename_at(kernel, (CWD, args.raw(0)), (CWD, args.raw(1)), 0)
}

fn renameat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    rename_at(kernel, (args.int(0), args.raw(1)), (args.int(2), args.raw(3)), 0)
}

fn renameat2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(4);
    check_flags(flags, linux::RENAME_NOREPLACE | linux::RENAME_EXCHANGE)?;
    if flags == linux::RENAME_NOREPLACE | linux::RENAME_EXCHANGE {
        return Err(Errno::EINVAL);
    }
    rename_at(kernel, (args.int(0), args.raw(1)), (args.int(2), args.raw(3)), flags)
}

/// Only what is a directory may have a slash behind it.
fn check_slashes(moved: &Location, from: &Found, to: &Found, flags: u32) -> Result<()> {
    let exchange = flags & linux::RENAME_EXCHANGE != 0;
    match &to.target {
        Some(_) if flags & linux::RENAME_NOREPLACE != 0 => return Err(Errno::EEXIST),
        None if exchange => return Err(Errno::ENOENT),
        Some(target) if exchange && to.slash && !target.is_dir() => return Err(Errno::ENOTDIR),
        _ => {}
    }
    let must_be_dir = from.slash || to.slash && !exchange;
    if must_be_dir && !moved.is_dir() { Err(Errno::ENOTDIR) } else { Ok(()) }
}

fn tell_rename(
    kernel: &Kernel,
    from: (&Inode, &[u8]),
    to: (&Inode, &[u8]),
    moved: &Inode,
    over: Option<&Inode>,
    flags: u32,
) {
    match over {
        // Two names of one file: nothing was done.
        Some(over) if over.key() == moved.key() => {}
        Some(over) if flags & linux::RENAME_EXCHANGE != 0 => {
            kernel.tell_move(from, to, moved, None);
            kernel.tell_move(to, from, over, None);
        }
        over => kernel.tell_move(from, to, moved, over),
    }
}

fn rename_at(kernel: &mut Kernel, from: PathArg, to: PathArg, flags: u32) -> Result<u64> {
    let from = find(kernel, from.0, from.1, Last::Name)?;
    let to = find(kernel, to.0, to.1, Last::Name)?;
    if from.parent.stat()?.st_dev != to.parent.stat()?.st_dev {
        return Err(Errno::EXDEV);
    }
    let keep = flags & linux::RENAME_NOREPLACE != 0;
    let Name::Normal(from_name) = &from.name else { return Err(Errno::EBUSY) };
    let Name::Normal(to_name) = &to.name else { return Err(if keep { Errno::EEXIST } else { Errno::EBUSY }) };
    let (from_dir, to_dir) = (from.parent.writable_dir()?, to.parent.writable_dir()?);
    let moved = from.target.as_ref().ok_or(Errno::ENOENT)?;
    check_mount(kernel, &from)?;
    check_mount(kernel, &to)?;
    check_slashes(moved, &from, &to, flags)?;
    let over = to.target.as_ref().and_then(|target| target.writable().ok());
    rename_in_memory((from_dir, from_name), (to_dir, to_name), flags, kernel.file_time())?;
    tell_rename(
        kernel,
        (from_dir, from_name),
        (to_dir, to_name),
        &*moved.writable()?,
        over.as_deref(),
        flags,
    );
    drop((from, to));
    kernel.reclaim_files();
    Ok(0)
}
