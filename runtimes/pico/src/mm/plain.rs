//! The structures of the Linux ABI that are copied to and from the program as they are.

use linux_raw_sys::general as linux;

/// A `#[repr(C)]` structure for which any bytes are a valid value.
///
/// # Safety
/// Implementors contain only integers, raw pointers, and arrays and structures of these.
pub unsafe trait Plain: Sized {}

macro_rules! plain {
    ($($name:ty)*) => { $(
        // SAFETY: integers, raw pointers and arrays of them, as in the C headers.
        unsafe impl Plain for $name {}
    )* };
}

plain! {
    u8 u16 u32 u64 i32 i64
    linux::stat linux::statfs linux::statx linux::iovec linux::pollfd linux::epoll_event
    linux::__kernel_old_timeval linux::timeval linux::timezone linux::__kernel_timespec linux::__kernel_itimerspec linux::itimerval
    linux::rlimit linux::rlimit64 linux::rusage linux::flock
    linux_raw_sys::system::sysinfo linux_raw_sys::system::new_utsname
}
