//! Descriptors themselves: copies, flags and device control.

use super::path::{full, open_arg, partial};
use super::{Args, Entry, lock, socket, socket_control, terminal};
use crate::errno::{Errno, Result};
use crate::file::{Descriptor, FD_MAX, OpenFile};
use crate::fs::attributes::is_regular;
use crate::kernel::Kernel;
use crate::net::channel::Channel;
use crate::net::pipe::channel_of;
use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_dup, "dup", dup),
    full(linux::__NR_dup2, "dup2", dup2),
    full(linux::__NR_dup3, "dup3", dup3),
    partial(
        linux::__NR_fcntl,
        "fcntl",
        fcntl,
        "no leases or seals; of signals, `SIGIO` only, to processes and groups; at most 2048 locks of files in all (ENOLCK); pipes hold 1 MiB at most (EPERM)",
    ),
    partial(
        linux::__NR_ioctl,
        "ioctl",
        ioctl_call,
        "FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, FIOASYNC of sockets and pipes, and what sockets and pipes know; of terminals: settings, size, session, foreground, flow, flushing, and TIOCSTI; of pseudo terminals also names, locks and packets; a master is not stopped by TCXONC",
    ),
];

fn dup(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = kernel.fds.get(args.fd(0)?)?.open.clone();
    kernel.fds.insert(Descriptor { open, close_on_exec: false }, 0)
}

fn dup2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (old, new) = (args.fd(0)?, args.fd(1)?);
    if old == new {
        return kernel.fds.get(old).map(|_| new);
    }
    duplicate(kernel, old, new, false)
}

fn dup3(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(2);
    if flags & !linux::O_CLOEXEC != 0 || args.int(0) == args.int(1) {
        return Err(Errno::EINVAL);
    }
    duplicate(kernel, args.fd(0)?, args.fd(1)?, flags != 0)
}

fn duplicate(kernel: &mut Kernel, old: u64, new: u64, close_on_exec: bool) -> Result<u64> {
    let open = kernel.fds.get(old)?.open.clone();
    let closed = kernel.fds.replace(new, Some(Descriptor { open, close_on_exec }))?;
    kernel.closed(closed);
    kernel.reclaim_files();
    Ok(new)
}

/// What `F_SETOWN_EX` names: a process, a process group.
const F_OWNER_PID: u32 = 1;
const F_OWNER_PGRP: u32 = 2;

fn fcntl(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    /// What can be changed with `F_SETFL`.
    const CHANGEABLE: u32 = linux::O_APPEND | linux::O_DIRECT | linux::O_NOATIME | linux::O_NONBLOCK;
    let fd = args.fd(0)?;
    let Descriptor { open, close_on_exec } = kernel.fds.get(fd)?.clone();
    let (command, value) = (args.uint(1), args.uint(2));
    match command {
        linux::F_DUPFD | linux::F_DUPFD_CLOEXEC => {
            let least =
                usize::try_from(args.int(2)).ok().filter(|&least| least < FD_MAX).ok_or(Errno::EINVAL)?;
            let close_on_exec = command == linux::F_DUPFD_CLOEXEC;
            return kernel.fds.insert(Descriptor { open, close_on_exec }, least);
        }
        linux::F_GETFD => return Ok(if close_on_exec { linux::FD_CLOEXEC.into() } else { 0 }),
        linux::F_SETFD => {
            return kernel.fds.set_close_on_exec(fd, value & linux::FD_CLOEXEC != 0).map(|()| 0);
        }
        linux::F_GETFL => return Ok(open.flags.get().into()),
        _ if open.flags.get() & linux::O_PATH != 0 => return Err(Errno::EBADF),
        _ => {}
    }
    match command {
        linux::F_SETFL => {
            open.flags.set(open.flags.get() & !CHANGEABLE | value & CHANGEABLE);
            let wanted = value & linux::FASYNC != 0;
            if wanted != (open.flags.get() & linux::FASYNC != 0) && can_signal(&open)? {
                kernel.drive_by_signals(&open, wanted);
            }
            Ok(0)
        }
        command if lock::is_command(command) => lock::control(kernel, args, &open),
        linux::F_GETOWN => Ok(i64::from(kernel.signal_driven.owner(&open)).cast_unsigned()),
        linux::F_SETOWN => kernel.own_file(&open, args.int(2)).map(|()| 0),
        linux::F_GETOWN_EX => {
            let owner = kernel.signal_driven.owner(&open);
            let kind = if owner < 0 { F_OWNER_PGRP } else { F_OWNER_PID };
            kernel.mm.write(args.raw(2), &[kind, owner.unsigned_abs()]).map(|()| 0)
        }
        linux::F_SETOWN_EX => {
            let [kind, id]: [u32; 2] = kernel.mm.read(args.raw(2))?;
            let id = i32::try_from(id).map_err(|_| Errno::ESRCH)?;
            match kind {
                F_OWNER_PID => kernel.own_file(&open, id).map(|()| 0),
                F_OWNER_PGRP => kernel.own_file(&open, -id).map(|()| 0),
                _ => Err(Errno::EINVAL),
            }
        }
        linux::F_GETSIG => Ok(0),
        linux::F_SETSIG if value == 0 => Ok(0),
        linux::F_GETPIPE_SZ => Ok(channel_of(&*open.file).ok_or(Errno::EBADF)?.capacity() as u64),
        linux::F_SETPIPE_SZ => set_pipe_size(channel_of(&*open.file).ok_or(Errno::EBADF)?, value),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether it can tell by a signal that there is something new: sockets and pipes.
fn can_signal(open: &OpenFile) -> Result<bool> {
    Ok(matches!(open.file.stat()?.st_mode & linux::S_IFMT, linux::S_IFIFO | linux::S_IFSOCK))
}

pub(super) fn is_pipe(open: &OpenFile) -> Result<bool> {
    Ok(open.file.stat()?.st_mode & linux::S_IFMT == linux::S_IFIFO)
}

/// Most bytes a pipe can be made to hold, as Linux's `pipe-max-size`.
const PIPE_MAX: u32 = 1 << 20;
const PAGE: u32 = 4096;

fn set_pipe_size(pipe: &Channel, wanted: u32) -> Result<u64> {
    if wanted > i32::MAX.unsigned_abs() {
        return Err(Errno::EINVAL);
    }
    let size = wanted.max(PAGE).next_power_of_two();
    if size > PIPE_MAX {
        return Err(Errno::EPERM);
    }
    pipe.set_capacity(size as usize)?;
    Ok(size.into())
}

fn ioctl_call(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_arg(kernel, args, 0)?;
    let (command, value) = (args.uint(1), args.raw(2));
    match command {
        ioctl::FIOCLEX => kernel.fds.set_close_on_exec(args.fd(0)?, true).map(|()| 0),
        ioctl::FIONCLEX => kernel.fds.set_close_on_exec(args.fd(0)?, false).map(|()| 0),
        ioctl::FIONBIO => {
            let on = kernel.mm.read::<u32>(value)? != 0;
            let rest = open.flags.get() & !linux::O_NONBLOCK;
            open.flags.set(if on { rest | linux::O_NONBLOCK } else { rest });
            Ok(0)
        }
        ioctl::FIOASYNC => {
            let on = kernel.mm.read::<u32>(value)? != 0;
            if !can_signal(&open)? {
                return if on { Err(Errno::ENOTTY) } else { Ok(0) };
            }
            kernel.drive_by_signals(&open, on);
            Ok(0)
        }
        ioctl::FIONREAD => {
            let unread = unread(&open)?;
            kernel.mm.write(value, &u32::try_from(unread).unwrap_or(i32::MAX.unsigned_abs())).map(|()| 0)
        }
        _ if socket::as_socket(&open).is_ok() => socket_control::control(kernel, &open, command, value),
        _ if open.file.is_terminal() => terminal::control(kernel, &open, args),
        _ => open.file.ioctl(command, value),
    }
}

/// Bytes that can be read now.
fn unread(open: &OpenFile) -> Result<u64> {
    if is_regular(open.file.stat()?.st_mode) {
        return Ok(open.file.size().saturating_sub(open.offset.get()));
    }
    open.file.ioctl(ioctl::FIONREAD, 0)
}
