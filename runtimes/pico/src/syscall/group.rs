//! Who a process is: its id, its parent, its process group, its session.

use super::path::full;
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_getpid, "getpid", getpid),
    full(linux::__NR_getppid, "getppid", getppid),
    full(linux::__NR_getpgrp, "getpgrp", getpgrp),
    full(linux::__NR_getpgid, "getpgid", getpgid),
    full(linux::__NR_getsid, "getsid", getsid),
    full(linux::__NR_setpgid, "setpgid", setpgid),
    full(linux::__NR_setsid, "setsid", setsid),
];

fn getpid(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    Ok(kernel.pid().into())
}

fn getppid(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    Ok(kernel.processes.own().parent.into())
}

fn getpgrp(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    Ok(kernel.processes.own().group.into())
}

/// The process that argument `index` names; 0 is the caller.
fn process_arg(kernel: &Kernel, args: &Args, index: usize) -> Result<u32> {
    match u32::try_from(args.int(index)) {
        Ok(0) => Ok(kernel.pid()),
        Ok(pid) => kernel.processes.get(pid).map(|_| pid),
        Err(_) => Err(Errno::ESRCH),
    }
}

fn getpgid(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let pid = process_arg(kernel, args, 0)?;
    Ok(kernel.processes.get(pid)?.group.into())
}

fn getsid(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let pid = process_arg(kernel, args, 0)?;
    Ok(kernel.processes.get(pid)?.session.into())
}

fn setpgid(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let group = u32::try_from(args.int(1)).map_err(|_| Errno::EINVAL)?;
    let pid = process_arg(kernel, args, 0)?;
    let (own, own_session) = (kernel.pid(), kernel.processes.own().session);
    let record = kernel.processes.get(pid)?;
    if pid != own {
        if record.parent != own {
            return Err(Errno::ESRCH);
        }
        if record.session != own_session {
            return Err(Errno::EPERM);
        }
        if record.has_execed {
            return Err(Errno::EACCES);
        }
    }
    if record.session == pid {
        return Err(Errno::EPERM);
    }
    let group = if group == 0 { pid } else { group };
    let is_member = |record: &crate::process::Record| record.group == group && record.session == own_session;
    if group != pid && !kernel.processes.iter().any(|(_, record)| is_member(record)) {
        return Err(Errno::EPERM);
    }
    kernel.processes.get_mut(pid)?.group = group;
    Ok(0)
}

fn setsid(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    let pid = kernel.pid();
    if kernel.processes.iter().any(|(_, record)| record.group == pid) {
        return Err(Errno::EPERM);
    }
    let record = kernel.processes.own_mut();
    (record.group, record.session) = (pid, pid);
    record.terminal = None;
    Ok(pid.into())
}
