//! Open files and the descriptor table.

use crate::errno::{Errno, Result};
use crate::fs::Location;
use crate::fs::notify::Notifier;
use crate::kernel::Kernel;
use crate::lock::Holder;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, OnceCell};
use linux_raw_sys::general::stat as Stat;

bitflags::bitflags! {
    /// Readiness, with the values of poll(2) and epoll(7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ready: u32 {
        /// Reading will not block.
        const IN = 0x1;
        /// There is urgent data.
        const PRI = 0x2;
        /// Writing will not block.
        const OUT = 0x4;
        /// An error is pending.
        const ERR = 0x8;
        /// The peer is gone.
        const HUP = 0x10;
        /// The peer closed its sending side.
        const RDHUP = 0x2000;
    }
}

/// What a descriptor refers to. Single-threaded: implementations use `Cell` and `RefCell`.
///
/// No method blocks: what would block returns `EAGAIN`, and the system-call layer decides between returning
/// that and [`crate::kernel::Kernel::wait`].
pub trait File: Any {
    /// Reads at `offset` (ignored where there is no position). 0 is end of file. A file without contents says `EINVAL`.
    fn read(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        Err(Errno::EINVAL)
    }
    /// Reads what only the kernel has: asked where `read` would block. May wait if `waits`.
    fn read_of_kernel(&self, _kernel: &mut Kernel, _buf: &mut [u8], _waits: bool) -> Result<usize> {
        Err(Errno::EAGAIN)
    }
    /// Writes at `offset` (ignored where there is no position).
    fn write(&self, _offset: u64, _buf: &[u8]) -> Result<usize> {
        Err(Errno::EINVAL)
    }
    /// Metadata.
    fn stat(&self) -> Result<Stat>;
    /// Whether the file has a position (regular files and directories).
    fn seekable(&self) -> bool {
        false
    }
    /// Current size, for `SEEK_END` and `O_APPEND`.
    fn size(&self) -> u64 {
        0
    }
    /// Readiness now.
    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }
    /// Whether waiting for this file to become readable is waiting for the next request.
    fn takes_request(&self) -> bool {
        false
    }
    /// A number that changes whenever the file may have become ready anew: what edge-triggered epoll reports.
    fn activity(&self) -> u64 {
        0
    }
    /// How often urgent data has arrived: for `SIGURG`.
    fn urgencies(&self) -> u64 {
        0
    }
    /// Tells the monotonic time, in ns, to a file whose readiness depends on it (a timer). Called before every look.
    fn tick(&self, _now: u64) {}
    /// When the file becomes ready by itself: a monotonic time in ns.
    fn wakes_at(&self) -> Option<u64> {
        None
    }
    /// Longest a blocking operation in `direction` waits, in ns (`SO_RCVTIMEO` for `IN`, `SO_SNDTIMEO` for `OUT`).
    fn patience(&self, _direction: Ready) -> Option<u64> {
        None
    }
    /// Whether a write that may wait goes on until everything is written: pipes and streams.
    fn takes_all(&self) -> bool {
        false
    }
    /// Makes room for the `len` bytes that are about to be written at `offset`; says how many there is room for.
    fn prepare_write(&self, _kernel: &mut Kernel, _offset: u64, len: usize) -> Result<usize> {
        Ok(len)
    }
    /// Changes the size.
    fn truncate(&self, _kernel: &mut Kernel, _size: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }
    /// The contents, if they lie in an image that never changes: for mapping without asking for every page.
    fn image_slice(&self) -> Option<&'static [u8]> {
        None
    }
    /// Where in the tree a directory, or a file opened with `O_PATH`, is.
    fn location(&self) -> Option<&Location> {
        None
    }
    /// Whether it is a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
    /// Makes written data final.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    /// ioctl(2) with a plain argument; commands that need user memory are decoded by the system-call layer.
    fn ioctl(&self, _command: u32, _argument: u64) -> Result<u64> {
        Err(Errno::ENOTTY)
    }
    /// For downcasts to the concrete type.
    fn as_any(&self) -> &dyn Any;
}

/// An open file description (open(2)): what `dup` shares.
pub struct OpenFile {
    /// What is open.
    pub file: Rc<dyn File>,
    /// `O_*` status flags and access mode.
    pub flags: Cell<u32>,
    /// Position.
    pub offset: Cell<u64>,
    /// Absolute path it was opened by, for `/proc/self/fd` and `fchdir`; empty if it has none.
    pub path: String,
    /// Its right to own locks, once it has had one.
    pub locks: OnceCell<Holder>,
    /// Who is told when the last descriptor is gone, if it has a place in the tree.
    pub notifier: Option<Rc<Notifier>>,
}

impl OpenFile {
    /// `file`, just opened.
    pub fn new(file: Rc<dyn File>, flags: u32, path: String) -> Self {
        Self {
            file,
            flags: Cell::new(flags),
            offset: Cell::new(0),
            path,
            locks: OnceCell::new(),
            notifier: None,
        }
    }
}

/// One descriptor.
#[derive(Clone)]
pub struct Descriptor {
    /// The open file description.
    pub open: Rc<OpenFile>,
    /// `FD_CLOEXEC`.
    pub close_on_exec: bool,
}

/// Most descriptors a program can have (`RLIMIT_NOFILE`).
pub const FD_MAX: usize = 1024;

/// The descriptor table.
#[derive(Clone, Default)]
pub struct FdTable {
    slots: Vec<Option<Descriptor>>,
}

impl FdTable {
    /// The open file of descriptor `fd`, or `EBADF`.
    pub fn get(&self, fd: u64) -> Result<&Descriptor> {
        let fd = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        self.slots.get(fd).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    /// Puts `descriptor` at the lowest free number not below `least`.
    pub fn insert(&mut self, descriptor: Descriptor, least: usize) -> Result<u64> {
        let fd = (least..FD_MAX)
            .find(|&fd| self.slots.get(fd).is_none_or(Option::is_none))
            .ok_or(Errno::EMFILE)?;
        if self.slots.len() <= fd {
            self.slots.resize(fd + 1, None);
        }
        self.slots[fd] = Some(descriptor);
        Ok(fd as u64)
    }

    /// Puts `descriptor` at `fd` and returns what was there.
    pub fn replace(&mut self, fd: u64, descriptor: Option<Descriptor>) -> Result<Option<Descriptor>> {
        let fd = usize::try_from(fd).ok().filter(|&fd| fd < FD_MAX).ok_or(Errno::EBADF)?;
        if self.slots.len() <= fd {
            self.slots.resize(fd + 1, None);
        }
        Ok(core::mem::replace(&mut self.slots[fd], descriptor))
    }

    /// Takes those with `FD_CLOEXEC` out.
    pub fn close_on_exec(&mut self) -> Vec<Descriptor> {
        let closes = |slot: &mut Option<Descriptor>| slot.take_if(|descriptor| descriptor.close_on_exec);
        self.slots.iter_mut().filter_map(closes).collect()
    }

    /// Bytes of pico's own memory that a copy takes.
    pub fn own_bytes(&self) -> usize {
        self.slots.len() * size_of::<Option<Descriptor>>()
    }

    /// Whether a number is free.
    pub fn has_room(&self) -> bool {
        self.slots.len() < FD_MAX || self.slots.iter().any(Option::is_none)
    }

    /// Sets `FD_CLOEXEC` of descriptor `fd`.
    pub fn set_close_on_exec(&mut self, fd: u64, close_on_exec: bool) -> Result<()> {
        let slot = usize::try_from(fd).ok().and_then(|fd| self.slots.get_mut(fd));
        slot.and_then(Option::as_mut).ok_or(Errno::EBADF)?.close_on_exec = close_on_exec;
        Ok(())
    }

    /// All open descriptors with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Descriptor)> {
        self.slots.iter().enumerate().filter_map(|(fd, slot)| slot.as_ref().map(|d| (fd as u64, d)))
    }
}
