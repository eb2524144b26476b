//! futex(2).

use super::{Args, Entry, Support, time};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::thread::{ANY, Futex, Waiter, Waiting};
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] =
    &[Entry { number: linux::__NR_futex, name: "futex", support: FUTEX, handler: futex }];

const FUTEX: Support = Support::Partial(
    "no priority inheritance (`FUTEX_LOCK_PI` and its kin: ENOSYS); a futex in memory that one process has mapped twice is two",
);

fn futex(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let operation = args.uint(1);
    let realtime = operation & linux::FUTEX_CLOCK_REALTIME != 0;
    let command = operation & !(linux::FUTEX_PRIVATE_FLAG | linux::FUTEX_CLOCK_REALTIME);
    if realtime && command != linux::FUTEX_WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    match command {
        linux::FUTEX_WAIT => {
            let now = kernel.now();
            let until = timeout(kernel, args)?.map(|time| now.saturating_add(time));
            wait(kernel, args, ANY, until)
        }
        linux::FUTEX_WAIT_BITSET => {
            let until = timeout(kernel, args)?.map(|time| deadline(kernel, time, realtime));
            wait(kernel, args, bits(args)?, until)
        }
        linux::FUTEX_WAKE => wake(kernel, args, ANY),
        linux::FUTEX_WAKE_BITSET => wake(kernel, args, bits(args)?),
        linux::FUTEX_REQUEUE => requeue(kernel, args),
        linux::FUTEX_CMP_REQUEUE => {
            compare(kernel, args.raw(0), args.uint(5))?;
            requeue(kernel, args)
        }
        linux::FUTEX_WAKE_OP => wake_op(kernel, args),
        _ => Err(Errno::ENOSYS),
    }
}

/// The bits of a wait or a wake-up.
fn bits(args: &Args) -> Result<u32> {
    if args.uint(5) == 0 { Err(Errno::EINVAL) } else { Ok(args.uint(5)) }
}

/// The time in argument 3, if there is one.
fn timeout(kernel: &Kernel, args: &Args) -> Result<Option<u64>> {
    if args.raw(3) == 0 { Ok(None) } else { time::read_timespec(kernel, args.raw(3)).map(Some) }
}

/// An absolute time as monotonic time.
fn deadline(kernel: &Kernel, at: u64, realtime: bool) -> u64 {
    if !realtime {
        return at;
    }
    let tsc = kernel.platform.tsc();
    kernel.clock.monotonic(tsc).saturating_add(at.saturating_sub(kernel.clock.wall(tsc)))
}

/// The futex in argument `index`.
fn futex_at(kernel: &Kernel, args: &Args, index: usize) -> Futex {
    let at = args.raw(index);
    if args.uint(1) & linux::FUTEX_PRIVATE_FLAG != 0 {
        (kernel.mm.space(), at)
    } else {
        kernel.mm.futex_key(at)
    }
}

/// A futex is a word.
fn check(at: u64) -> Result<()> {
    if at.is_multiple_of(4) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `EAGAIN` unless the futex has the value the caller has seen.
fn compare(kernel: &Kernel, at: u64, value: u32) -> Result<()> {
    check(at)?;
    if kernel.mm.read::<u32>(at)? == value { Ok(()) } else { Err(Errno::EAGAIN) }
}

fn wait(kernel: &mut Kernel, args: &Args, bits: u32, until: Option<u64>) -> Result<u64> {
    compare(kernel, args.raw(0), args.uint(2))?;
    let tid = kernel.threads.tid();
    let at = futex_at(kernel, args, 0);
    kernel.threads.futexes.add(Waiter { at, tid, bits });
    let result = wait_for_wake(kernel, tid, until);
    // Whoever woke this thread took it out, even if time or a signal has come since.
    if kernel.threads.futexes.remove(tid) {
        kernel.process.restartable = result == Err(Errno::EINTR) && until.is_none();
        result.map(|()| 0)
    } else {
        Ok(0)
    }
}

fn wait_for_wake(kernel: &mut Kernel, tid: u32, until: Option<u64>) -> Result<()> {
    while kernel.threads.futexes.holds(tid) {
        kernel.expire_alarm();
        if kernel.is_interrupted() {
            return Err(Errno::EINTR);
        }
        if !kernel.threads.futexes.holds(tid) {
            // Woken while the process was stopped.
            break;
        }
        if until.is_some_and(|until| until <= kernel.now()) {
            return Err(Errno::ETIMEDOUT);
        }
        kernel.suspend(Waiting { until, ..Waiting::default() });
    }
    Ok(())
}

/// How many threads argument `index` allows.
fn count(args: &Args, index: usize) -> Result<usize> {
    usize::try_from(args.int(index)).map_err(|_| Errno::EINVAL)
}

fn wake(kernel: &mut Kernel, args: &Args, bits: u32) -> Result<u64> {
    check(args.raw(0))?;
    kernel.mm.read::<u32>(args.raw(0))?;
    // A negative number wakes one, as on Linux.
    let count = usize::try_from(args.int(2)).unwrap_or(1).max(1);
    Ok(kernel.wake_futex(futex_at(kernel, args, 0), count, bits) as u64)
}

/// Wakes some and makes others wait elsewhere; both are counted.
fn requeue(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (from, to) = (args.raw(0), args.raw(4));
    check(from)?;
    check(to)?;
    let (wakes, moves) = (count(args, 2)?, count(args, 3)?);
    kernel.mm.read::<u32>(from)?;
    kernel.mm.read::<u32>(to)?;
    let (from, to) = (futex_at(kernel, args, 0), futex_at(kernel, args, 4));
    let woken = kernel.wake_futex(from, wakes, ANY);
    Ok((woken + kernel.threads.futexes.move_to(from, to, moves)) as u64)
}

/// Changes the second futex and wakes those who wait for the first; those who wait for the second if its old value
/// was as argument 5 says.
fn wake_op(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (first, second) = (args.raw(0), args.raw(4));
    check(first)?;
    check(second)?;
    let change = Change::decode(args.uint(5));
    let old: i32 = kernel.mm.read(second)?;
    kernel.mm.write(second, &change.apply(old)?)?;
    let matches = change.matches(old)?;
    let at_least_one = |index: usize| usize::try_from(args.int(index)).unwrap_or(1).max(1);
    let mut woken = kernel.wake_futex(futex_at(kernel, args, 0), at_least_one(2), ANY);
    if matches {
        woken += kernel.wake_futex(futex_at(kernel, args, 4), at_least_one(3), ANY);
    }
    Ok(woken as u64)
}

/// What `FUTEX_WAKE_OP` does to the second futex, and how it compares its old value.
struct Change {
    operation: u32,
    operand: i32,
    comparison: u32,
    than: i32,
}

impl Change {
    /// The fields of `FUTEX_OP`: four bits, four bits, twelve bits, twelve bits with sign.
    fn decode(encoded: u32) -> Self {
        let signed = |shift: u32| (encoded << shift).cast_signed() >> 20;
        let operation = encoded >> 28;
        let operand = if operation & linux::FUTEX_OP_OPARG_SHIFT == 0 {
            signed(8)
        } else {
            1_i32.wrapping_shl(signed(8).cast_unsigned())
        };
        let operation = operation & !linux::FUTEX_OP_OPARG_SHIFT;
        Self { operation, operand, comparison: encoded >> 24 & 0xf, than: signed(20) }
    }

    fn apply(&self, old: i32) -> Result<i32> {
        Ok(match self.operation {
            linux::FUTEX_OP_SET => self.operand,
            linux::FUTEX_OP_ADD => old.wrapping_add(self.operand),
            linux::FUTEX_OP_OR => old | self.operand,
            linux::FUTEX_OP_ANDN => old & !self.operand,
            linux::FUTEX_OP_XOR => old ^ self.operand,
            _ => return Err(Errno::ENOSYS),
        })
    }

    fn matches(&self, old: i32) -> Result<bool> {
        Ok(match self.comparison {
            linux::FUTEX_OP_CMP_EQ => old == self.than,
            linux::FUTEX_OP_CMP_NE => old != self.than,
            linux::FUTEX_OP_CMP_LT => old < self.than,
            linux::FUTEX_OP_CMP_GE => old >= self.than,
            linux::FUTEX_OP_CMP_LE => old <= self.than,
            linux::FUTEX_OP_CMP_GT => old > self.than,
            _ => return Err(Errno::ENOSYS),
        })
    }
}
