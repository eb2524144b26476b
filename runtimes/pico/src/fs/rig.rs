//! A program for tests: makes system calls with paths and buffers in its own memory.
//!
//! pico's program memory is memory of the test process, so the same addresses are good for Linux: with
//! [`Rig::native`] the calls go there, to see what it does.

use crate::kernel::{Config, Kernel};
use crate::mm::areas::Kind;
use crate::mm::{DATA, Mapping, Mm, Placement};
use crate::platform::fake::Fake;
use crate::syscall::{Args, dispatch};
use abi::boot::Contract;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// The image the writer's tests made.
pub(crate) static EVERYTHING: &[u8] = include_bytes!("../../../../abi/testdata/everything.erofs");

/// Bytes of the program's buffer.
pub(crate) const BUFFER: usize = 256 << 10;

pub(crate) struct Rig {
    pub(crate) kernel: Kernel,
    pub(crate) fake: Rc<Fake>,
    /// Address of a buffer of [`BUFFER`] bytes.
    pub(crate) buffer: u64,
    strings: u64,
    used: u64,
    native: bool,
}

/// Address space for path arguments.
const STRINGS: u64 = 64 << 10;

impl Rig {
    /// With [`EVERYTHING`] as root and package.
    pub(crate) fn new() -> Self {
        Self::with(EVERYTHING, EVERYTHING)
    }

    pub(crate) fn with(root: &'static [u8], package: &'static [u8]) -> Self {
        let fake = Rc::new(Fake::default());
        let config = Config {
            contract: Contract::Handler,
            awaits_function: false,
            port: 8080,
            hwcap: 0,
            vdso: 0,
            fast_entry: 0,
            root,
            package,
        };
        let mut kernel = Kernel::new(Rc::new(fake.clone()), 1, config, Mm::for_tests(4 << 20));
        let memory = |len| Mapping {
            placement: Placement::Hint(0),
            len,
            prot: DATA,
            kind: Kind::Anonymous,
            file: None,
        };
        let buffer = kernel.mm.map(memory(BUFFER as u64)).unwrap();
        let strings = kernel.mm.map(memory(STRINGS)).unwrap();
        kernel.open_standard_streams().unwrap();
        Self { kernel, fake, buffer, strings, used: 0, native: false }
    }

    /// Linux.
    pub(crate) fn native() -> Self {
        Self { native: true, ..Self::new() }
    }

    /// Makes a system call: the result, or minus the error number.
    pub(crate) fn call(&mut self, number: u32, args: &[u64]) -> i64 {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        self.used = 0;
        if self.native {
            let [a, b, c, d, e, f] = all;
            // SAFETY: tests pass addresses in the program's memory, in which nothing of the test itself lies.
            let result = unsafe { libc::syscall(i64::from(number), a, b, c, d, e, f) };
            let errno = || std::io::Error::last_os_error().raw_os_error().expect("the call failed");
            return if result < 0 { -i64::from(errno()) } else { result };
        }
        dispatch(&mut self.kernel, number.into(), &Args(all)).cast_signed()
    }

    /// Puts a string into the program's memory; it is there until the next call was made.
    pub(crate) fn path(&mut self, path: impl AsRef<[u8]>) -> u64 {
        let path = path.as_ref();
        let at = self.strings + self.used;
        let target = self.kernel.mm.slice_mut(at, path.len() + 1).unwrap();
        target[..path.len()].copy_from_slice(path);
        target[path.len()] = 0;
        self.used += (path.len() as u64 + 1).next_multiple_of(8);
        at
    }

    /// The first `len` bytes of the buffer.
    pub(crate) fn bytes(&self, len: usize) -> &'static mut [u8] {
        self.kernel.mm.slice_mut(self.buffer, len).unwrap()
    }

    pub(crate) fn open(&mut self, path: impl AsRef<[u8]>, flags: u32) -> i64 {
        let path = self.path(path);
        self.call(linux::__NR_open, &[path, flags.into(), 0o644])
    }

    /// Opens, reads to the end, closes.
    pub(crate) fn read_all(&mut self, path: impl AsRef<[u8]>) -> Result<alloc::vec::Vec<u8>, i64> {
        let fd = self.open(path, linux::O_RDONLY);
        let fd = u64::try_from(fd).map_err(|_| fd)?;
        let mut all = alloc::vec::Vec::new();
        loop {
            let got = self.call(linux::__NR_read, &[fd, self.buffer, 5000]);
            let got = usize::try_from(got).map_err(|_| got)?;
            if got == 0 {
                break;
            }
            all.extend_from_slice(self.bytes(got));
        }
        assert_eq!(self.call(linux::__NR_close, &[fd]), 0);
        Ok(all)
    }

    /// Creates a file with contents.
    pub(crate) fn write_all(&mut self, path: impl AsRef<[u8]>, contents: &[u8]) -> i64 {
        let fd = self.open(path, linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC);
        let Ok(fd) = u64::try_from(fd) else { return fd };
        self.bytes(contents.len()).copy_from_slice(contents);
        let result = self.call(linux::__NR_write, &[fd, self.buffer, contents.len() as u64]);
        assert_eq!(self.call(linux::__NR_close, &[fd]), 0);
        result
    }

    /// A call whose first argument is a path.
    pub(crate) fn on(&mut self, number: u32, path: impl AsRef<[u8]>, rest: &[u64]) -> i64 {
        let path = self.path(path);
        self.call(number, &[&[path], rest].concat())
    }

    pub(crate) fn stat(&mut self, path: impl AsRef<[u8]>) -> Result<linux::stat, i64> {
        let buffer = self.buffer;
        match self.on(linux::__NR_lstat, path, &[buffer]) {
            0 => Ok(self.kernel.mm.get(buffer).unwrap()),
            errno => Err(errno),
        }
    }

    pub(crate) fn read_link(&mut self, path: impl AsRef<[u8]>) -> Result<alloc::vec::Vec<u8>, i64> {
        let buffer = self.buffer;
        let len = self.on(linux::__NR_readlink, path, &[buffer, 5000]);
        usize::try_from(len).map(|len| self.bytes(len).to_vec()).map_err(|_| len)
    }

    /// The names in a directory, taken with a small buffer.
    pub(crate) fn names(
        &mut self,
        path: impl AsRef<[u8]>,
    ) -> Result<alloc::vec::Vec<alloc::string::String>, i64> {
        let fd = self.open(path, linux::O_DIRECTORY);
        let fd = u64::try_from(fd).map_err(|_| fd)?;
        let mut names = alloc::vec::Vec::new();
        loop {
            let got = self.call(linux::__NR_getdents64, &[fd, self.buffer, 600]);
            let got = usize::try_from(got).map_err(|_| got)?;
            if got == 0 {
                break;
            }
            let mut rest: &[u8] = self.bytes(got);
            while !rest.is_empty() {
                let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
                let name = rest[19..len].split(|&byte| byte == 0).next().unwrap();
                names.push(alloc::string::String::from_utf8_lossy(name).into_owned());
                rest = &rest[len..];
            }
        }
        assert_eq!(self.call(linux::__NR_close, &[fd]), 0);
        Ok(names)
    }
}

/// Minus the error number, as a call returns it.
pub(crate) fn err(errno: crate::errno::Errno) -> i64 {
    -i64::from(errno.0)
}
