//! The machine, its processor, randomness.

use super::process::check_thread;
use super::{Args, Entry, Support};
use crate::clock::SECOND;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;
use linux_raw_sys::system;

const ONE_CPU: Support =
    Support::Partial("one processor, all threads alike; settings are checked, then have no effect");

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: linux::__NR_sysinfo, name: "sysinfo", support: Support::Full, handler: sysinfo },
    Entry { number: linux::__NR_getrandom, name: "getrandom", support: Support::Full, handler: getrandom },
    Entry { number: linux::__NR_getcpu, name: "getcpu", support: Support::Full, handler: getcpu },
    Entry {
        number: linux::__NR_sched_getaffinity,
        name: "sched_getaffinity",
        support: Support::Full,
        handler: sched_getaffinity,
    },
    Entry {
        number: linux::__NR_sched_setaffinity,
        name: "sched_setaffinity",
        support: ONE_CPU,
        handler: sched_setaffinity,
    },
    Entry {
        number: linux::__NR_membarrier,
        name: "membarrier",
        support: Support::Partial(
            "one processor needs no barrier between threads: registering and private barriers succeed",
        ),
        handler: membarrier,
    },
];

fn sysinfo(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let total = kernel.mm.total();
    let info = system::sysinfo {
        uptime: (kernel.now() / SECOND).cast_signed(),
        loads: [0; 3],
        totalram: total,
        freeram: total - kernel.mm.used().min(total),
        sharedram: 0,
        bufferram: 0,
        totalswap: 0,
        freeswap: 0,
        procs: u16::try_from(kernel.processes.count()).unwrap_or(u16::MAX),
        pad: 0,
        totalhigh: 0,
        freehigh: 0,
        mem_unit: 1,
        _f: Default::default(),
    };
    kernel.mm.put(args.raw(0), &info).map(|()| 0)
}

fn getrandom(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const FLAGS: u32 = linux::GRND_NONBLOCK | linux::GRND_RANDOM | linux::GRND_INSECURE;
    if args.uint(2) & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let len = args.size(1).min(i32::MAX as usize);
    let buf = kernel.mm.slice_mut(args.raw(0), len)?;
    kernel.random.fill(buf);
    Ok(len as u64)
}

fn getcpu(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    for index in [0, 1] {
        if args.raw(index) != 0 {
            kernel.mm.write(args.raw(index), &0u32)?;
        }
    }
    Ok(0)
}

fn sched_getaffinity(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_thread(kernel, args, 0)?;
    let size = args.uint(1);
    if size < 8 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    kernel.mm.write(args.raw(2), &1u64)?;
    Ok(8)
}

fn sched_setaffinity(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_thread(kernel, args, 0)?;
    let mask = kernel.mm.slice(args.raw(2), args.size(1).min(128))?;
    if mask.first().is_some_and(|byte| byte & 1 == 1) { Ok(0) } else { Err(Errno::EINVAL) }
}

fn membarrier(_kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const GLOBAL: u32 = 1;
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
    match args.uint(0) {
        0 => Ok(u64::from(GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED)),
        GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
