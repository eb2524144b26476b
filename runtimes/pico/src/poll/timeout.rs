//! Timeouts as programs give them: how long, until when, and how much was left.

use crate::clock::SECOND;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;

/// Until when a caller waits: a monotonic time in ns; nothing means for ever.
pub type Deadline = Option<u64>;

/// The deadline `nanos` from now.
pub fn after(kernel: &Kernel, nanos: u64) -> Deadline {
    Some(kernel.now().saturating_add(nanos))
}

/// The deadline of a timeout in milliseconds, where a negative one is for ever.
pub fn after_millis(kernel: &Kernel, millis: i32) -> Deadline {
    let millis = u64::try_from(millis).ok()?;
    after(kernel, millis * 1_000_000)
}

/// The two numbers of a `timespec` or `timeval` at `addr`, with `per_second` of the smaller unit in a second.
fn read_pair(kernel: &Kernel, addr: u64, per_second: u64) -> Result<(u64, u64)> {
    let [seconds, fraction]: [i64; 2] = kernel.mm.read(addr)?;
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    let fraction = u64::try_from(fraction).ok().filter(|&n| n < per_second).ok_or(Errno::EINVAL)?;
    Ok((seconds, fraction))
}

/// The length of the `timespec` at `addr` in ns.
pub fn read_timespec(kernel: &Kernel, addr: u64) -> Result<u64> {
    let (seconds, nanos) = read_pair(kernel, addr, SECOND)?;
    Ok(seconds.saturating_mul(SECOND).saturating_add(nanos))
}

/// Which structure a timeout is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `struct timespec`.
    Timespec,
    /// `struct timeval`.
    Timeval,
}

/// A timeout in the program's memory that is updated with what was left of it.
pub struct Timeout {
    addr: u64,
    form: Form,
    /// Until when to wait.
    pub deadline: Deadline,
}

impl Timeout {
    /// Reads the timeout at `addr`; 0 is for ever.
    pub fn read(kernel: &Kernel, addr: u64, form: Form) -> Result<Self> {
        let deadline = match form {
            _ if addr == 0 => None,
            Form::Timespec => after(kernel, read_timespec(kernel, addr)?),
            Form::Timeval => {
                // select(2) takes any number of microseconds.
                let (seconds, micros) = read_pair(kernel, addr, u64::MAX)?;
                after(kernel, seconds.saturating_mul(SECOND).saturating_add(micros.saturating_mul(1000)))
            }
        };
        Ok(Self { addr, form, deadline })
    }

    /// Writes back what is left. Memory that cannot be written is left alone, as Linux does.
    pub fn write_back(&self, kernel: &Kernel) {
        let Some(deadline) = self.deadline else { return };
        let left = deadline.saturating_sub(kernel.now());
        let fraction = if self.form == Form::Timeval { left % SECOND / 1000 } else { left % SECOND };
        if let Ok(target) = kernel.mm.slice_mut(self.addr, 16) {
            target[..8].copy_from_slice(&(left / SECOND).to_ne_bytes());
            target[8..].copy_from_slice(&fraction.to_ne_bytes());
        }
    }
}
