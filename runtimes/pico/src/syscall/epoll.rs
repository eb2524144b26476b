//! epoll(7).

use super::poll::read_mask;
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::kernel::Kernel;
use crate::poll::epoll::{Epoll, Event};
use crate::poll::timeout::{Deadline, after, after_millis, read_timespec};
use crate::poll::{install, look_until};
use alloc::rc::Rc;
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry {
        number: c::__NR_epoll_create,
        name: "epoll_create",
        support: Support::Full,
        handler: epoll_create,
    },
    Entry {
        number: c::__NR_epoll_create1,
        name: "epoll_create1",
        support: Support::Full,
        handler: epoll_create1,
    },
    Entry {
        number: c::__NR_epoll_ctl,
        name: "epoll_ctl",
        support: Support::Partial("a set cannot be put into a set (`EINVAL`)"),
        handler: epoll_ctl,
    },
    Entry { number: c::__NR_epoll_wait, name: "epoll_wait", support: Support::Full, handler: epoll_wait },
    Entry { number: c::__NR_epoll_pwait, name: "epoll_pwait", support: Support::Full, handler: epoll_pwait },
    Entry {
        number: c::__NR_epoll_pwait2,
        name: "epoll_pwait2",
        support: Support::Full,
        handler: epoll_pwait2,
    },
];

/// Bytes of an `epoll_event`, which is packed on x86-64.
const EVENT: usize = 12;

fn epoll_create(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.int(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    create(kernel, false)
}

fn epoll_create1(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(0);
    if flags & !c::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    create(kernel, flags & c::EPOLL_CLOEXEC != 0)
}

fn create(kernel: &mut Kernel, close_on_exec: bool) -> Result<u64> {
    let set = Epoll::new(kernel.net.watches.clone());
    install(kernel, Rc::new(set), c::O_RDWR, close_on_exec)
}

fn as_set(open: &OpenFile) -> Result<&Epoll> {
    open.file.as_any().downcast_ref().ok_or(Errno::EINVAL)
}

fn epoll_ctl(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let operation = args.uint(1);
    let interest = match operation {
        c::EPOLL_CTL_DEL => Event { events: 0, data: 0 },
        _ => {
            let [events, low, high]: [u32; 3] = kernel.mm.read(args.raw(3))?;
            Event { events, data: u64::from(high) << 32 | u64::from(low) }
        }
    };
    let open = kernel.fds.get(args.fd(0)?)?.open.clone();
    let fd = args.fd(2)?;
    let target = kernel.fds.get(fd)?.open.clone();
    if target.file.seekable() {
        return Err(Errno::EPERM);
    }
    let set = as_set(&open)?;
    if as_set(&target).is_ok() {
        return Err(Errno::EINVAL);
    }
    match operation {
        c::EPOLL_CTL_ADD => set.add(fd, &target, interest)?,
        c::EPOLL_CTL_MOD if interest.events & c::EPOLLEXCLUSIVE != 0 => return Err(Errno::EINVAL),
        c::EPOLL_CTL_MOD => set.modify(fd, &target, interest)?,
        c::EPOLL_CTL_DEL => set.remove(fd, &target)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn epoll_wait(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let deadline = after_millis(kernel, args.int(3));
    wait(kernel, args, deadline)
}

fn epoll_pwait(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let mask = read_mask(kernel, args.raw(4), args.raw(5))?;
    kernel.with_mask(mask, |kernel| epoll_wait(kernel, args))
}

fn epoll_pwait2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let deadline = match args.raw(3) {
        0 => None,
        addr => after(kernel, read_timespec(kernel, addr)?),
    };
    let mask = read_mask(kernel, args.raw(4), args.raw(5))?;
    kernel.with_mask(mask, |kernel| wait(kernel, args, deadline))
}

fn wait(kernel: &mut Kernel, args: &Args, deadline: Deadline) -> Result<u64> {
    let room = usize::try_from(args.int(2)).ok().filter(|&room| room > 0).ok_or(Errno::EINVAL)?;
    let open = kernel.fds.get(args.fd(0)?)?.open.clone();
    let set = as_set(&open)?;
    let found = kernel.ending_with_stop(|kernel| {
        look_until(kernel, deadline, |_, now, sources| {
            let report = set.report(room, now, sources);
            (!report.is_empty()).then_some(report)
        })
    })?;
    let report = found.unwrap_or_default();
    let target = kernel.mm.slice_mut(args.raw(1), report.len() * EVENT)?;
    for (raw, event) in target.chunks_exact_mut(EVENT).zip(&report) {
        raw[..4].copy_from_slice(&event.events.to_ne_bytes());
        raw[4..].copy_from_slice(&event.data.to_ne_bytes());
    }
    Ok(report.len() as u64)
}
