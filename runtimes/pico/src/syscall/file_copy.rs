//! Copying between descriptors without a detour through the program.

use super::fdctl::is_pipe;
use super::file_io::{is_socket, keeps_messages, readable, writable, write_bytes, write_bytes_at};
use super::held::buffer;
use super::path::{full, open_arg};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Ready};
use crate::fs::attributes::{is_dir, is_regular};
use crate::kernel::Kernel;
use crate::poll::block;
use crate::process::Info;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_sendfile, "sendfile", sendfile),
    full(linux::__NR_copy_file_range, "copy_file_range", copy_file_range),
];

/// Most bytes of one call.
pub(super) const LEN_MAX: u64 = 0x7fff_f000;
/// Bytes copied at a time.
pub(super) const STEP: usize = 64 << 10;

/// Where a copy reads or writes: at an offset of its own, or at the file's position.
pub(super) struct Cursor {
    /// Where the offset is in the program's memory; 0 for the file's position.
    addr: u64,
    pub(super) at: u64,
}

impl Cursor {
    pub(super) fn load(kernel: &Kernel, open: &OpenFile, addr: u64) -> Result<Self> {
        let at = if addr == 0 { open.offset.get() } else { kernel.mm.read(addr)? };
        if i64::try_from(at).is_ok() { Ok(Self { addr, at }) } else { Err(Errno::EINVAL) }
    }

    pub(super) fn store(&self, kernel: &Kernel, open: &OpenFile) -> Result<()> {
        if self.addr == 0 {
            open.offset.set(self.at);
            return Ok(());
        }
        kernel.mm.write(self.addr, &self.at)
    }
}

/// What one step of a copy did.
struct Step {
    /// Bytes copied; 0 at the end of the file.
    put: usize,
    /// Whether the call goes on.
    goes_on: bool,
}

/// Copies up to `len` bytes from `cursor` on, by `step`, which is told from where, how many at most, and how many were
/// copied before. Errors count only if nothing was.
fn copy(
    kernel: &mut Kernel,
    cursor: &mut Cursor,
    len: u64,
    mut step: impl FnMut(&mut Kernel, u64, usize, u64) -> Result<Step>,
) -> Result<u64> {
    let mut done = 0;
    while done < len {
        let most = STEP.min(usize::try_from(len - done).unwrap_or(STEP));
        let Step { put, goes_on } = match step(kernel, cursor.at, most, done) {
            Err(_) if done > 0 => break,
            step => step?,
        };
        done += put as u64;
        cursor.at += put as u64;
        if put == 0 || !goes_on {
            break;
        }
    }
    Ok(done)
}

/// Up to `most` bytes of `from` at `at`.
fn bytes_of(from: &OpenFile, at: u64, most: usize) -> Result<Vec<u8>> {
    let mut bytes = buffer(most)?;
    let got = from.file.read(at, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Writes what there is room for to a file that may have to be waited for; nothing is held meanwhile.
fn pass_on(
    kernel: &mut Kernel,
    from: &OpenFile,
    to: &OpenFile,
    at: u64,
    most: usize,
) -> Result<(usize, usize)> {
    let most = to.file.prepare_write(kernel, 0, most)?;
    block(kernel, to, Ready::OUT, false, |kernel| {
        let bytes = bytes_of(from, at, most)?;
        let mut put = 0;
        while put < bytes.len() {
            match to.file.write(0, &bytes[put..]) {
                Ok(count) => put += count,
                Err(_) if put > 0 => break,
                Err(errno) => return Err(errno),
            }
            if put < bytes.len() && !kernel.make_room() {
                break;
            }
        }
        Ok((put, bytes.len()))
    })
}

fn sendfile(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (to, from) = (writable(kernel, args, 0)?, readable(kernel, args, 1)?);
    let mode = from.file.stat()?.st_mode;
    if !from.file.seekable() || is_dir(mode) || to.flags.get() & linux::O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let mut cursor = Cursor::load(kernel, &from, args.raw(2))?;
    // As on Linux, what there is room for in a pipe is enough.
    let to_pipe = is_pipe(&to)?;
    let most = if to_pipe { STEP as u64 } else { LEN_MAX };
    let copied = copy(kernel, &mut cursor, args.raw(3).min(most), |kernel, at, most, done| {
        if to.file.seekable() {
            let bytes = bytes_of(&from, at, most)?;
            let put = write_bytes(kernel, &to, &bytes)?;
            return Ok(Step { put, goes_on: put == bytes.len() });
        }
        let passed = pass_on(kernel, &from, &to, at, most);
        // Who has sent some of it to a socket is told by the next call.
        if passed == Err(Errno::EPIPE) && !keeps_messages(&to) && (done == 0 || !is_socket(&to)) {
            kernel.process.signals.send(Info::sent(linux::SIGPIPE, 0))?;
        }
        let (put, got) = passed?;
        Ok(Step { put, goes_on: put == got || !to_pipe })
    })?;
    if copied > 0 {
        kernel.tell_open(&from, linux::IN_ACCESS);
    }
    cursor.store(kernel, &from)?;
    Ok(copied)
}

fn copy_file_range(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (from, to) = (open_arg(kernel, args, 0)?, open_arg(kernel, args, 2)?);
    let (from_stat, to_stat) = (from.file.stat()?, to.file.stat()?);
    if args.uint(5) != 0 {
        return Err(Errno::EINVAL);
    }
    if is_dir(from_stat.st_mode) || is_dir(to_stat.st_mode) {
        return Err(Errno::EISDIR);
    }
    if !is_regular(from_stat.st_mode) || !is_regular(to_stat.st_mode) {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (readable(kernel, args, 0)?, writable(kernel, args, 2)?);
    if to.flags.get() & linux::O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let mut source = Cursor::load(kernel, &from, args.raw(1))?;
    let mut target = Cursor::load(kernel, &to, args.raw(3))?;
    let len = args.raw(4).min(LEN_MAX);
    let same = (from_stat.st_dev, from_stat.st_ino) == (to_stat.st_dev, to_stat.st_ino);
    if same && source.at < target.at.saturating_add(len) && target.at < source.at.saturating_add(len) {
        return Err(Errno::EINVAL);
    }
    let copied = copy(kernel, &mut source, len, |kernel, at, most, _| {
        let bytes = bytes_of(&from, at, most)?;
        let put = write_bytes_at(kernel, &to, &bytes, target.at)?;
        target.at += put as u64;
        Ok(Step { put, goes_on: put == bytes.len() })
    })?;
    if copied > 0 {
        kernel.tell_open(&from, linux::IN_ACCESS);
    }
    source.store(kernel, &from)?;
    target.store(kernel, &to)?;
    Ok(copied)
}
