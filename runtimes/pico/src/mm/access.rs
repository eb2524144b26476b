//! Reading and writing the program's memory through addresses it gave us.
//!
//! An address is checked against the map of areas; what is mapped lies in the one linear region [`Mm`] owns, so it
//! is always backed by memory, or in the sparse area, and is given memory then (`ENOMEM` if there is none). The slices
//! are `'static` because the region is; they are made for the length of one system call, in which the thread does not
//! run. While that call waits other threads do, and may unmap what it holds: a program that does so is broken, and
//! harms itself only.

use super::areas::{READ, WRITE};
use super::plain::Plain;
use super::{Mm, PAGE_BYTES};
use crate::errno::{Errno, Result};
use abi::layout::PAGE;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use zerocopy::{FromBytes, Immutable, IntoBytes};

impl Mm {
    fn check(&self, addr: u64, len: usize, prot: u32) -> Result<()> {
        let end = addr.checked_add(len as u64).ok_or(Errno::EFAULT)?;
        if self.areas.borrow().extent(addr, end, prot) != end {
            return Err(Errno::EFAULT);
        }
        if !self.is_paged(addr) && !self.has_spaces() {
            return Ok(());
        }
        self.populate(addr, end)?;
        if prot & WRITE != 0 { self.own(addr, end) } else { Ok(()) }
    }

    /// `len` bytes at `addr`, which the program may read, else `EFAULT`.
    pub fn slice(&self, addr: u64, len: usize) -> Result<&'static [u8]> {
        if len == 0 {
            return Ok(&[]);
        }
        self.check(addr, len, READ)?;
        // SAFETY: the range is mapped, so it lies in the region, which is valid for reads for ever, or has memory
        // behind it, as checked above, which stays until the program unmaps it.
        Ok(unsafe { core::slice::from_raw_parts(Self::pointer(addr), len) })
    }

    /// `len` bytes at `addr`, which the program may write, else `EFAULT`.
    pub fn slice_mut(&self, addr: u64, len: usize) -> Result<&'static mut [u8]> {
        if len == 0 {
            return Ok(&mut []);
        }
        self.check(addr, len, WRITE)?;
        // SAFETY: as above, for writes: pages that may be written are mapped so; the program does not run while
        // pico does, and pico holds no Rust object in there.
        Ok(unsafe { core::slice::from_raw_parts_mut(Self::pointer(addr), len) })
    }

    /// Whether the page at `addr` can be written to after it was made this space's own, if it had to be.
    pub fn make_writable(&self, addr: u64) -> bool {
        self.slice_mut(addr, 1).is_ok()
    }

    /// The value at `addr`, any alignment.
    pub fn read<T: FromBytes>(&self, addr: u64) -> Result<T> {
        let bytes = self.slice(addr, size_of::<T>())?;
        Ok(T::read_from_bytes(bytes).expect("the slice has the size of the type"))
    }

    /// Writes `value` at `addr`, any alignment.
    pub fn write<T: IntoBytes + Immutable>(&self, addr: u64, value: &T) -> Result<()> {
        self.slice_mut(addr, size_of::<T>())?.copy_from_slice(value.as_bytes());
        Ok(())
    }

    /// Like [`Mm::read`] for the structures of `linux_raw_sys`.
    pub fn get<T: Plain>(&self, addr: u64) -> Result<T> {
        let bytes = self.slice(addr, size_of::<T>())?;
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: `bytes` has the size of T, and `Plain` says that any bytes are a T.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), size_of::<T>());
            Ok(value.assume_init())
        }
    }

    /// Like [`Mm::write`] for the structures of `linux_raw_sys`.
    pub fn put<T: Plain>(&self, addr: u64, value: &T) -> Result<()> {
        let bytes = self.slice_mut(addr, size_of::<T>())?;
        let source = core::ptr::from_ref(value).cast::<MaybeUninit<u8>>();
        // SAFETY: `bytes` has the size of T, and T is plain data, copied as it is, padding included.
        unsafe { core::ptr::copy_nonoverlapping(source, bytes.as_mut_ptr().cast(), size_of::<T>()) };
        Ok(())
    }

    /// `count` values at `addr`, at most `max` of them (`EINVAL`), as for `iovec` and `pollfd` arrays.
    pub fn get_array<T: Plain>(&self, addr: u64, count: usize, max: usize) -> Result<Vec<T>> {
        if count > max {
            return Err(Errno::EINVAL);
        }
        (0..count as u64).map(|i| self.get(addr.wrapping_add(i * size_of::<T>() as u64))).collect()
    }

    /// The NUL-terminated string at `addr` without its NUL: `EFAULT` where the memory ends first,
    /// `ENAMETOOLONG` if there is no NUL in the first `max` bytes.
    pub fn c_str(&self, addr: u64, max: usize) -> Result<&'static [u8]> {
        let limit = addr.checked_add(max as u64).ok_or(Errno::EFAULT)?;
        let len = usize::try_from(self.areas.borrow().extent(addr, limit, READ) - addr)
            .map_err(|_| Errno::EFAULT)?;
        let bytes = self.slice(addr, len)?;
        match bytes.iter().position(|&byte| byte == 0) {
            Some(end) => Ok(&bytes[..end]),
            None if len == max => Err(Errno::ENAMETOOLONG),
            None => Err(Errno::EFAULT),
        }
    }

    /// Bytes of the region, mapped for the program or not: for building mappings and for pages of memory files. Once
    /// there was more than one address space these are not the bytes the program finds at that address.
    pub(crate) fn raw(&self, addr: u64, len: u64) -> &'static mut [u8] {
        let addr = self.page_at(addr);
        let inside = addr >= self.base && addr.checked_add(len).is_some_and(|end| end <= self.end());
        assert!(inside, "{addr:#x}+{len:#x} is not program memory");
        let len = usize::try_from(len).expect("usize is 64 bits wide");
        // SAFETY: inside the region, or the second view of it, which are valid for reads and writes for ever; callers do
        // not keep the slice.
        unsafe { core::slice::from_raw_parts_mut(Self::pointer(addr + self.direct), len) }
    }

    /// Bytes that were just mapped, whatever their protection: in the region, or given memory now.
    pub(crate) fn fresh(&self, addr: u64, len: u64) -> Result<&'static mut [u8]> {
        if !self.is_paged(addr) {
            return Ok(self.raw(addr, len));
        }
        self.populate(addr, addr + len)?;
        let len = usize::try_from(len).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: every page has memory behind it; the caller sees to it that they may be written.
        Ok(unsafe { core::slice::from_raw_parts_mut(Self::pointer(addr), len) })
    }

    /// Fills `len` bytes at `addr`, just mapped, whatever their protection: `read` is told how many it has given, and gives
    /// more until there are none. Pages are not touched where the program has them, which may cost a fault each.
    pub(crate) fn fill(
        &self,
        addr: u64,
        len: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        let end = addr + len;
        let mut at = addr;
        while at < end {
            let (page, part) = if self.is_paged(at) {
                let part = (end - at).min(PAGE - at % PAGE);
                self.back_all(at, at + part)?;
                let page = self.sparse.borrow().page(self, at / PAGE * PAGE).ok_or(Errno::EFAULT)?;
                (page + at % PAGE, part)
            } else {
                (at, end - at)
            };
            match read(at - addr, self.raw(page, part))? {
                0 => break,
                count => at += count as u64,
            }
        }
        Ok(())
    }

    /// The page `image` of an image, as noted by [`Mm::map_image`].
    pub(super) fn image_page(&self, image: u64) -> &'static [u8] {
        // SAFETY: notes are made of pages of images only, which are mapped for ever and never change.
        unsafe { core::slice::from_raw_parts(Self::pointer(image), PAGE_BYTES) }
    }

    fn pointer(addr: u64) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(usize::try_from(addr).expect("usize is 64 bits wide"))
    }
}
