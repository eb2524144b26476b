//! Opening and closing files.

use super::path::{base, full, partial, path_at};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::{Descriptor, File, OpenFile};
use crate::fs::attributes::{is_dir, is_regular, is_symlink};
use crate::fs::files::PathFile;
use crate::fs::memory::{Body, MemoryFile, make};
use crate::fs::path::{Found, How, Last, Name};
use crate::fs::{Location, Node};
use crate::kernel::Kernel;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    partial(linux::__NR_open, "open", open, READ_ONLY),
    partial(linux::__NR_openat, "openat", openat, READ_ONLY),
    partial(
        linux::__NR_openat2,
        "openat2",
        openat2,
        "as openat; RESOLVE_IN_ROOT and RESOLVE_NO_XDEV are EINVAL",
    ),
    partial(linux::__NR_creat, "creat", creat, READ_ONLY),
    partial(linux::__NR_memfd_create, "memfd_create", memfd_create, "no seals, no huge pages"),
    full(linux::__NR_close, "close", close),
    full(linux::__NR_close_range, "close_range", close_range),
];

const READ_ONLY: &str =
    "only /tmp, /var/tmp, /dev/shm and /run can be written to (EROFS elsewhere); no O_ASYNC";

/// Flags that are kept as file status flags.
const STATUS: u32 = linux::O_ACCMODE
    | linux::O_APPEND
    | linux::O_NONBLOCK
    | linux::O_DSYNC
    | linux::O_DIRECT
    | linux::O_DIRECTORY
    | linux::O_NOFOLLOW
    | linux::O_NOATIME
    | linux::O_SYNC
    | linux::O_PATH;
/// All flags openat2(2) knows.
const KNOWN: u32 = STATUS
    | linux::O_CREAT
    | linux::O_EXCL
    | linux::O_NOCTTY
    | linux::O_TRUNC
    | linux::O_LARGEFILE
    | linux::O_CLOEXEC
    | linux::O_TMPFILE
    | linux::FASYNC;

/// What is to be opened, and how.
struct Request<'a> {
    base: Location,
    path: &'a [u8],
    flags: u32,
    mode: u32,
    how: How,
}

impl Request<'_> {
    fn wants_write(&self) -> bool {
        self.flags & linux::O_ACCMODE != linux::O_RDONLY
    }

    fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}

fn open(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    open_at(kernel, linux::AT_FDCWD, args.raw(0), args.uint(1), args.uint(2))
}

fn openat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    open_at(kernel, args.int(0), args.raw(1), args.uint(2), args.uint(3))
}

fn creat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC;
    open_at(kernel, linux::AT_FDCWD, args.raw(0), flags, args.uint(1))
}

fn open_at(kernel: &mut Kernel, dirfd: i32, path: u64, flags: u32, mode: u32) -> Result<u64> {
    let path = path_at(kernel, path)?;
    let base = base(kernel, dirfd, path)?;
    open_request(kernel, Request { base, path, flags, mode, how: How::new(Last::Follow) })
}

fn openat2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const SIZE: usize = 24;
    const RESOLVE: u64 =
        (linux::RESOLVE_NO_SYMLINKS | linux::RESOLVE_NO_MAGICLINKS | linux::RESOLVE_BENEATH) as u64;
    let size = args.size(3);
    if size < SIZE {
        return Err(Errno::EINVAL);
    }
    let [flags, mode, resolve]: [u64; 3] = kernel.mm.read(args.raw(2))?;
    let beyond = kernel.mm.slice(args.raw(2), size.min(4096))?;
    if size > 4096 || beyond[SIZE..].iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let flags = u32::try_from(flags).ok().filter(|flags| flags & !KNOWN == 0).ok_or(Errno::EINVAL)?;
    let creates = flags & (linux::O_CREAT | (linux::O_TMPFILE & !linux::O_DIRECTORY)) != 0;
    let mode = u32::try_from(mode).ok().filter(|&mode| mode & !0o7777 == 0 && (creates || mode == 0));
    if resolve & !RESOLVE != 0 {
        return Err(Errno::EINVAL);
    }
    let has = |bit: u32| resolve & u64::from(bit) != 0;
    let path = path_at(kernel, args.raw(1))?;
    let beneath = has(linux::RESOLVE_BENEATH);
    let base = if beneath { base(kernel, args.int(0), b"")? } else { base(kernel, args.int(0), path)? };
    let how = How {
        last: Last::Follow,
        no_links: has(linux::RESOLVE_NO_SYMLINKS),
        no_magic: has(linux::RESOLVE_NO_MAGICLINKS),
        beneath,
    };
    open_request(kernel, Request { base, path, flags, mode: mode.ok_or(Errno::EINVAL)?, how })
}

fn open_request(kernel: &mut Kernel, mut request: Request<'_>) -> Result<u64> {
    if request.has(linux::O_PATH) {
        request.flags &= linux::O_PATH | linux::O_DIRECTORY | linux::O_NOFOLLOW | linux::O_CLOEXEC;
    }
    if !kernel.fds.has_room() {
        return Err(Errno::EMFILE);
    }
    let file = if request.has(linux::O_TMPFILE) {
        nameless(kernel, &request)?
    } else {
        if request.has(linux::O_CREAT | linux::O_DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        named(kernel, &request)?
    };
    let (file, path) = file;
    let large = if request.has(linux::O_PATH) { 0 } else { linux::O_LARGEFILE };
    let flags = request.flags & STATUS | large;
    let mut open = OpenFile::new(file, flags, crate::fs::text(path));
    open.notifier = Some(kernel.vfs.notifier.clone());
    let open = Rc::new(open);
    if !request.has(linux::O_PATH) {
        kernel.tell_open(&open, linux::IN_OPEN);
    }
    let close_on_exec = request.has(linux::O_CLOEXEC);
    kernel.fds.insert(Descriptor { open, close_on_exec }, 0)
}

type Opened = (Rc<dyn File>, alloc::vec::Vec<u8>);

/// `O_TMPFILE`: a new file without a name.
fn nameless(kernel: &Kernel, request: &Request<'_>) -> Result<Opened> {
    if !request.wants_write() {
        return Err(Errno::EINVAL);
    }
    let directory = kernel.look_up(&request.base, request.path, request.how)?.existing()?;
    let now = kernel.file_time();
    let inode = directory.writable_dir()?.nameless(request.mode & !kernel.vfs.place.umask, now)?;
    let path = [&directory.path(kernel)?, &b"/#tmpfile"[..]].concat();
    Ok((Rc::new(MemoryFile(inode)), path))
}

/// memfd_create(2): a file without a name, without seals.
fn memfd_create(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const NAME_MAX: usize = 250;
    const KNOWN: u32 =
        linux::MFD_CLOEXEC | linux::MFD_ALLOW_SEALING | linux::MFD_NOEXEC_SEAL | linux::MFD_EXEC;
    let name = kernel.mm.c_str(args.raw(0), NAME_MAX).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        errno => errno,
    })?;
    let flags = args.uint(1);
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if !kernel.fds.has_room() {
        return Err(Errno::EMFILE);
    }
    let inode = kernel.resolve(b"/dev/shm")?.writable_dir()?.nameless(0o777, kernel.file_time())?;
    let path = crate::fs::text([b"/memfd:", name, b" (deleted)"].concat());
    let open = OpenFile::new(Rc::new(MemoryFile(inode)), linux::O_RDWR | linux::O_LARGEFILE, path);
    let close_on_exec = flags & linux::MFD_CLOEXEC != 0;
    kernel.fds.insert(Descriptor { open: Rc::new(open), close_on_exec }, 0)
}

fn named(kernel: &mut Kernel, request: &Request<'_>) -> Result<Opened> {
    let exclusive = request.has(linux::O_CREAT | linux::O_EXCL);
    let last = match request.flags & linux::O_NOFOLLOW {
        _ if exclusive => Last::Name,
        0 => Last::Follow,
        _ => Last::Keep,
    };
    if request.has(linux::O_CREAT) && request.path.ends_with(b"/") {
        let found = kernel.look_up(&request.base, request.path, How { last: Last::Name, ..request.how })?;
        if matches!(found.name, Name::Normal(_)) {
            return Err(Errno::EISDIR);
        }
    }
    let how = How { last, ..request.how };
    if how == How::new(Last::Follow)
        && let Some(location) = kernel.vfs.mounts.known().find(request.path)
    {
        return open_existing(kernel, request, &location);
    }
    let found = kernel.look_up(&request.base, request.path, how)?;
    match &found.target {
        Some(_) if exclusive => Err(Errno::EEXIST),
        Some(location) => open_existing(kernel, request, location),
        None if !request.has(linux::O_CREAT) => Err(Errno::ENOENT),
        None => create(kernel, request, &found),
    }
}

fn create(kernel: &Kernel, request: &Request<'_>, found: &Found) -> Result<Opened> {
    let Name::Normal(name) = &found.name else { return Err(Errno::EISDIR) };
    if found.slash {
        return Err(Errno::EISDIR);
    }
    let directory = found.parent.writable_dir()?;
    let mode = request.mode & !kernel.vfs.place.umask;
    let inode = make(directory, name, Body::file(), mode, kernel.file_time())?;
    kernel.tell_name(directory, name, false, linux::IN_CREATE);
    let path = [&found.parent.path(kernel)?, &b"/"[..], name].concat();
    Ok((Rc::new(MemoryFile(inode)), path))
}

fn open_existing(kernel: &mut Kernel, request: &Request<'_>, location: &Location) -> Result<Opened> {
    let mode = location.node.mode()?;
    let path = |kernel: &Kernel| location.path(kernel).unwrap_or_else(|_| location.path_then().into());
    if is_symlink(mode) && !request.has(linux::O_PATH) {
        return Err(if request.has(linux::O_DIRECTORY) { Errno::ENOTDIR } else { Errno::ELOOP });
    }
    if request.has(linux::O_DIRECTORY) && !is_dir(mode) {
        return Err(Errno::ENOTDIR);
    }
    if request.has(linux::O_PATH) {
        return Ok((Rc::new(PathFile(location.clone())), path(kernel)));
    }
    if is_dir(mode) {
        if request.wants_write() || request.flags & (linux::O_CREAT | linux::O_TRUNC) != 0 {
            return Err(Errno::EISDIR);
        }
        return Ok((location.open(kernel)?, path(kernel)));
    }
    if mode & linux::S_IFMT == linux::S_IFSOCK {
        return Err(Errno::ENXIO);
    }
    if mode & linux::S_IFMT == linux::S_IFIFO
        && let Some(file) = super::fifo::open(kernel, location, request.flags)?
    {
        return Ok((file, path(kernel)));
    }
    if mode & linux::S_IFMT == linux::S_IFCHR
        && let Some(file) = super::terminal::open(kernel, location, request.flags)?
    {
        return Ok((file, path(kernel)));
    }
    let truncates = request.has(linux::O_TRUNC) && is_regular(mode);
    if is_regular(mode) && (request.wants_write() || truncates) {
        match location.node {
            Node::Generated(_) => return Err(Errno::EACCES),
            _ => location.writable()?,
        };
    }
    let (file, path) = (location.open(kernel)?, path(kernel));
    if truncates {
        file.truncate(kernel, 0)?;
        kernel.tell_at(location, linux::IN_MODIFY);
    }
    Ok((file, path))
}

fn close(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let fd = args.fd(0)?;
    kernel.fds.get(fd)?;
    let closed = kernel.fds.replace(fd, None)?;
    kernel.closed(closed);
    kernel.reclaim_files();
    Ok(0)
}

fn close_range(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let (first, last, flags) = (u64::from(args.uint(0)), u64::from(args.uint(1)), args.uint(2));
    if first > last || flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let fds: alloc::vec::Vec<u64> =
        kernel.fds.iter().map(|(fd, _)| fd).filter(|fd| (first..=last).contains(fd)).collect();
    for fd in fds {
        if flags & CLOSE_RANGE_CLOEXEC != 0 {
            kernel.fds.set_close_on_exec(fd, true)?;
        } else {
            let closed = kernel.fds.replace(fd, None)?;
            kernel.closed(closed);
        }
    }
    kernel.reclaim_files();
    Ok(0)
}
