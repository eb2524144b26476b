//! userfaultfd(2): page faults of this process, given to a thread of this process.
//!
//! A fault on a missing page of a registered range waits until somebody wakes it. On memory of a memfd "missing"
//! means that the file has no page there, whoever could have made it; so a page is filled once, in the file, and all
//! mappings of the file see it. What can be done to a range depends on how it is mapped:
//!
//! | mapping | [`Userfault::copy`] | [`Userfault::zero`] |
//! |---|---|---|
//! | shared | fills the file: the page appears as a whole, or not at all | (not used) |
//! | private | (not used) | gives this mapping alone a page of zeros; the file keeps its hole |
//!
//! KVM takes faults in the kernel, so `UFFD_USER_MODE_ONLY` is of no use here. Without it the system call needs
//! a privilege; `/dev/userfaultfd` needs only the permission to open it, and the descriptor can be passed on.
//! Either way a userfaultfd belongs to the memory of the process that made it.
#![expect(unsafe_code, reason = "the ioctls of userfaultfd have no safe wrapper")]

use crate::memory::Mapping;
use crate::size::PAGE_BYTES;
use abi::layout::PAGE;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const UFFD_API: u64 = 0xaa;
const MISSING_SHMEM: u64 = 1 << 5;
const REGISTER_MISSING: u64 = 1;
const EVENT_PAGEFAULT: u8 = 0x12;
/// Bytes of a `struct uffd_msg`.
const MESSAGE_BYTES: usize = 32;
/// Messages fetched at once.
const MESSAGES: usize = 32;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Range {
    start: u64,
    len: u64,
}

#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Copy {
    dst: u64,
    src: u64,
    len: u64,
    mode: u64,
    copied: i64,
}

#[repr(C)]
struct Zero {
    range: Range,
    mode: u64,
    zeroed: i64,
}

vmm_sys_util::ioctl_io_nr!(USERFAULTFD_IOC_NEW, 0xaa, 0x00);
vmm_sys_util::ioctl_iowr_nr!(UFFDIO_REGISTER, 0xaa, 0x00, Register);
vmm_sys_util::ioctl_ior_nr!(UFFDIO_WAKE, 0xaa, 0x02, Range);
vmm_sys_util::ioctl_iowr_nr!(UFFDIO_COPY, 0xaa, 0x03, Copy);
vmm_sys_util::ioctl_iowr_nr!(UFFDIO_ZEROPAGE, 0xaa, 0x04, Zero);
vmm_sys_util::ioctl_iowr_nr!(UFFDIO_API, 0xaa, 0x3f, Api);

/// A userfaultfd of this process. Closing it lets every waiting fault go on as if nothing had been registered.
#[derive(Debug)]
pub struct Userfault(OwnedFd);

impl Userfault {
    /// Makes one, with `/dev/userfaultfd` if it is given, else with the system call.
    pub fn new(device: Option<BorrowedFd<'_>>) -> io::Result<Userfault> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: both take flags only and return a new descriptor or -1.
        let fd = unsafe {
            match device {
                Some(device) => i64::from(libc::ioctl(device.as_raw_fd(), USERFAULTFD_IOC_NEW(), flags)),
                None => libc::syscall(libc::SYS_userfaultfd, flags),
            }
        };
        let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel has just made this descriptor for us.
        let userfault = Userfault(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut api = Api { api: UFFD_API, features: MISSING_SHMEM, ioctls: 0 };
        // SAFETY: the argument has the kernel's layout.
        check(unsafe { libc::ioctl(fd, UFFDIO_API(), &raw mut api) })?;
        Ok(userfault)
    }

    /// Lets faults on missing pages of a part of `mapping` wait for a wake.
    pub(crate) fn register(&self, mapping: &Mapping, offset: usize, len: usize) -> io::Result<()> {
        let range = Range { start: address(mapping, offset, len)?, len: len as u64 };
        let mut argument = Register { range, mode: REGISTER_MISSING, ioctls: 0 };
        // SAFETY: the argument has the kernel's layout; registering changes no memory.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_REGISTER(), &raw mut argument) })
    }

    /// Puts copies of `bytes` (whole pages) where `mapping` has none. Returns how many bytes were taken before a
    /// page that exists; `AlreadyExists` if the first one does.
    pub(crate) fn copy(&self, mapping: &Mapping, offset: usize, bytes: &[u8]) -> io::Result<usize> {
        let (dst, src) = (address(mapping, offset, bytes.len())?, bytes.as_ptr().addr() as u64);
        let mut argument = Copy { dst, src, len: bytes.len() as u64, mode: 0, copied: 0 };
        // SAFETY: the argument has the kernel's layout. The kernel reads `bytes` and writes only to missing pages
        // of the mapping, of which no reference exists.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_COPY(), &raw mut argument) };
        match usize::try_from(argument.copied) {
            Ok(copied) if copied > 0 => Ok(copied.min(bytes.len())),
            _ => check(result).map(|()| bytes.len()),
        }
    }

    /// Gives the private mapping at `address` a page of zeros of its own, if none is there, and wakes who waits
    /// for it. Does nothing where no range is registered.
    pub fn zero(&self, address: u64) -> io::Result<()> {
        let start = address & !(PAGE - 1);
        let mut argument = Zero { range: Range { start, len: PAGE }, mode: 0, zeroed: 0 };
        // SAFETY: the argument has the kernel's layout. Only a missing page of a registered range changes, from
        // nothing to zeros.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_ZEROPAGE(), &raw mut argument) };
        match check(result) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.wake(start),
            result => result,
        }
    }

    /// Wakes who waits for the page at `address`.
    pub fn wake(&self, address: u64) -> io::Result<()> {
        let mut range = Range { start: address & !(PAGE - 1), len: PAGE };
        // SAFETY: the argument has the kernel's layout; waking changes no memory.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_WAKE(), &raw mut range) })
    }

    /// Addresses of the pages that faults have begun to wait for since the last call; empty if there are none.
    pub fn faults(&self) -> io::Result<Vec<u64>> {
        let mut buffer = [0_u8; MESSAGE_BYTES * MESSAGES];
        let count = match rustix::io::read(&self.0, &mut buffer) {
            Ok(count) => count,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let (messages, _) = buffer[..count].as_chunks::<MESSAGE_BYTES>();
        let faults = messages.iter().filter(|message| message[0] == EVENT_PAGEFAULT);
        Ok(faults.map(page_address).collect())
    }
}

impl AsFd for Userfault {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `arg.pagefault.address` of a message.
fn page_address(message: &[u8; MESSAGE_BYTES]) -> u64 {
    let word: [u8; 8] = std::array::from_fn(|at| message[16 + at]);
    u64::from_le_bytes(word) & !(PAGE - 1)
}

/// Where whole pages of a mapping lie.
fn address(mapping: &Mapping, offset: usize, len: usize) -> io::Result<u64> {
    let inside = offset.checked_add(len).is_some_and(|end| end <= mapping.len());
    if !inside || !offset.is_multiple_of(PAGE_BYTES) || !len.is_multiple_of(PAGE_BYTES) {
        return Err(io::Error::other("not whole pages inside the mapping"));
    }
    Ok(mapping.address() + offset as u64)
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Backing;
    use crate::size::HUGE_BYTES;

    /// A private mapping of an empty file, registered.
    fn registered(userfault: &Userfault) -> (OwnedFd, Mapping) {
        let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, HUGE_BYTES as u64).unwrap();
        let mapping = Mapping::new(HUGE_BYTES, Backing::Private(fd.as_fd())).unwrap();
        userfault.register(&mapping, 0, HUGE_BYTES).unwrap();
        (fd, mapping)
    }

    fn data(fd: &OwnedFd) -> Option<u64> {
        rustix::fs::seek(fd, rustix::fs::SeekFrom::Data(0)).ok()
    }

    #[test]
    fn zeros_are_the_mappings_own() {
        let device = std::fs::File::options().read(true).write(true).open("/dev/userfaultfd").unwrap();
        for device in [None, Some(device.as_fd())] {
            let userfault = Userfault::new(device).unwrap();
            let (fd, mapping) = registered(&userfault);
            userfault.zero(mapping.address() + PAGE).unwrap();
            userfault.zero(mapping.address() + PAGE).unwrap();
            let mut bytes = [1; 8];
            mapping.read(PAGE_BYTES, &mut bytes).unwrap();
            assert_eq!((bytes, data(&fd)), ([0; 8], None));
            assert_eq!(userfault.faults().unwrap(), [0; 0]);
        }
    }

    #[test]
    fn a_fault_waits_until_the_file_has_the_page() {
        let userfault = Userfault::new(None).unwrap();
        let (fd, mapping) = registered(&userfault);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut bytes = [0; 2];
                mapping.read(3 * PAGE_BYTES + 7, &mut bytes).unwrap();
                bytes
            });
            let mut faults = Vec::new();
            while faults.is_empty() {
                let mut waiting = [rustix::event::PollFd::new(&userfault, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut waiting, None).unwrap();
                faults = userfault.faults().unwrap();
            }
            assert_eq!(faults, [mapping.address() + 3 * PAGE]);
            assert_eq!(rustix::io::pwrite(&fd, &[9; PAGE_BYTES], 3 * PAGE).unwrap(), PAGE_BYTES);
            userfault.wake(faults[0]).unwrap();
            assert_eq!(reader.join().unwrap(), [9; 2]);
        });
    }

    #[test]
    fn only_whole_pages_inside_a_mapping_are_registered() {
        let userfault = Userfault::new(None).unwrap();
        let mapping = Mapping::new(HUGE_BYTES, Backing::Anonymous).unwrap();
        for (offset, len) in [(1, PAGE_BYTES), (0, 1), (PAGE_BYTES, HUGE_BYTES), (usize::MAX, PAGE_BYTES)] {
            assert!(userfault.register(&mapping, offset, len).is_err(), "{offset} {len}");
        }
    }
}
