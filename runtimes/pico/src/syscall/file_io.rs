//! Reading and writing.

use super::path::{full, open_arg, partial};
use super::vectors::{read_segments, write_segments};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Ready};
use crate::kernel::Kernel;
use crate::net::socket::Socket;
use crate::poll::block;
use crate::process::Info;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_read, "read", read),
    full(linux::__NR_write, "write", write),
    full(linux::__NR_pread64, "pread64", pread64),
    full(linux::__NR_pwrite64, "pwrite64", pwrite64),
    full(linux::__NR_readv, "readv", readv),
    full(linux::__NR_writev, "writev", writev),
    full(linux::__NR_preadv, "preadv", preadv),
    full(linux::__NR_pwritev, "pwritev", pwritev),
    partial(linux::__NR_preadv2, "preadv2", preadv2, "no RWF_ATOMIC, RWF_DONTCACHE, RWF_NOAPPEND"),
    partial(linux::__NR_pwritev2, "pwritev2", pwritev2, "no RWF_ATOMIC, RWF_DONTCACHE, RWF_NOAPPEND"),
];

/// Most bytes of one call.
pub(super) const LEN_MAX: usize = 0x7fff_f000;

/// How one read or write is to be done.
#[derive(Clone, Copy, Default)]
pub(super) struct Mode {
    /// Where; nothing is the file's position, which moves on.
    pub(super) at: Option<u64>,
    append: bool,
    pub(super) dont_wait: bool,
}

/// The open file of argument `index`, open for reading.
pub(super) fn readable(kernel: &Kernel, args: &Args, index: usize) -> Result<Rc<OpenFile>> {
    let open = open_arg(kernel, args, index)?;
    match open.flags.get() & linux::O_ACCMODE {
        linux::O_RDONLY | linux::O_RDWR => Ok(open),
        _ => Err(Errno::EBADF),
    }
}

/// The open file of argument `index`, open for writing.
pub(super) fn writable(kernel: &Kernel, args: &Args, index: usize) -> Result<Rc<OpenFile>> {
    let open = open_arg(kernel, args, index)?;
    let access = open.flags.get() & linux::O_ACCMODE;
    if access == linux::O_WRONLY || access == linux::O_RDWR { Ok(open) } else { Err(Errno::EBADF) }
}

pub(super) fn read_once(kernel: &mut Kernel, open: &OpenFile, buf: &mut [u8], mode: Mode) -> Result<usize> {
    let offset = mode.at.unwrap_or_else(|| open.offset.get());
    let count =
        block(kernel, open, Ready::IN, mode.dont_wait, |kernel| attempt(kernel, open, buf, offset, mode))?;
    if mode.at.is_none() && open.file.seekable() {
        open.offset.set(offset + count as u64);
    }
    tell(kernel, open, count, linux::IN_ACCESS);
    Ok(count)
}

/// Reads, or is told to wait.
pub(super) fn attempt(
    kernel: &mut Kernel,
    open: &OpenFile,
    buf: &mut [u8],
    offset: u64,
    mode: Mode,
) -> Result<usize> {
    let waits = !mode.dont_wait && open.flags.get() & linux::O_NONBLOCK == 0;
    match open.file.read(offset, buf) {
        Err(Errno::EAGAIN) => open.file.read_of_kernel(kernel, buf, waits),
        result => result,
    }
}

/// Tells those who watch the file.
pub(super) fn tell(kernel: &Kernel, open: &OpenFile, count: usize, mask: u32) {
    if count > 0 && kernel.is_watched() {
        kernel.tell_open(open, mask);
    }
}

/// Whether it is a socket of messages: writing to one that is closed is an error, but no signal.
pub(super) fn keeps_messages(open: &OpenFile) -> bool {
    open.file.as_any().downcast_ref().is_some_and(Socket::has_messages)
}

pub(super) fn is_socket(open: &OpenFile) -> bool {
    open.file.as_any().is::<Socket>()
}

pub(super) fn write_once(kernel: &mut Kernel, open: &OpenFile, buf: &[u8], mode: Mode) -> Result<usize> {
    let append = mode.append || open.flags.get() & linux::O_APPEND != 0;
    let offset = if append { open.file.size() } else { mode.at.unwrap_or_else(|| open.offset.get()) };
    let room = open.file.prepare_write(kernel, offset, buf.len())?;
    let mut count = 0;
    let result = block(kernel, open, Ready::OUT, mode.dont_wait, |kernel| {
        loop {
            count += open.file.write(offset, &buf[count..room])?;
            if count == room || !open.file.takes_all() {
                return Ok(());
            }
            if !kernel.make_room() {
                break;
            }
        }
        kernel.threads.note_change();
        Err(Errno::EAGAIN)
    });
    // Who waits for a socket is told by the next call, who waits for a pipe at once.
    let tells = if count > 0 { !is_socket(open) } else { !keeps_messages(open) };
    if result == Err(Errno::EPIPE) && tells {
        kernel.process.signals.send(Info::sent(linux::SIGPIPE, 0))?;
    }
    if count == 0 {
        result?;
    }
    if mode.at.is_none() && open.file.seekable() {
        open.offset.set(offset + count as u64);
    }
    tell(kernel, open, count, linux::IN_MODIFY);
    Ok(count)
}

/// Writes `buf` at the position of `open`.
pub(super) fn write_bytes(kernel: &mut Kernel, open: &OpenFile, buf: &[u8]) -> Result<usize> {
    write_once(kernel, open, buf, Mode::default())
}

/// Writes `buf` at `offset`.
pub(super) fn write_bytes_at(kernel: &mut Kernel, open: &OpenFile, buf: &[u8], offset: u64) -> Result<usize> {
    write_once(kernel, open, buf, Mode { at: Some(offset), ..Mode::default() })
}

fn read(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = readable(kernel, args, 0)?;
    read_into(kernel, &open, args, Mode::default())
}

fn write(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = writable(kernel, args, 0)?;
    write_from(kernel, &open, args, Mode::default())
}

/// Argument 3 as an offset.
fn offset(args: &Args) -> Result<u64> {
    if i64::try_from(args.raw(3)).is_ok() { Ok(args.raw(3)) } else { Err(Errno::EINVAL) }
}

/// The mode of a call with an offset argument.
fn positioned(open: &OpenFile, offset: u64) -> Result<Mode> {
    if !open.file.seekable() {
        return Err(Errno::ESPIPE);
    }
    Ok(Mode { at: Some(offset), ..Mode::default() })
}

fn pread64(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let offset = offset(args)?;
    let open = readable(kernel, args, 0)?;
    let mode = positioned(&open, offset)?;
    read_into(kernel, &open, args, mode)
}

fn pwrite64(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let offset = offset(args)?;
    let open = writable(kernel, args, 0)?;
    let mode = positioned(&open, offset)?;
    write_from(kernel, &open, args, mode)
}

fn read_into(kernel: &mut Kernel, open: &OpenFile, args: &Args, mode: Mode) -> Result<u64> {
    if open.file.location().is_some() {
        return Err(Errno::EISDIR);
    }
    let buf = kernel.mm.slice_mut(args.raw(1), args.size(2).min(LEN_MAX))?;
    Ok(read_once(kernel, open, buf, mode)? as u64)
}

fn write_from(kernel: &mut Kernel, open: &OpenFile, args: &Args, mode: Mode) -> Result<u64> {
    let buf = kernel.mm.slice(args.raw(1), args.size(2).min(LEN_MAX))?;
    if buf.is_empty() && open.file.seekable() {
        return Ok(0);
    }
    Ok(write_once(kernel, open, buf, mode)? as u64)
}

fn readv(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = readable(kernel, args, 0)?;
    read_segments(kernel, &open, args, Mode::default())
}

fn writev(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = writable(kernel, args, 0)?;
    write_segments(kernel, &open, args, Mode::default())
}

fn preadv(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let offset = offset(args)?;
    let open = readable(kernel, args, 0)?;
    let mode = positioned(&open, offset)?;
    read_segments(kernel, &open, args, mode)
}

fn pwritev(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let offset = offset(args)?;
    let open = writable(kernel, args, 0)?;
    let mode = positioned(&open, offset)?;
    write_segments(kernel, &open, args, mode)
}

/// The mode of a call with an offset, -1 for the position, and `RWF_*` flags.
fn flagged(open: &OpenFile, args: &Args) -> Result<Mode> {
    const KNOWN: u32 =
        linux::RWF_HIPRI | linux::RWF_DSYNC | linux::RWF_SYNC | linux::RWF_NOWAIT | linux::RWF_APPEND;
    let flags = args.uint(5);
    if flags & !KNOWN != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mode = if args.raw(3) == u64::MAX { Mode::default() } else { positioned(open, offset(args)?)? };
    let (append, dont_wait) = (flags & linux::RWF_APPEND != 0, flags & linux::RWF_NOWAIT != 0);
    Ok(Mode { append, dont_wait, ..mode })
}

fn preadv2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = readable(kernel, args, 0)?;
    let mode = flagged(&open, args)?;
    read_segments(kernel, &open, args, mode)
}

fn pwritev2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = writable(kernel, args, 0)?;
    let mode = flagged(&open, args)?;
    write_segments(kernel, &open, args, mode)
}
