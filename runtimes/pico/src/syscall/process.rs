//! What a process may, and its settings.

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// A row that is supported in full.
const fn full(number: u32, name: &'static str, handler: fn(&mut Kernel, &Args) -> Result<u64>) -> Entry {
    Entry { number, name, support: Support::Full, handler }
}

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: linux::__NR_arch_prctl, name: "arch_prctl", support: ARCH, handler: arch_prctl },
    Entry { number: linux::__NR_prctl, name: "prctl", support: PRCTL, handler: prctl },
    Entry {
        number: linux::__NR_prlimit64,
        name: "prlimit64",
        support: Support::Partial(
            "limits are kept and returned; only the memory limit, 1024 descriptors and 1024 threads of all processes are enforced; those of another process: EPERM",
        ),
        handler: prlimit64,
    },
    full(linux::__NR_getrlimit, "getrlimit", getrlimit),
    Entry {
        number: linux::__NR_setrlimit,
        name: "setrlimit",
        support: Support::Partial("limits are kept and returned, not enforced"),
        handler: setrlimit,
    },
];

const ARCH: Support = Support::Partial("thread pointers only");
const PRCTL: Support = Support::Partial(
    "name, dumpable, no-new-privs, death signal, timer slack, capability bounds, child subreaper; `PR_SET_KEEPCAPS` is kept, without capabilities to keep",
);

/// `ESRCH` unless argument `index` is a thread of any process, a process, or 0.
pub(super) fn check_thread(kernel: &Kernel, args: &Args, index: usize) -> Result<()> {
    let tid = args.uint(index);
    if tid == 0 || kernel.threads.is_alive(tid) { Ok(()) } else { kernel.processes.get(tid).map(drop) }
}

fn arch_prctl(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const SET_GS: u32 = 0x1001;
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    const GET_GS: u32 = 0x1004;
    const USER_END: u64 = 0x7fff_ffff_f000;
    let addr = args.raw(1);
    match args.uint(0) {
        SET_GS | SET_FS if addr >= USER_END => return Err(Errno::EPERM),
        SET_GS => kernel.platform.set_gs_base(addr),
        SET_FS => kernel.platform.set_fs_base(addr),
        GET_FS => kernel.mm.write(addr, &kernel.platform.fs_base())?,
        GET_GS => kernel.mm.write(addr, &kernel.platform.gs_base())?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn prctl(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    use linux_raw_sys::prctl as option;
    let (command, value) = (args.uint(0), args.raw(1));
    match command {
        option::PR_SET_NAME => {
            let given = kernel.mm.c_str(value, 16).or_else(|_| kernel.mm.slice(value, 15))?;
            let mut name = [0; 16];
            let len = given.len().min(15);
            name[..len].copy_from_slice(&given[..len]);
            kernel.threads.current().name = name;
        }
        option::PR_GET_NAME => {
            let name = kernel.threads.current().name;
            kernel.mm.write(value, &name)?;
        }
        option::PR_SET_PDEATHSIG if value <= 64 => {
            kernel.process.parent_death_signal = args.uint(1);
        }
        option::PR_GET_PDEATHSIG => kernel.mm.write(value, &kernel.process.parent_death_signal)?,
        option::PR_SET_DUMPABLE if value <= 1 => kernel.process.dumpable = value == 1,
        option::PR_GET_DUMPABLE => return Ok(u64::from(kernel.process.dumpable)),
        option::PR_SET_NO_NEW_PRIVS if value == 1 => kernel.process.no_new_privs = true,
        option::PR_GET_NO_NEW_PRIVS => return Ok(u64::from(kernel.process.no_new_privs)),
        option::PR_SET_TIMERSLACK => kernel.process.timer_slack = if value == 0 { 50_000 } else { value },
        option::PR_GET_TIMERSLACK => return Ok(kernel.process.timer_slack),
        option::PR_SET_KEEPCAPS if value <= 1 => kernel.process.keeps_capabilities = value == 1,
        option::PR_GET_KEEPCAPS => return Ok(u64::from(kernel.process.keeps_capabilities)),
        option::PR_SET_CHILD_SUBREAPER => kernel.processes.own_mut().adopts = value != 0,
        option::PR_GET_CHILD_SUBREAPER => {
            kernel.mm.write(value, &u32::from(kernel.processes.own().adopts))?;
        }
        option::PR_GET_SECCOMP => return Ok(0),
        option::PR_CAPBSET_READ if value <= 40 => return Ok(1),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// The slot of a limit.
fn limit_index(resource: u32) -> Result<usize> {
    if resource < linux::RLIM_NLIMITS { Ok(resource as usize) } else { Err(Errno::EINVAL) }
}

fn write_limit(kernel: &mut Kernel, index: usize, addr: u64) -> Result<()> {
    let (soft, hard) = kernel.process.limits[index];
    kernel.mm.write(addr, &[soft, hard])
}

fn set_limit(kernel: &mut Kernel, index: usize, addr: u64) -> Result<()> {
    let [soft, hard]: [u64; 2] = kernel.mm.read(addr)?;
    if soft > hard {
        return Err(Errno::EINVAL);
    }
    kernel.process.limits[index] = (soft, hard);
    Ok(())
}

fn prlimit64(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let pid = args.uint(0);
    if pid != 0 && kernel.threads.process_of(pid) != Some(kernel.pid()) {
        // The limits of another process.
        return Err(kernel.processes.get(pid).map_or_else(|errno| errno, |_| Errno::EPERM));
    }
    let index = limit_index(args.uint(1))?;
    let old = kernel.process.limits[index];
    if args.raw(2) != 0 {
        set_limit(kernel, index, args.raw(2))?;
    }
    if args.raw(3) != 0 {
        kernel.mm.write(args.raw(3), &[old.0, old.1])?;
    }
    Ok(0)
}

fn getrlimit(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let index = limit_index(args.uint(0))?;
    write_limit(kernel, index, args.raw(1)).map(|()| 0)
}

fn setrlimit(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let index = limit_index(args.uint(0))?;
    set_limit(kernel, index, args.raw(1)).map(|()| 0)
}
