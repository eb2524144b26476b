//! The timer that sends a signal: alarm(2), setitimer(2), getitimer(2), and pause(2), which waits for it.

use super::time::timeval;
use super::{Args, Entry, Support};
use crate::clock::SECOND;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::poll::timerfd::Setting;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: linux::__NR_alarm, name: "alarm", support: Support::Full, handler: alarm },
    Entry {
        number: linux::__NR_setitimer,
        name: "setitimer",
        support: Support::Partial(
            "all CPU time is the program's: `ITIMER_VIRTUAL` and `ITIMER_PROF` go by the same time",
        ),
        handler: setitimer,
    },
    Entry { number: linux::__NR_getitimer, name: "getitimer", support: Support::Full, handler: getitimer },
    Entry { number: linux::__NR_pause, name: "pause", support: Support::Full, handler: pause },
];

const MICROSECOND: u64 = 1000;

/// What is left of a setting at `now`, in ns; a timer that is on is never shown with no time left.
fn left(setting: Setting, now: u64) -> u64 {
    setting.next.map_or(0, |next| next.saturating_sub(now).max(MICROSECOND))
}

fn starting_at(now: u64, delay: u64, interval: u64) -> Setting {
    Setting { next: (delay > 0).then(|| now.saturating_add(delay)), interval }
}

fn alarm(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    kernel.expire_alarm();
    let now = kernel.now();
    let before = left(kernel.process.alarm, now);
    kernel.process.alarm = starting_at(now, u64::from(args.uint(0)) * SECOND, 0);
    // Rounded to the nearest second, but not to 0, which means that there was no alarm.
    Ok(if before == 0 { 0 } else { ((before + SECOND / 2) / SECOND).max(1) })
}

fn read_timeval(kernel: &Kernel, addr: u64) -> Result<u64> {
    let [seconds, micros]: [i64; 2] = kernel.mm.read(addr)?;
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    let micros = u64::try_from(micros).ok().filter(|&n| n < SECOND / MICROSECOND).ok_or(Errno::EINVAL)?;
    Ok(seconds.saturating_mul(SECOND).saturating_add(micros * MICROSECOND))
}

fn write_setting(kernel: &Kernel, addr: u64, setting: Setting, now: u64) -> Result<()> {
    kernel.mm.put(addr, &timeval(setting.interval))?;
    kernel.mm.put(addr.wrapping_add(16), &timeval(left(setting, now)))
}

/// The timer that argument 0 names, and the time it goes by.
fn timer<'a>(kernel: &'a mut Kernel, args: &Args) -> Result<(&'a mut Setting, u64)> {
    let (now, busy) = (kernel.now(), kernel.own_busy());
    match args.uint(0) {
        linux::ITIMER_REAL => Ok((&mut kernel.process.alarm, now)),
        linux::ITIMER_VIRTUAL => Ok((&mut kernel.process.cpu_alarms[0], busy)),
        linux::ITIMER_PROF => Ok((&mut kernel.process.cpu_alarms[1], busy)),
        _ => Err(Errno::EINVAL),
    }
}

fn setitimer(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    timer(kernel, args)?;
    let (interval, delay) = match args.raw(1) {
        0 => (0, 0),
        addr => (read_timeval(kernel, addr)?, read_timeval(kernel, addr.wrapping_add(16))?),
    };
    kernel.expire_alarm();
    let (timer, now) = timer(kernel, args)?;
    let before = core::mem::replace(timer, starting_at(now, delay, interval));
    if args.raw(2) != 0 {
        write_setting(kernel, args.raw(2), before, now)?;
    }
    Ok(0)
}

fn getitimer(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    timer(kernel, args)?;
    kernel.expire_alarm();
    let (&mut setting, now) = timer(kernel, args)?;
    write_setting(kernel, args.raw(1), setting, now).map(|()| 0)
}

fn pause(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    loop {
        kernel.wait_interruptibly(None, false)?;
    }
}

#[cfg(test)]
#[path = "alarm_tests.rs"]
mod tests;
