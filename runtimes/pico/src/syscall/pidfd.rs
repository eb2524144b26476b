//! Process descriptors: pidfd_open(2), pidfd_send_signal(2).

use super::path::{full, open_arg, partial};
use super::signal::{SI_USER, Target, made_up, send};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::Info;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_pidfd_open, "pidfd_open", pidfd_open),
    partial(
        linux::__NR_pidfd_send_signal,
        "pidfd_send_signal",
        pidfd_send_signal,
        "directories of `/proc` are no process descriptors (EBADF); no flags",
    ),
];

/// `PIDFD_NONBLOCK`.
const NONBLOCK: u32 = linux::O_NONBLOCK;

fn pidfd_open(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(1);
    let pid = u32::try_from(args.int(0)).ok().filter(|&pid| pid > 0).ok_or(Errno::EINVAL)?;
    if flags & !NONBLOCK != 0 {
        return Err(Errno::EINVAL);
    }
    if kernel.threads.process_of(pid).is_some_and(|process| process != pid) {
        // A thread that is not its process's first.
        return Err(Errno::EINVAL);
    }
    kernel.open_pidfd(pid, flags)
}

fn pidfd_send_signal(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.uint(3) != 0 {
        return Err(Errno::EINVAL);
    }
    let open = open_arg(kernel, args, 0)?;
    let pid = kernel.process_of(&open)?;
    let target = Target::Process(pid);
    if args.raw(2) == 0 {
        let info = Info::from_process(args.uint(1), SI_USER, kernel.pid());
        return send(kernel, target, info);
    }
    let info: Info = kernel.mm.read(args.raw(2))?;
    if info.signal != args.uint(1) {
        return Err(Errno::EINVAL);
    }
    let info = made_up(kernel, target, args, 1)?;
    send(kernel, target, info)
}
