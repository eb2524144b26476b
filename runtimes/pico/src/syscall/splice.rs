//! splice(2): bytes between a pipe and another file, without a detour through the program.

use super::file_copy::{Cursor, LEN_MAX, STEP};
use super::file_io::{readable, writable, write_bytes_at};
use super::held::buffer;
use super::path::{full, open_arg};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Ready};
use crate::kernel::Kernel;
use crate::net::channel::Channel;
use crate::net::flow::Way;
use crate::net::pipe::channel_of;
use crate::poll::block;
use crate::process::Info;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[full(linux::__NR_splice, "splice", splice)];

/// What is known of the flags. All but one are hints.
pub(super) const FLAGS: u32 =
    linux::SPLICE_F_MOVE | linux::SPLICE_F_NONBLOCK | linux::SPLICE_F_MORE | linux::SPLICE_F_GIFT;

/// A call: from where to where, and how.
struct Splice<'a> {
    from: &'a OpenFile,
    to: &'a OpenFile,
    /// Where, in a file with positions.
    at: u64,
    /// Most bytes.
    len: usize,
    dont_wait: bool,
}

fn splice(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(5);
    if args.raw(4) == 0 {
        return Ok(0);
    }
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (open_arg(kernel, args, 0)?, open_arg(kernel, args, 2)?);
    let (source, target) = (channel_of(&*from.file), channel_of(&*to.file));
    if (source.is_some() && args.raw(1) != 0) || (target.is_some() && args.raw(3) != 0) {
        return Err(Errno::ESPIPE);
    }
    // Of what is not a pipe.
    let (other, addr) = if source.is_some() { (&to, args.raw(3)) } else { (&from, args.raw(1)) };
    let mut cursor = Cursor::load(kernel, other, addr)?;
    readable(kernel, args, 0)?;
    writable(kernel, args, 2)?;
    let both = if source.is_some() && target.is_some() { to.flags.get() } else { 0 };
    let dont_wait = flags & linux::SPLICE_F_NONBLOCK != 0 || both & linux::O_NONBLOCK != 0;
    let len = usize::try_from(args.raw(4).min(LEN_MAX)).unwrap_or(STEP).min(STEP);
    let call = Splice { from: &from, to: &to, at: cursor.at, len, dont_wait };
    let done = match (source, target) {
        (Some(source), Some(target)) if core::ptr::eq(source, target) => Err(Errno::EINVAL),
        (Some(source), _) => call.drain(kernel, source, addr != 0),
        (None, Some(target)) => call.fill(kernel, target, addr != 0),
        (None, None) => Err(Errno::EINVAL),
    };
    if done == Err(Errno::EPIPE) {
        kernel.process.signals.send(Info::sent(linux::SIGPIPE, 0))?;
    }
    let done = done? as u64;
    if other.file.seekable() {
        cursor.at += done;
        cursor.store(kernel, other)?;
    }
    Ok(done)
}

/// Whether `open` takes part: a regular file, a device, a socket or a pipe; with an offset only if it has positions.
fn check(open: &OpenFile, has_offset: bool) -> Result<()> {
    let kind = open.file.stat()?.st_mode & linux::S_IFMT;
    let known = matches!(kind, linux::S_IFREG | linux::S_IFCHR | linux::S_IFSOCK | linux::S_IFIFO);
    if known && (!has_offset || open.file.seekable()) { Ok(()) } else { Err(Errno::EINVAL) }
}

impl Splice<'_> {
    /// Bytes of `source` to `to`. They leave the pipe only when they have been written.
    fn drain(&self, kernel: &mut Kernel, source: &Channel, has_offset: bool) -> Result<usize> {
        check(self.to, has_offset)?;
        let target = channel_of(&*self.to.file);
        if target.is_none() && self.to.flags.get() & linux::O_APPEND != 0 {
            return Err(Errno::EINVAL);
        }
        loop {
            if block(kernel, self.from, Ready::IN, self.dont_wait, |_| source.read(&mut [0], true))? == 0 {
                let is_over = target.is_some_and(|target| target.flow().read_closed());
                return if is_over { Err(Errno::EPIPE) } else { Ok(0) };
            }
            let done = block(kernel, self.to, Ready::OUT, self.dont_wait, |kernel| {
                let mut buf = buffer(source.pending().min(self.len))?;
                let got = match source.read(&mut buf, true) {
                    Err(Errno::EAGAIN) => return Ok(None),
                    got => got?,
                };
                let put = self.put(kernel, &buf[..got])?;
                source.read(&mut buf[..put], false).map(Some)
            })?;
            // Somebody else may have taken them while this call waited for room.
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    /// Writes once.
    fn put(&self, kernel: &mut Kernel, bytes: &[u8]) -> Result<usize> {
        if self.to.file.seekable() {
            return write_bytes_at(kernel, self.to, bytes, self.at);
        }
        match self.to.file.write(0, bytes) {
            Err(Errno::EAGAIN) if kernel.make_room() => self.to.file.write(0, bytes),
            put => put,
        }
    }

    /// Bytes of `from` to `target`: no more are read than it has room for.
    fn fill(&self, kernel: &mut Kernel, target: &Channel, has_offset: bool) -> Result<usize> {
        check(self.from, has_offset)?;
        loop {
            block(kernel, self.to, Ready::OUT, self.dont_wait, |_| match target.flow().read_closed() {
                true => Err(Errno::EPIPE),
                false => target.writable().then_some(()).ok_or(Errno::EAGAIN),
            })?;
            let done = block(kernel, self.from, Ready::IN, self.dont_wait, |kernel| {
                if !target.writable() {
                    return Ok(None);
                }
                let room = target.room().min(self.len);
                let mut buf = buffer(room)?;
                let got = match self.from.file.read(self.at, &mut buf[..room]) {
                    Err(Errno::EAGAIN) => self.from.file.read_of_kernel(kernel, &mut buf[..room], false),
                    got => got,
                }?;
                target.write(&buf[..got]).map(Some)
            })?;
            if let Some(done) = done {
                if done > 0 && self.from.file.seekable() {
                    kernel.tell_open(self.from, linux::IN_ACCESS);
                }
                return Ok(done);
            }
        }
    }
}
