//! signalfd(2).

use super::path::full;
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::poll::install;
use crate::poll::signalfd::SignalFd;
use alloc::rc::Rc;
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(c::__NR_signalfd, "signalfd", |kernel, args| make(kernel, args, 0)),
    full(c::__NR_signalfd4, "signalfd4", |kernel, args| make(kernel, args, args.uint(3))),
];

fn make(kernel: &mut Kernel, args: &Args, flags: u32) -> Result<u64> {
    if flags & !(c::O_CLOEXEC | c::O_NONBLOCK) != 0 || args.size(2) != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let mask = kernel.mm.read(args.raw(1))?;
    if args.int(0) == -1 {
        let file = Rc::new(SignalFd::new(kernel, mask));
        return install(kernel, file, c::O_RDWR | flags & c::O_NONBLOCK, flags & c::O_CLOEXEC != 0);
    }
    let fd = args.fd(0)?;
    let open = kernel.fds.get(fd)?.open.clone();
    let file: &SignalFd = open.file.as_any().downcast_ref().ok_or(Errno::EINVAL)?;
    file.set_mask(mask);
    Ok(fd)
}
