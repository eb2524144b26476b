//! inotify(7).

use super::path::{existing, full, open_arg, partial};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::fs::Node;
use crate::fs::notify::{Inotify, check_mask};
use crate::kernel::Kernel;
use crate::poll::install;
use alloc::rc::Rc;
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(c::__NR_inotify_init, "inotify_init", inotify_init),
    full(c::__NR_inotify_init1, "inotify_init1", inotify_init1),
    partial(
        c::__NR_inotify_add_watch,
        "inotify_add_watch",
        inotify_add_watch,
        "what happens to an open file that was moved since is told to those who watch the file itself only, and what is executed or mapped is not told; 4096 watches, 4096 events of each descriptor and 256 KiB of events of all",
    ),
    full(c::__NR_inotify_rm_watch, "inotify_rm_watch", inotify_rm_watch),
];

fn inotify_init(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    make(kernel, 0)
}

fn inotify_init1(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make(kernel, args.uint(0))
}

fn make(kernel: &mut Kernel, flags: u32) -> Result<u64> {
    if flags & !(c::IN_CLOEXEC | c::IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let instance = kernel.vfs.notifier.instance()?;
    install(kernel, instance, c::O_RDONLY | flags & c::IN_NONBLOCK, flags & c::IN_CLOEXEC != 0)
}

fn instance(open: &OpenFile) -> Result<&Inotify> {
    open.file.as_any().downcast_ref().ok_or(Errno::EINVAL)
}

fn inotify_add_watch(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let mask = args.uint(2);
    check_mask(mask)?;
    let open = open_arg(kernel, args, 0)?;
    let instance = instance(&open)?;
    let keep = if mask & c::IN_DONT_FOLLOW != 0 { c::AT_SYMLINK_NOFOLLOW } else { 0 };
    let location = existing(kernel, c::AT_FDCWD, args.raw(1), keep)?;
    if mask & c::IN_ONLYDIR != 0 && !location.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    let stat = location.stat()?;
    let inode = match &location.node {
        Node::Memory(inode) => Some(Rc::downgrade(inode)),
        _ => None,
    };
    let wd = instance.watch((stat.st_dev, stat.st_ino), inode, mask)?;
    Ok(u64::from(wd.unsigned_abs()))
}

fn inotify_rm_watch(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_arg(kernel, args, 0)?;
    instance(&open)?.unwatch(args.int(1)).map(|()| 0)
}
