//! Timers that send signals: timer_create(2) and what goes with it.

use super::timerfd::{first_time, put_setting, read_setting};
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::poll::timerfd::Setting;
use crate::process::Timer;
use linux_raw_sys::general as c;

/// The family's rows.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        number: c::__NR_timer_create,
        name: "timer_create",
        support: Support::Partial("no timers that go by CPU time"),
        handler: timer_create,
    },
    Entry {
        number: c::__NR_timer_settime,
        name: "timer_settime",
        support: Support::Full,
        handler: timer_settime,
    },
    Entry {
        number: c::__NR_timer_gettime,
        name: "timer_gettime",
        support: Support::Full,
        handler: timer_gettime,
    },
    Entry {
        number: c::__NR_timer_getoverrun,
        name: "timer_getoverrun",
        support: Support::Full,
        handler: timer_getoverrun,
    },
    Entry {
        number: c::__NR_timer_delete,
        name: "timer_delete",
        support: Support::Full,
        handler: timer_delete,
    },
];

/// Highest number of a signal.
const SIGNAL_MAX: u32 = 64;

/// What a timer tells, `struct sigevent`.
struct Event {
    value: u64,
    signal: u32,
    thread: u32,
}

fn read_event(kernel: &Kernel, addr: u64) -> Result<Event> {
    let value: u64 = kernel.mm.read(addr)?;
    let [signal, notify, thread]: [u32; 3] = kernel.mm.read(addr.wrapping_add(8))?;
    if notify == c::SIGEV_NONE {
        return Ok(Event { value, signal: 0, thread: 0 });
    }
    let is_own = |thread| kernel.threads.process_of(thread) == Some(kernel.pid());
    let thread = match notify {
        c::SIGEV_SIGNAL | c::SIGEV_THREAD => 0,
        c::SIGEV_THREAD_ID if is_own(thread) => thread,
        _ => return Err(Errno::EINVAL),
    };
    if !(1..=SIGNAL_MAX).contains(&signal) {
        return Err(Errno::EINVAL);
    }
    Ok(Event { value, signal, thread })
}

fn timer_create(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let wall = match args.uint(0) {
        c::CLOCK_REALTIME | c::CLOCK_REALTIME_ALARM | c::CLOCK_TAI => true,
        c::CLOCK_MONOTONIC | c::CLOCK_BOOTTIME | c::CLOCK_BOOTTIME_ALARM => false,
        _ => return Err(Errno::EINVAL),
    };
    let event = match args.raw(1) {
        0 => None,
        addr => Some(read_event(kernel, addr)?),
    };
    let id = kernel.process.timers.add(|id| {
        let event = event.unwrap_or_else(|| Event { value: id.into(), signal: c::SIGALRM, thread: 0 });
        let Event { value, signal, thread } = event;
        Timer { wall, signal, thread, value, ..Timer::default() }
    })?;
    if let Err(errno) = kernel.mm.write(args.raw(2), &id) {
        kernel.process.timers.remove(id)?;
        return Err(errno);
    }
    Ok(0)
}

fn timer_settime(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.raw(2) == 0 {
        return Err(Errno::EINVAL);
    }
    let (value, interval) = read_setting(kernel, args.raw(2))?;
    kernel.expire_alarm();
    let (old, wall) = setting_of(kernel, args)?;
    let next = first_time(kernel, value, args.uint(1) & c::TIMER_ABSTIME != 0, wall);
    kernel.process.timers.set(args.uint(0), Setting { next, interval })?;
    if args.raw(3) != 0 {
        put_setting(kernel, args.raw(3), old, kernel.now())?;
    }
    Ok(0)
}

/// What the timer that argument 0 names is set to, and whether it goes by the wall clock.
fn setting_of(kernel: &mut Kernel, args: &Args) -> Result<(Setting, bool)> {
    kernel.process.timers.get(args.uint(0)).map(|timer| (timer.setting, timer.wall))
}

fn timer_gettime(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    kernel.expire_alarm();
    let (setting, _) = setting_of(kernel, args)?;
    put_setting(kernel, args.raw(1), setting, kernel.now()).map(|()| 0)
}

fn timer_getoverrun(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    kernel.process.timers.get(args.uint(0)).map(|timer| timer.overrun)
}

fn timer_delete(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    kernel.process.timers.remove(args.uint(0)).map(|()| 0)
}
