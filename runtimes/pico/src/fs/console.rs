//! The standard streams of a program that has some (contract `Program`): the caller's, by way of the host.
//!
//! Every write is handed over before it returns. Input is fetched when the program looks for it and has none left, up to
//! 64 KiB at once.

use super::device::Device;
use super::mounts::DEV_DEVICES;
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::kernel::Kernel;
use crate::net::anonymous_stat;
use crate::platform::Platform;
use crate::tty::settings::{SANE, Termios};
use abi::console::{
    INPUT_DATA, INPUT_END, INPUT_ERROR, INPUT_NONE, SETTINGS_DRAIN, SETTINGS_FLUSH, SETTINGS_GET,
    SETTINGS_NOW, Settings, SettingsRequest,
};
use abi::mailbox::Doorbell;
use alloc::rc::Rc;
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::{self as linux, stat as Stat};
use linux_raw_sys::ioctl::FIONREAD;

/// Most bytes that are handed over at once.
const OUTPUT_PART: usize = 128 << 10;
/// Inode number of the first stream.
const INODE: u64 = 3;
/// Device number of a terminal: `/dev/pts/0`.
const TERMINAL: u64 = 136 << 8;

/// An error number of the host's; one that cannot be is `EIO`.
fn errno(number: u32) -> Errno {
    u16::try_from(number).map_or(Errno::EIO, Errno)
}

/// The console of the program.
pub struct Console {
    platform: Rc<dyn Platform>,
    /// Input that was handed over and not read yet.
    unread: Cell<&'static [u8]>,
    /// What the next read ends with once nothing is left: the end, or an error.
    ended: Cell<Option<Result<usize>>>,
    /// The program looked for input since the doorbell was last rung, and there was none.
    wanted: Cell<bool>,
    /// Changes when there is something new to read.
    activity: Cell<u64>,
    /// How the terminal was when it was last asked for.
    settings: Cell<Settings>,
}

impl Console {
    /// The console the host offers.
    pub fn new(platform: Rc<dyn Platform>) -> Self {
        Self {
            platform,
            unread: Cell::new(&[]),
            ended: Cell::new(None),
            wanted: Cell::new(false),
            activity: Cell::new(0),
            settings: Cell::new(SANE),
        }
    }

    /// Whether the program waits for input.
    pub fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// Whether a wait that begins now is also a wait for input.
    pub fn takes_note(&self) -> bool {
        self.wanted.take()
    }

    /// Whether the host has something to tell: what it waited for is not (only) time.
    pub fn has_news(&self) -> bool {
        let console = self.platform.console();
        console.signals != 0 || console.input != INPUT_NONE
    }

    /// Rows and columns of the terminal.
    pub fn size(&self) -> (u16, u16) {
        let console = self.platform.console();
        (console.rows, console.columns)
    }

    fn request(&self, action: u8, settings: &Settings) -> Result<Settings> {
        let Settings { input, output, local, characters, .. } = *settings;
        let request = SettingsRequest { input, output, local, action, characters };
        self.platform.ring(Doorbell::Terminal, request.encode());
        let console = self.platform.console();
        if console.settings_error != 0 {
            return Err(errno(console.settings_error));
        }
        // The speed is nobody's business: 38400 as that of pseudo terminals.
        let mut settings = console.settings;
        settings.control = settings.control & !linux::CBAUD | linux::B38400;
        self.settings.set(settings);
        Ok(settings)
    }

    /// How the terminal is set.
    pub fn settings(&self) -> Result<Settings> {
        self.request(SETTINGS_GET, &SANE)
    }

    /// Sets the terminal; `drains` once what was written was seen, `flushes` and drops what was typed.
    pub fn set(&self, settings: &Settings, drains: bool, flushes: bool) -> Result<()> {
        let action = match (flushes, drains) {
            (true, _) => SETTINGS_FLUSH,
            (false, true) => SETTINGS_DRAIN,
            (false, false) => SETTINGS_NOW,
        };
        self.request(action, settings)?;
        if flushes {
            self.unread.set(&[]);
        }
        Ok(())
    }

    /// Descriptors 0, 1 and 2: file, access, path.
    pub fn standard_streams(self: Rc<Self>) -> [(Rc<dyn File>, u32, &'static str); 3] {
        [0, 1, 2].map(|fd: u32| {
            let terminal = self.platform.console().terminals & (1 << fd) != 0;
            let access = if fd == 0 { linux::O_RDONLY } else { linux::O_WRONLY };
            let path = ["pipe:[3]", "pipe:[4]", "pipe:[5]"][fd as usize];
            let stream: Rc<dyn File> = Rc::new(Stream { console: self.clone(), fd, terminal });
            // A terminal is one open file for all three, for reading and writing.
            if terminal { (stream, linux::O_RDWR, "/dev/tty") } else { (stream, access, path) }
        })
    }

    /// The terminal by its name, if there is one.
    pub fn terminal(self: &Rc<Self>) -> Option<Rc<dyn File>> {
        let terminals = self.platform.console().terminals;
        let fd = [1, 2, 0].into_iter().find(|fd| terminals & (1 << fd) != 0)?;
        Some(Rc::new(Stream { console: self.clone(), fd, terminal: true }))
    }

    /// Takes what the host has handed over.
    fn accept(&self) {
        let console = self.platform.console();
        match console.input {
            INPUT_DATA => self.unread.set(self.platform.input(console.input_len as usize)),
            INPUT_END => self.ended.set(Some(Ok(0))),
            INPUT_ERROR => self.ended.set(Some(Err(errno(console.input_len)))),
            _ => return,
        }
        self.activity.set(self.activity.get() + 1);
        self.platform.clear_input();
    }

    /// Whether a read would not block; asks the host if that is not known here.
    fn readable(&self) -> bool {
        let known = || !self.unread.get().is_empty() || self.ended.get().is_some();
        if known() {
            return true;
        }
        self.accept();
        if !known() {
            self.platform.ring(Doorbell::Sleep, [0, 1, 0, 0]);
            self.accept();
        }
        self.wanted.set(!known());
        known()
    }

    fn read(&self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if !self.readable() {
            return Err(Errno::EAGAIN);
        }
        let unread = self.unread.get();
        if let Some(end) = self.ended.take().filter(|_| unread.is_empty()) {
            return end;
        }
        let (now, later) = unread.split_at(unread.len().min(buf.len()));
        buf[..now.len()].copy_from_slice(now);
        self.unread.set(later);
        Ok(now.len())
    }

    /// Writes to `stream`, 1 or 2.
    fn write(&self, stream: u32, buf: &[u8]) -> Result<usize> {
        let mut written = 0;
        for part in buf.chunks(OUTPUT_PART) {
            self.platform.log(stream, part);
            self.platform.ring(Doorbell::Log, [0; 4]);
            let error = self.platform.console().output_errors[stream as usize - 1];
            match error {
                0 => written += part.len(),
                _ if written > 0 => break,
                error => return Err(errno(error)),
            }
        }
        Ok(written)
    }
}

/// An open standard stream, or the terminal.
pub struct Stream {
    console: Rc<Console>,
    /// 0, 1 or 2.
    fd: u32,
    terminal: bool,
}

impl Stream {
    fn reads(&self) -> bool {
        self.fd == 0 || self.terminal
    }

    /// Reads what comes within `time` ns; nothing is the end. That is what a terminal with a `VMIN` of 0 does.
    fn read_for(&self, kernel: &mut Kernel, buf: &mut [u8], time: u64, waits: bool) -> Result<usize> {
        let deadline = kernel.now().saturating_add(time);
        loop {
            match self.console.read(buf) {
                Err(Errno::EAGAIN) if kernel.now() >= deadline => return Ok(0),
                Err(Errno::EAGAIN) if waits => {}
                result => return result,
            }
            if let Err(errno) = kernel.wait_interruptibly(Some(deadline), false) {
                kernel.process.restartable = errno == Errno::EINTR;
                return Err(errno);
            }
        }
    }
}

impl File for Stream {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        match (self.terminal, self.reads()) {
            // Whether the process may read at all only the kernel knows.
            (true, _) => Err(Errno::EAGAIN),
            (false, true) => self.console.read(buf),
            (false, false) => Err(Errno::EBADF),
        }
    }

    fn read_of_kernel(&self, kernel: &mut Kernel, buf: &mut [u8], waits: bool) -> Result<usize> {
        if !self.terminal {
            return Err(Errno::EAGAIN);
        }
        if let Some(jobs) = kernel.terminals.console.clone() {
            kernel.check_foreground(&jobs, linux::SIGTTIN)?;
        }
        let settings = self.console.settings.get();
        let (least, time) = settings.raw_limits();
        if settings.is_canonical() || least > 0 {
            return self.console.read(buf);
        }
        self.read_for(kernel, buf, time, waits)
    }

    fn prepare_write(&self, kernel: &mut Kernel, _offset: u64, len: usize) -> Result<usize> {
        if self.terminal
            && self.console.settings.get().has(linux::TOSTOP)
            && let Some(jobs) = kernel.terminals.console.clone()
        {
            kernel.check_foreground(&jobs, linux::SIGTTOU)?;
        }
        Ok(len)
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        // What is written to the descriptor for input (a terminal) is seen where output is.
        self.console.write(self.fd.max(1), buf)
    }

    fn stat(&self) -> Result<Stat> {
        let stat = anonymous_stat(linux::S_IFIFO | 0o600, INODE + u64::from(self.fd));
        if !self.terminal {
            return Ok(stat);
        }
        let tty = Device::Tty.attributes(DEV_DEVICES).to_stat();
        Ok(Stat { st_rdev: TERMINAL, st_mode: linux::S_IFCHR | 0o620, st_ino: INODE, ..tty })
    }

    fn ready(&self) -> Ready {
        let mut ready = Ready::empty();
        ready.set(Ready::OUT, self.fd != 0 || self.terminal);
        if self.reads() {
            ready.set(Ready::IN, self.console.readable());
            ready.set(Ready::HUP, self.console.ended.get() == Some(Ok(0)) && !self.terminal);
        }
        ready
    }

    fn activity(&self) -> u64 {
        self.console.activity.get()
    }

    fn ioctl(&self, command: u32, _argument: u64) -> Result<u64> {
        match command {
            FIONREAD if self.reads() => {
                self.console.readable();
                Ok(self.console.unread.get().len() as u64)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
