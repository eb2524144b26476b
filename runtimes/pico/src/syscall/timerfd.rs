//! timerfd_create(2) and what goes with it.

use super::{Args, Entry, Support};
use crate::clock::SECOND;
use crate::errno::{Errno, Result};
use crate::file::File;
use crate::file::OpenFile;
use crate::kernel::Kernel;
use crate::poll::install;
use crate::poll::timeout::read_timespec;
use crate::poll::timerfd::{Setting, TimerFd};
use alloc::rc::Rc;
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry {
        number: c::__NR_timerfd_create,
        name: "timerfd_create",
        support: Support::Full,
        handler: timerfd_create,
    },
    Entry {
        number: c::__NR_timerfd_settime,
        name: "timerfd_settime",
        support: Support::Partial(
            "`TFD_TIMER_CANCEL_ON_SET` has no effect: nobody sets the clock of a running VM",
        ),
        handler: timerfd_settime,
    },
    Entry {
        number: c::__NR_timerfd_gettime,
        name: "timerfd_gettime",
        support: Support::Full,
        handler: timerfd_gettime,
    },
];

fn timerfd_create(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(1);
    if flags & !(c::TFD_CLOEXEC | c::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let wall = match args.uint(0) {
        c::CLOCK_REALTIME | c::CLOCK_REALTIME_ALARM => true,
        c::CLOCK_MONOTONIC | c::CLOCK_BOOTTIME | c::CLOCK_BOOTTIME_ALARM => false,
        _ => return Err(Errno::EINVAL),
    };
    let timer = TimerFd::new(wall);
    install(kernel, Rc::new(timer), c::O_RDWR | flags & c::TFD_NONBLOCK, flags & c::TFD_CLOEXEC != 0)
}

fn timer_of(open: &OpenFile) -> Result<&TimerFd> {
    open.file.as_any().downcast_ref().ok_or(Errno::EINVAL)
}

fn timerfd_settime(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(1);
    if flags & !(c::TFD_TIMER_ABSTIME | c::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let (value, interval) = read_setting(kernel, args.raw(2))?;
    let open = kernel.fds.get(args.fd(0)?)?.open.clone();
    let timer = timer_of(&open)?;
    let now = kernel.now();
    timer.tick(now);
    let old = timer.setting();
    let next = first_time(kernel, value, flags & c::TFD_TIMER_ABSTIME != 0, timer.wall);
    if args.raw(3) != 0 {
        put_setting(kernel, args.raw(3), old, now)?;
    }
    timer.set(Setting { next, interval });
    Ok(0)
}

fn timerfd_gettime(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = kernel.fds.get(args.fd(0)?)?.open.clone();
    let timer = timer_of(&open)?;
    let now = kernel.now();
    timer.tick(now);
    put_setting(kernel, args.raw(1), timer.setting(), now)?;
    Ok(0)
}

/// Reads an `itimerspec`: the time until a timer goes off or at which it does, and the interval.
pub(super) fn read_setting(kernel: &Kernel, addr: u64) -> Result<(u64, u64)> {
    let interval = read_timespec(kernel, addr)?;
    Ok((read_timespec(kernel, addr.wrapping_add(16))?, interval))
}

/// When a timer that is set to `value` goes off first, in monotonic time; nothing if it is off.
pub(super) fn first_time(kernel: &Kernel, value: u64, is_absolute: bool, wall: bool) -> Option<u64> {
    let now = kernel.now();
    match (value, is_absolute) {
        (0, _) => None,
        (delay, false) => Some(now.saturating_add(delay)),
        (time, true) if wall => {
            let wall = kernel.clock.wall(kernel.platform.tsc());
            Some(now.saturating_add(time.saturating_sub(wall)))
        }
        (time, true) => Some(time),
    }
}

/// Writes an `itimerspec`: the interval, and the time left.
pub(super) fn put_setting(kernel: &Kernel, addr: u64, setting: Setting, now: u64) -> Result<()> {
    // A timer that is on is never shown with no time left.
    let left = setting.next.map_or(0, |next| next.saturating_sub(now).max(1));
    let numbers = [setting.interval / SECOND, setting.interval % SECOND, left / SECOND, left % SECOND];
    kernel.mm.write(addr, &numbers)
}
