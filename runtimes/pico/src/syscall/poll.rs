//! poll(2) and ppoll(2).

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::file::FD_MAX;
use crate::kernel::Kernel;
use crate::poll::timeout::{Deadline, Form, Timeout, after_millis};
use crate::poll::{ALWAYS, INCOMING, Sources, event_bits, look_until};
use alloc::vec::Vec;
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: c::__NR_poll, name: "poll", support: Support::Full, handler: poll },
    Entry { number: c::__NR_ppoll, name: "ppoll", support: Support::Full, handler: ppoll },
];

/// Bytes of a `sigset_t` as the kernel has it.
const SIGSET_BYTES: u64 = 8;

/// Reads a signal mask: `EINVAL` if it has another size than Linux's, `EFAULT` if it cannot be read.
pub(super) fn read_mask(kernel: &Kernel, mask: u64, bytes: u64) -> Result<Option<u64>> {
    if mask == 0 {
        return Ok(None);
    }
    if bytes != SIGSET_BYTES {
        return Err(Errno::EINVAL);
    }
    kernel.mm.read::<u64>(mask).map(Some)
}

fn poll(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let deadline = after_millis(kernel, args.int(2));
    poll_until(kernel, args.raw(0), args.uint(1), deadline)
}

fn ppoll(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let timeout = Timeout::read(kernel, args.raw(2), Form::Timespec)?;
    let mask = read_mask(kernel, args.raw(3), args.raw(4))?;
    let result =
        kernel.with_mask(mask, |kernel| poll_until(kernel, args.raw(0), args.uint(1), timeout.deadline));
    timeout.write_back(kernel);
    result
}

/// One `pollfd`.
struct Watched {
    fd: i32,
    events: u32,
    revents: u32,
}

/// Bytes of a `pollfd`.
const POLLFD: usize = 8;

fn poll_until(kernel: &mut Kernel, addr: u64, count: u32, deadline: Deadline) -> Result<u64> {
    let count = usize::try_from(count).ok().filter(|&count| count <= FD_MAX).ok_or(Errno::EINVAL)?;
    let _held = kernel.hold(count * size_of::<Watched>())?;
    let array = kernel.mm.slice_mut(addr, count * POLLFD)?;
    let mut watched: Vec<Watched> = array
        .chunks_exact(POLLFD)
        .map(|raw| Watched {
            fd: i32::from_ne_bytes([raw[0], raw[1], raw[2], raw[3]]),
            events: u32::from(u16::from_ne_bytes([raw[4], raw[5]])),
            revents: 0,
        })
        .collect();
    let found = look_until(kernel, deadline, |kernel, now, sources| {
        watched.iter_mut().for_each(|entry| look(kernel, now, sources, entry));
        let found = watched.iter().filter(|entry| entry.revents != 0).count();
        (found > 0).then_some(found as u64)
    })?;
    for (raw, entry) in array.chunks_exact_mut(POLLFD).zip(&watched) {
        let revents = u16::try_from(entry.revents).expect("all events are in 16 bits");
        raw[6..].copy_from_slice(&revents.to_ne_bytes());
    }
    Ok(found.unwrap_or(0))
}

fn look(kernel: &Kernel, now: u64, sources: &mut Sources, entry: &mut Watched) {
    let Ok(fd) = u64::try_from(entry.fd) else { return };
    let Ok(descriptor) = kernel.fds.get(fd) else {
        entry.revents = c::POLLNVAL;
        return;
    };
    let file = &descriptor.open.file;
    file.tick(now);
    sources.add(&descriptor.open, entry.events & INCOMING != 0);
    entry.revents = event_bits(file.ready()) & (entry.events | ALWAYS);
}
