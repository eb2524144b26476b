//! Priorities: they are kept and shown, but all threads get the processor alike.

use super::path::{full, partial};
use super::process::check_thread;
use super::time::write_timespec;
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

const NO_EFFECT: &str = "one processor, all threads alike; settings are checked, then have no effect";

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_getpriority, "getpriority", getpriority),
    partial(
        linux::__NR_setpriority,
        "setpriority",
        setpriority,
        "kept for each process, not for each thread; all threads get the processor alike",
    ),
    full(linux::__NR_sched_getscheduler, "sched_getscheduler", sched_getscheduler),
    partial(linux::__NR_sched_setscheduler, "sched_setscheduler", sched_setscheduler, NO_EFFECT),
    full(linux::__NR_sched_getparam, "sched_getparam", sched_getparam),
    partial(linux::__NR_sched_setparam, "sched_setparam", sched_setparam, NO_EFFECT),
    full(linux::__NR_sched_rr_get_interval, "sched_rr_get_interval", sched_rr_get_interval),
    full(linux::__NR_sched_get_priority_max, "sched_get_priority_max", priority_max),
    full(linux::__NR_sched_get_priority_min, "sched_get_priority_min", priority_min),
];

/// What getpriority(2) and setpriority(2) are about.
const PRIO_PROCESS: u32 = 0;
const PRIO_PGRP: u32 = 1;
const PRIO_USER: u32 = 2;
/// The raw call returns 20 for nice 0.
const NORMAL: i32 = 20;

/// The processes that arguments 0 and 1 name; `ESRCH` if there is none.
fn processes(kernel: &Kernel, args: &Args) -> Result<Vec<u32>> {
    let (kind, who) = (args.uint(0), args.uint(1));
    let own = kernel.pid();
    let found = match kind {
        PRIO_PROCESS if who == 0 => [own].into(),
        PRIO_PROCESS => {
            let process =
                kernel.threads.process_of(who).or_else(|| kernel.processes.get(who).ok().map(|_| who));
            process.into_iter().collect()
        }
        PRIO_PGRP => {
            let group = if who == 0 { kernel.processes.own().group } else { who };
            kernel.processes.select(|_, record| record.group == group)
        }
        PRIO_USER => {
            let user = if who == 0 { kernel.process.ids.user.real } else { who };
            let is_users = |pid| kernel.view(pid).is_some_and(|view| view.process.ids.user.real == user);
            kernel.processes.select(|pid, _| is_users(pid))
        }
        _ => return Err(Errno::EINVAL),
    };
    if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
}

fn getpriority(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let processes = processes(kernel, args)?;
    let nice = processes.into_iter().filter_map(|pid| kernel.view(pid)).map(|view| view.process.nice).min();
    Ok(i64::from(NORMAL - nice.unwrap_or(0)).cast_unsigned())
}

fn setpriority(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let nice = args.int(2).clamp(-20, 19);
    for pid in processes(kernel, args)? {
        if pid == kernel.pid() {
            kernel.process.nice = nice;
        } else if let Ok(record) = kernel.processes.get_mut(pid)
            && let Some(stored) = &mut record.stored
        {
            stored.process.nice = nice;
        }
    }
    Ok(0)
}

fn sched_getscheduler(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_thread(kernel, args, 0).map(|()| u64::from(linux::SCHED_NORMAL))
}

fn sched_setscheduler(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_thread(kernel, args, 0)?;
    match args.uint(1) {
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE => Ok(0),
        linux::SCHED_FIFO | linux::SCHED_RR | linux::SCHED_DEADLINE => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

fn sched_getparam(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.raw(1) == 0 || args.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    check_thread(kernel, args, 0)?;
    kernel.mm.write(args.raw(1), &0u32).map(|()| 0)
}

/// The policy of all threads has one priority, 0.
fn sched_setparam(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.raw(1) == 0 || args.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    let priority: u32 = kernel.mm.read(args.raw(1))?;
    check_thread(kernel, args, 0)?;
    if priority == 0 { Ok(0) } else { Err(Errno::EINVAL) }
}

fn sched_rr_get_interval(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    check_thread(kernel, args, 0)?;
    write_timespec(kernel, args.raw(1), crate::thread::SLICE).map(|()| 0)
}

/// Highest and lowest priority of a scheduling policy.
fn priorities(args: &Args) -> Result<(u64, u64)> {
    match args.uint(0) {
        linux::SCHED_FIFO | linux::SCHED_RR => Ok((99, 1)),
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE | linux::SCHED_DEADLINE => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

fn priority_max(_kernel: &mut Kernel, args: &Args) -> Result<u64> {
    priorities(args).map(|(max, _)| max)
}

fn priority_min(_kernel: &mut Kernel, args: &Args) -> Result<u64> {
    priorities(args).map(|(_, min)| min)
}
