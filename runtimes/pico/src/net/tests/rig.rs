//! A program that makes system calls, on Linux or on pico.
//!
//! pico's program memory is memory of the test process, so that the same addresses are good for both.

use crate::kernel::Kernel;
use crate::platform::fake::{Fake, alone_with_linux};
use crate::syscall::{Args, dispatch};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as c;
use std::format;

/// The program, with what it noted.
pub(super) struct Rig {
    pub(super) kernel: Kernel,
    pub(super) fake: Rc<Fake>,
    native: bool,
    arena: u64,
    used: u64,
    notes: Vec<String>,
    open: Vec<i64>,
}

/// Bytes of program memory for arguments.
const ARENA_PAGES: u64 = 64;

impl Rig {
    pub(super) fn pico() -> Self {
        Self::new(false)
    }

    fn new(native: bool) -> Self {
        let (mut kernel, fake) = Kernel::for_tests();
        let (access, kind) = (c::PROT_READ | c::PROT_WRITE, c::MAP_PRIVATE | c::MAP_ANONYMOUS);
        let args = Args([0, ARENA_PAGES * 4096, access.into(), kind.into(), u64::MAX, 0]);
        let arena = dispatch(&mut kernel, c::__NR_mmap.into(), &args);
        Self { kernel, fake, native, arena, used: 0, notes: Vec::new(), open: Vec::new() }
    }

    /// Makes a system call: its result, or the negative error number.
    pub(super) fn call(&mut self, number: u32, args: &[u64]) -> i64 {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        if self.native {
            let [a, b, c, d, e, f] = all;
            // SAFETY: scenarios pass addresses of the arena, in which nothing of the test itself lies.
            let result = unsafe { libc::syscall(i64::from(number), a, b, c, d, e, f) };
            if result < 0 {
                return -i64::from(std::io::Error::last_os_error().raw_os_error().expect("an error number"));
            }
            return result;
        }
        dispatch(&mut self.kernel, number.into(), &Args(all)).cast_signed()
    }

    /// A call that makes a descriptor; it must succeed.
    pub(super) fn fd(&mut self, number: u32, args: &[u64]) -> u64 {
        let fd = self.call(number, args);
        assert!(fd >= 0, "call {number} failed with {fd}");
        self.open.push(fd);
        fd.cast_unsigned()
    }

    /// A call whose result is noted under `name`.
    pub(super) fn note(&mut self, name: &str, number: u32, args: &[u64]) -> i64 {
        let result = self.call(number, args);
        self.tell(name, result);
        result
    }

    /// Notes something.
    pub(super) fn tell(&mut self, name: &str, what: impl core::fmt::Debug) {
        self.notes.push(format!("{name}: {what:?}"));
    }

    pub(super) fn close(&mut self, fd: u64) -> i64 {
        self.open.retain(|&open| open.cast_unsigned() != fd);
        self.call(c::__NR_close, &[fd])
    }

    /// Takes note of the two descriptors a call has put at `addr`.
    pub(super) fn two_fds(&mut self, addr: u64) -> (u64, u64) {
        let [one, other] = [0, 4].map(|at| i64::from(u32::from_ne_bytes(self.peek(addr + at))));
        self.open.extend([one, other]);
        (one.cast_unsigned(), other.cast_unsigned())
    }

    /// Program memory with `bytes` in it.
    pub(super) fn put(&mut self, bytes: &[u8]) -> u64 {
        let addr = self.room(bytes.len());
        self.poke(addr, bytes);
        addr
    }

    /// `len` bytes of zeroed program memory.
    pub(super) fn room(&mut self, len: usize) -> u64 {
        let addr = self.arena + self.used;
        self.used += (len as u64).next_multiple_of(16);
        assert!(self.used <= ARENA_PAGES * 4096, "the arena is too small");
        self.poke(addr, &alloc::vec![0; len]);
        addr
    }

    pub(super) fn poke(&mut self, addr: u64, bytes: &[u8]) {
        self.kernel.mm.slice_mut(addr, bytes.len()).expect("in the arena").copy_from_slice(bytes);
    }

    pub(super) fn bytes(&self, addr: u64, len: usize) -> Vec<u8> {
        self.kernel.mm.slice(addr, len).expect("in the arena").to_vec()
    }

    pub(super) fn peek<const N: usize>(&self, addr: u64) -> [u8; N] {
        self.bytes(addr, N).try_into().expect("as many bytes")
    }

    /// All program memory handed out can be handed out again.
    pub(super) fn forget_arena(&mut self) {
        self.used = 0;
    }

    /// Notes the text at `addr`.
    pub(super) fn tell_text(&mut self, name: &str, addr: u64, len: usize) {
        let text = String::from_utf8_lossy(&self.bytes(addr, len)).into_owned();
        self.tell(name, text);
    }

    /// Waits for `events` on `fd` for a second at most and returns what came.
    pub(super) fn poll(&mut self, fd: u64, events: u32) -> u16 {
        let mut entry = u32::try_from(fd).expect("small").to_ne_bytes().to_vec();
        entry.extend(u16::try_from(events).expect("small").to_ne_bytes());
        entry.extend([0; 2]);
        let addr = self.put(&entry);
        self.call(c::__NR_poll, &[addr, 1, 1000]);
        u16::from_ne_bytes(self.peek(addr + 6))
    }

    /// Notes all events of `fd` without waiting for more than there are.
    pub(super) fn tell_events(&mut self, name: &str, fd: u64) {
        let mut entry = u32::try_from(fd).expect("small").to_ne_bytes().to_vec();
        entry.extend([0xff, 0x3f, 0, 0]);
        let addr = self.put(&entry);
        self.call(c::__NR_poll, &[addr, 1, 0]);
        let revents = u16::from_ne_bytes(self.peek(addr + 6));
        // Linux adds `POLLRDNORM` and the like for some files, pico for all.
        self.tell(name, format!("{:#x}", revents & 0x203f));
    }
}

/// Runs a scenario on Linux and in pico, which must tell the same.
pub(super) fn same(scenario: impl Fn(&mut Rig)) {
    let [linux, pico] = [true, false].map(|native| {
        let _alone = native.then(alone_with_linux);
        let mut rig = Rig::new(native);
        scenario(&mut rig);
        for fd in core::mem::take(&mut rig.open) {
            rig.call(c::__NR_close, &[fd.cast_unsigned()]);
        }
        rig.notes
    });
    assert!(!linux.is_empty(), "a scenario tells something");
    assert_eq!(linux, pico, "left: Linux, right: pico");
}
