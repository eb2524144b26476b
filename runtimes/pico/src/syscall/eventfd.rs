//! eventfd(2).

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::poll::eventfd::EventFd;
use crate::poll::install;
use alloc::rc::Rc;
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: c::__NR_eventfd, name: "eventfd", support: Support::Full, handler: eventfd },
    Entry { number: c::__NR_eventfd2, name: "eventfd2", support: Support::Full, handler: eventfd2 },
];

fn eventfd(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make(kernel, args.uint(0), 0)
}

fn eventfd2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    make(kernel, args.uint(0), args.uint(1))
}

fn make(kernel: &mut Kernel, count: u32, flags: u32) -> Result<u64> {
    if flags & !(c::EFD_SEMAPHORE | c::EFD_CLOEXEC | c::EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let event = EventFd::new(count, flags & c::EFD_SEMAPHORE != 0);
    install(kernel, Rc::new(event), c::O_RDWR | flags & c::EFD_NONBLOCK, flags & c::EFD_CLOEXEC != 0)
}
