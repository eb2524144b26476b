//! Small system calls that no crate offers safely: thread fault counters, thread signals, `PAGEMAP_SCAN`, KVM's
//! counters, `rdtsc`.
#![expect(unsafe_code, reason = "the floor for system calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Once;
use std::time::Instant;

/// Page faults the calling thread has taken since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Resolved without reading from a disk.
    pub minor: i64,
    /// Resolved by reading from a disk.
    pub major: i64,
}

/// Reads the fault counters of the calling thread.
pub fn thread_faults() -> io::Result<Faults> {
    // SAFETY: all-zero is a valid value of this structure of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure it is given.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Faults { minor: usage.ru_minflt, major: usage.ru_majflt })
}

/// Number of the calling thread.
pub(crate) fn thread_id() -> i32 {
    thread_local!(static ID: i32 = rustix::thread::gettid().as_raw_nonzero().get());
    ID.with(|id| *id)
}

/// The signal that interrupts `KVM_RUN` for good. Not one of those that users send to programs.
fn kick_signal() -> i32 {
    libc::SIGRTMIN()
}

/// The signal of the timers that interrupt `KVM_RUN` now and then.
pub(crate) fn tick_signal() -> i32 {
    libc::SIGRTMIN() + 1
}

extern "C" fn ignore_signal(_: i32) {}

/// Installs the handler of the kick signal (once per process) and unblocks it in the calling thread (once per
/// thread). The handler does nothing; that it exists makes the signal end `KVM_RUN` with `EINTR`.
pub(crate) fn accept_kicks() {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        // SAFETY: an all-zero sigaction is valid; the handler is async-signal-safe because it does nothing, and
        // without SA_RESTART so that a signal ends the system call.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ignore_signal as extern "C" fn(i32) as usize;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(kick_signal(), &raw const action, std::ptr::null_mut());
        }
    });
    thread_local!(static UNBLOCKED: () = {
        // SAFETY: the set lives on this stack and is initialised before it is used.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, kick_signal());
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        }
    });
    UNBLOCKED.with(|()| ());
}

/// Sends the kick signal to one thread of this process.
pub(crate) fn kick_thread(thread: i32) {
    let process = std::process::id();
    // SAFETY: tgkill takes three integers and touches no memory. It fails if the thread is gone, which is fine.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, kick_signal()) };
}

/// The time-stamp counter.
pub(crate) fn rdtsc() -> u64 {
    // SAFETY: rdtsc exists on every x86-64 processor and has no effect on memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// One run of pages found by [`pagemap_scan`]: addresses in this process.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct PageRegion {
    pub(crate) start: u64,
    pub(crate) end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

vmm_sys_util::ioctl_iowr_nr!(PAGEMAP_SCAN, 0x66, 16, ScanArgument);

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;
const PAGE_IS_HUGE: u64 = 1 << 6;

/// Which pages are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that belong to this process alone: present or swapped, neither a page of a file nor the shared zero page.
    Private,
    /// Those in the page tables of this process.
    Present,
    /// Those in large pages there.
    Large,
}

/// Finds the wanted pages of `start..end`. Returns how many entries of `regions` it filled and where it stopped.
pub(crate) fn pagemap_scan(
    pagemap: BorrowedFd<'_>,
    start: u64,
    end: u64,
    wanted: Wanted,
    regions: &mut [PageRegion],
) -> io::Result<(usize, u64)> {
    let (inverted, any_of) = match wanted {
        Wanted::Private => (PAGE_IS_FILE | PAGE_IS_PFNZERO, PAGE_IS_PRESENT | PAGE_IS_SWAPPED),
        Wanted::Present => (0, PAGE_IS_PRESENT),
        Wanted::Large => (0, PAGE_IS_HUGE),
    };
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags: 0,
        start,
        end,
        walk_end: 0,
        vec: regions.as_mut_ptr().addr() as u64,
        vec_len: regions.len() as u64,
        max_pages: 0,
        category_inverted: inverted,
        category_mask: inverted,
        category_anyof_mask: any_of,
        return_mask: PAGE_IS_PRESENT,
    };
    // SAFETY: the argument has the kernel's layout and says how long `regions` is; the kernel writes only there.
    let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN(), &raw mut argument) };
    match usize::try_from(found) {
        Ok(found) => Ok((found.min(regions.len()), argument.walk_end)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// `struct uffdio_api` of linux/userfaultfd.h.
#[repr(C)]
struct FaultsApi {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct FaultsRegister {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

vmm_sys_util::ioctl_iowr_nr!(UFFDIO_API, 0xaa, 0x3f, FaultsApi);
vmm_sys_util::ioctl_iowr_nr!(UFFDIO_REGISTER, 0xaa, 0, FaultsRegister);

const UFFD_USER_MODE_ONLY: i32 = 1;
const UFFD_API: u64 = 0xaa;
const UFFDIO_REGISTER_MODE_WP: u64 = 2;

/// Makes the kernel map single pages of a file at `start`, where it would map the neighbours of each as well, for as
/// long as the descriptor lives. That is how it treats memory whose write protection somebody may watch; nothing is
/// protected, so nothing has to be handled.
pub(crate) fn map_singly(start: u64, len: u64) -> io::Result<OwnedFd> {
    // SAFETY: the call takes flags only and returns a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | UFFD_USER_MODE_ONLY) };
    let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor is new, so it has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut api = FaultsApi { api: UFFD_API, features: 0, ioctls: 0 };
    let mut register = FaultsRegister { start, len, mode: UFFDIO_REGISTER_MODE_WP, ioctls: 0 };
    // SAFETY: both structures have the kernel's layout; registering changes no contents.
    let failed = unsafe {
        libc::ioctl(fd.as_raw_fd(), UFFDIO_API(), &raw mut api) != 0
            || libc::ioctl(fd.as_raw_fd(), UFFDIO_REGISTER(), &raw mut register) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// Seconds the calibration of [`crate::Kvm`] measures for, in nanoseconds.
const CALIBRATION_NS: u128 = 20_000_000;

/// The time-stamp counter and the monotonic clock at the same time. The machine may stand still between two readings: of
/// some tries, the one that took the fewest ticks.
fn moment() -> (u64, Instant) {
    let read = || {
        let (before, now) = (rdtsc(), Instant::now());
        (rdtsc().wrapping_sub(before), before, now)
    };
    let (_, ticks, now) = (1..5).fold(read(), |best, _| best.min(read()));
    (ticks, now)
}

/// Measures the frequency of the time-stamp counter against the monotonic clock, in kHz.
pub(crate) fn calibrate_tsc_khz() -> u64 {
    let (first, begin) = moment();
    while begin.elapsed().as_nanos() < CALIBRATION_NS {
        std::hint::spin_loop();
    }
    let (last, end) = moment();
    let (ticks, nanoseconds) = (last - first, (end - begin).as_nanos().max(1));
    u64::try_from(u128::from(ticks) * 1_000_000 / nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Backing, Mapping};

    #[test]
    fn touching_new_memory_moves_the_fault_counter() {
        let mut memory = Mapping::new(2 << 20, Backing::Anonymous).unwrap();
        let before = thread_faults().unwrap();
        memory.write(0, &[1]).unwrap();
        assert_ne!(thread_faults().unwrap(), before);
    }

    #[test]
    fn calibration_is_in_a_believable_range() {
        let khz = calibrate_tsc_khz();
        assert!((100_000..10_000_000).contains(&khz), "{khz} kHz");
    }
}
