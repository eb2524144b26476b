//! Clocks and sleeping.

use super::{Args, Entry, Support};
use crate::clock::SECOND;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

const NO_CPU_TIME: Support =
    Support::Partial("CPU time is the time since the fork started that it did not wait");

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry {
        number: linux::__NR_clock_gettime,
        name: "clock_gettime",
        support: Support::Partial(
            "CPU-time clocks count the time since the fork started that it did not wait; that of a thread is that of its process",
        ),
        handler: clock_gettime,
    },
    Entry {
        number: linux::__NR_clock_settime,
        name: "clock_settime",
        support: Support::Partial("as for who may not: EPERM"),
        handler: clock_settime,
    },
    Entry {
        number: linux::__NR_settimeofday,
        name: "settimeofday",
        support: Support::Partial("as for who may not: EPERM"),
        handler: settimeofday,
    },
    Entry {
        number: linux::__NR_clock_getres,
        name: "clock_getres",
        support: Support::Full,
        handler: clock_getres,
    },
    Entry {
        number: linux::__NR_clock_nanosleep,
        name: "clock_nanosleep",
        support: Support::Full,
        handler: clock_nanosleep,
    },
    Entry { number: linux::__NR_nanosleep, name: "nanosleep", support: Support::Full, handler: nanosleep },
    Entry {
        number: linux::__NR_gettimeofday,
        name: "gettimeofday",
        support: Support::Full,
        handler: gettimeofday,
    },
    Entry { number: linux::__NR_time, name: "time", support: Support::Full, handler: time },
    Entry { number: linux::__NR_times, name: "times", support: NO_CPU_TIME, handler: times },
    Entry { number: linux::__NR_getrusage, name: "getrusage", support: NO_CPU_TIME, handler: getrusage },
];

const MICROSECOND: u64 = 1000;

/// A `timespec` in the program's memory as nanoseconds.
pub fn read_timespec(kernel: &Kernel, addr: u64) -> Result<u64> {
    let time: linux::__kernel_timespec = kernel.mm.get(addr)?;
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::EINVAL)?;
    let nanoseconds = u64::try_from(time.tv_nsec).ok().filter(|&ns| ns < SECOND).ok_or(Errno::EINVAL)?;
    Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
}

/// Writes nanoseconds as a `timespec`.
pub fn write_timespec(kernel: &Kernel, addr: u64, ns: u64) -> Result<()> {
    let time = linux::__kernel_timespec {
        tv_sec: (ns / SECOND).cast_signed(),
        tv_nsec: (ns % SECOND).cast_signed(),
    };
    kernel.mm.put(addr, &time)
}

/// Nanoseconds as a `timeval`.
pub fn timeval(ns: u64) -> linux::__kernel_old_timeval {
    linux::__kernel_old_timeval {
        tv_sec: (ns / SECOND).cast_signed(),
        tv_usec: (ns % SECOND / MICROSECOND).cast_signed(),
    }
}

/// The time of a clock in ns.
fn read_clock(kernel: &Kernel, clock: u32) -> Result<u64> {
    match clock {
        linux::CLOCK_PROCESS_CPUTIME_ID | linux::CLOCK_THREAD_CPUTIME_ID => Ok(kernel.own_busy()),
        clock => match elapsing_clock(kernel, clock) {
            Some(ns) => Ok(ns),
            None => process_time(kernel, clock.cast_signed()),
        },
    }
}

/// The time in ns of a clock that counts whatever runs.
pub(crate) fn elapsing_clock(kernel: &Kernel, clock: u32) -> Option<u64> {
    let tsc = kernel.platform.tsc();
    match clock {
        linux::CLOCK_REALTIME
        | linux::CLOCK_REALTIME_COARSE
        | linux::CLOCK_REALTIME_ALARM
        | linux::CLOCK_TAI => Some(kernel.clock.wall(tsc)),
        linux::CLOCK_MONOTONIC
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_BOOTTIME
        | linux::CLOCK_BOOTTIME_ALARM => Some(kernel.clock.monotonic(tsc)),
        _ => None,
    }
}

/// The clock of a process or thread by its number: clock_getcpuclockid(3).
fn process_time(kernel: &Kernel, clock: i32) -> Result<u64> {
    const OF_THREAD: i32 = 4;
    const KINDS: i32 = 3;
    if clock >= 0 || clock & KINDS == KINDS {
        return Err(Errno::EINVAL);
    }
    let id = u32::try_from(!(clock >> 3)).map_err(|_| Errno::EINVAL)?;
    let own = kernel.pid();
    let process = match id {
        0 => own,
        // As on Linux, only threads of the process itself.
        id if clock & OF_THREAD != 0 => {
            kernel.threads.process_of(id).filter(|&process| process == own).ok_or(Errno::EINVAL)?
        }
        id => id,
    };
    if process == own {
        return Ok(kernel.own_busy());
    }
    kernel.view(process).map(|view| view.process.busy).ok_or(Errno::EINVAL)
}

fn clock_gettime(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let ns = read_clock(kernel, args.uint(0))?;
    write_timespec(kernel, args.raw(1), ns).map(|()| 0)
}

/// Nobody may set the clock, which is the host's.
fn clock_settime(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.uint(0) != linux::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    read_timespec(kernel, args.raw(1))?;
    Err(Errno::EPERM)
}

fn settimeofday(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.raw(0) != 0 {
        kernel.mm.read::<[u64; 2]>(args.raw(0))?;
    }
    Err(Errno::EPERM)
}

fn clock_getres(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    read_clock(kernel, args.uint(0))?;
    if args.raw(1) != 0 {
        write_timespec(kernel, args.raw(1), 1)?;
    }
    Ok(0)
}

/// Sleeps for `length` ns. If a signal ends it, what was left goes to `left`, if there is such. However late it is, others run
/// meanwhile, and what was written is handed over.
fn sleep(kernel: &mut Kernel, length: u64, left: u64) -> Result<u64> {
    if length == 0 {
        return Ok(0);
    }
    let until = kernel.now().saturating_add(length);
    loop {
        if let Err(errno) = kernel.wait_interruptibly(Some(until), false) {
            if left != 0 {
                write_timespec(kernel, left, until.saturating_sub(kernel.now()))?;
            }
            return Err(errno);
        }
        if kernel.now() >= until {
            return Ok(0);
        }
    }
}

fn clock_nanosleep(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let clock = args.uint(0);
    if clock == linux::CLOCK_THREAD_CPUTIME_ID {
        return Err(Errno::EINVAL);
    }
    let now = read_clock(kernel, clock)?;
    let time = read_timespec(kernel, args.raw(2))?;
    let absolute = args.uint(1) & linux::TIMER_ABSTIME != 0;
    let (length, left) = if absolute { (time.saturating_sub(now), 0) } else { (time, args.raw(3)) };
    sleep(kernel, length, left)
}

fn nanosleep(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let time = read_timespec(kernel, args.raw(0))?;
    sleep(kernel, time, args.raw(1))
}

fn gettimeofday(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let now = read_clock(kernel, linux::CLOCK_REALTIME)?;
    if args.raw(0) != 0 {
        kernel.mm.put(args.raw(0), &timeval(now))?;
    }
    if args.raw(1) != 0 {
        kernel.mm.put(args.raw(1), &linux::timezone { tz_minuteswest: 0, tz_dsttime: 0 })?;
    }
    Ok(0)
}

fn time(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let seconds = read_clock(kernel, linux::CLOCK_REALTIME)? / SECOND;
    if args.raw(0) != 0 {
        kernel.mm.write(args.raw(0), &seconds)?;
    }
    Ok(seconds)
}

fn times(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let tsc = kernel.platform.tsc();
    let tick = SECOND / crate::exec::TICKS;
    if args.raw(0) != 0 {
        kernel.mm.write(
            args.raw(0),
            &[kernel.own_busy() / tick, 0, kernel.processes.own().children_busy / tick, 0],
        )?;
    }
    Ok(kernel.clock.monotonic(tsc) / tick)
}

fn getrusage(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const SELF: i32 = 0;
    const THREAD: i32 = 1;
    const CHILDREN: i32 = -1;
    let elapsed = kernel.own_busy();
    let (own, resident) = match args.int(0) {
        SELF | THREAD => (elapsed, kernel.mm.used() / 1024),
        CHILDREN => (kernel.processes.own().children_busy, 0),
        _ => return Err(Errno::EINVAL),
    };
    kernel.mm.put(args.raw(1), &usage(timeval(own), resident)).map(|()| 0)
}

/// What getrusage(2) tells: CPU time and KiB of memory.
pub(super) fn usage(time: linux::__kernel_old_timeval, resident: u64) -> linux::rusage {
    linux::rusage {
        ru_utime: time,
        ru_stime: timeval(0),
        ru_maxrss: resident.cast_signed(),
        ru_ixrss: 0,
        ru_idrss: 0,
        ru_isrss: 0,
        ru_minflt: 0,
        ru_majflt: 0,
        ru_nswap: 0,
        ru_inblock: 0,
        ru_oublock: 0,
        ru_msgsnd: 0,
        ru_msgrcv: 0,
        ru_nsignals: 0,
        ru_nvcsw: 0,
        ru_nivcsw: 0,
    }
}
