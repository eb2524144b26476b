//! Pipes.

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::net::pipe::PipeEnd;
use crate::poll::install;
use alloc::rc::Rc;
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: c::__NR_pipe, name: "pipe", support: Support::Full, handler: pipe },
    Entry {
        number: c::__NR_pipe2,
        name: "pipe2",
        support: Support::Partial("no packet mode (`O_DIRECT` is `EINVAL`)"),
        handler: pipe2,
    },
];

/// Writes two descriptors as an array of two `int`.
pub(super) fn put_pair(target: &mut [u8], first: u64, second: u64) {
    for (place, fd) in target.chunks_exact_mut(4).zip([first, second]) {
        place.copy_from_slice(&u32::try_from(fd).expect("a descriptor is small").to_ne_bytes());
    }
}

fn pipe(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make(kernel, args.raw(0), 0)
}

fn pipe2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make(kernel, args.raw(0), args.uint(1))
}

fn make(kernel: &mut Kernel, target: u64, flags: u32) -> Result<u64> {
    if flags & !(c::O_NONBLOCK | c::O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = kernel.mm.slice_mut(target, 8)?;
    let (reader, writer) = PipeEnd::pair(&kernel.net);
    let close_on_exec = flags & c::O_CLOEXEC != 0;
    let status = flags & c::O_NONBLOCK;
    let first = install(kernel, Rc::new(reader), c::O_RDONLY | status, close_on_exec)?;
    match install(kernel, Rc::new(writer), c::O_WRONLY | status, close_on_exec) {
        Ok(second) => put_pair(target, first, second),
        Err(errno) => {
            kernel.fds.replace(first, None)?;
            return Err(errno);
        }
    }
    Ok(0)
}
