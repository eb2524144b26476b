//! signalfd(2): pending signals, read like a file.

use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::kernel::Kernel;
use crate::net::{anonymous_stat, next_inode};
use crate::process::Info;
use alloc::rc::Rc;
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general as c;

/// Bytes of a `struct signalfd_siginfo`.
const RECORD: usize = 128;
/// What cannot be had this way.
const UNSTOPPABLE: u64 = 1 << (c::SIGKILL - 1) | 1 << (c::SIGSTOP - 1);

/// What files know of signals.
#[derive(Default)]
pub struct PendingSignals {
    /// Those that are pending for the thread that looks.
    mask: Cell<u64>,
    /// How many have ever come.
    count: Cell<u64>,
}

impl PendingSignals {
    /// One more has come.
    pub fn arrived(&self) {
        self.count.set(self.count.get() + 1);
    }
}

/// A way to some of the signals of whoever reads.
pub struct SignalFd {
    mask: Cell<u64>,
    pending: Rc<PendingSignals>,
    inode: u64,
}

impl SignalFd {
    /// A way to the signals in `mask`.
    pub fn new(kernel: &Kernel, mask: u64) -> Self {
        let file = Self { mask: Cell::new(0), pending: kernel.pending_signals.clone(), inode: next_inode() };
        file.set_mask(mask);
        file
    }

    /// From now on it is those in `mask`.
    pub fn set_mask(&self, mask: u64) {
        self.mask.set(mask & !UNSTOPPABLE);
    }
}

impl File for SignalFd {
    /// What there is lies in the kernel.
    fn read(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        Err(Errno::EAGAIN)
    }

    fn read_of_kernel(&self, kernel: &mut Kernel, buf: &mut [u8], _waits: bool) -> Result<usize> {
        if buf.len() < RECORD {
            return Err(Errno::EINVAL);
        }
        kernel.expire_alarm();
        let mut done = 0;
        for record in buf.chunks_exact_mut(RECORD) {
            let Some(info) = kernel.process.take_signal_from(self.mask.get()) else { break };
            record.copy_from_slice(&told(&info));
            done += RECORD;
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn stat(&self) -> Result<c::stat> {
        Ok(anonymous_stat(0o600, self.inode))
    }

    fn ready(&self) -> Ready {
        if self.pending.mask.get() & self.mask.get() != 0 { Ready::IN } else { Ready::empty() }
    }

    fn activity(&self) -> u64 {
        self.pending.count.get()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `info` as a `struct signalfd_siginfo`.
fn told(info: &Info) -> [u8; RECORD] {
    const SI_KERNEL: i32 = 0x80;
    let mut record = [0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &info.signal.to_ne_bytes());
    put(4, &info.errno.to_ne_bytes());
    put(8, &info.code.to_ne_bytes());
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|index| info.fields[index].to_ne_bytes());
    let is_of_signal = info.code > 0 && info.code < SI_KERNEL;
    match info.signal {
        c::SIGILL | c::SIGFPE | c::SIGSEGV | c::SIGBUS if is_of_signal => put(72, &first),
        _ if info.timer().is_some() => {
            put(24, &first[..4]);
            put(32, &first[4..]);
        }
        // Process and user come first in all others.
        _ => put(12, &first),
    }
    if info.signal == c::SIGCHLD && is_of_signal {
        put(40, &second[..4]);
        put(56, &third);
        put(64, &fourth);
    } else if info.code < 0 {
        put(44, &second[..4]);
        put(48, &second);
    }
    record
}

impl Kernel {
    /// Tells files what is pending for the running thread, if there are any that want to know.
    pub(crate) fn note_pending(&self) {
        if Rc::strong_count(&self.pending_signals) > 1 {
            self.pending_signals.mask.set(self.process.signals.pending());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_what_its_signal_has() {
        let sent = told(&Info::from_process(c::SIGUSR1, 0, 7));
        assert_eq!((sent[0], sent[12], sent[40]), (10, 7, 0));
        let mut child = Info::from_process(c::SIGCHLD, 1, 7);
        child.fields[1] = 3;
        assert_eq!((told(&child)[12], told(&child)[40]), (7, 3));
        let mut queued = Info::from_process(c::SIGUSR1, -1, 7);
        queued.fields[1] = 0x1_0000_0002;
        assert_eq!((told(&queued)[44], told(&queued)[48], told(&queued)[52]), (2, 2, 1));
        let mut fault = Info::sent(c::SIGSEGV, 1);
        fault.fields[0] = 5;
        assert_eq!((told(&fault)[12], told(&fault)[72]), (0, 5));
    }
}
