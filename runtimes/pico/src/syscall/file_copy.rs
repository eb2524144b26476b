//! Copying between descriptors without a detour through the program.

use super::fdctl::is_pipe;
use super::file_io::{readable, writable, write_bytes, write_bytes_at, write_to_pipe};
use super::path::{full, open_arg};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::fs::attributes::{is_dir, is_regular};
use crate::kernel::Kernel;
use alloc::vec;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_sendfile, "sendfile", sendfile),
    full(linux::__NR_copy_file_range, "copy_file_range", copy_file_range),
];

/// Most bytes of one call.
const LEN_MAX: u64 = 0x7fff_f000;
/// Bytes copied at a time.
const STEP: usize = 64 << 10;

/// Where a copy reads or writes: at an offset of its own, or at the file's position.
struct Cursor {
    /// Where the offset is in the program's memory; 0 for the file's position.
    addr: u64,
    at: u64,
}

impl Cursor {
    fn load(kernel: &Kernel, open: &OpenFile, addr: u64) -> Result<Self> {
        let at = if addr == 0 { open.offset.get() } else { kernel.mm.read(addr)? };
        if i64::try_from(at).is_ok() { Ok(Self { addr, at }) } else { Err(Errno::EINVAL) }
    }

    fn store(&self, kernel: &Kernel, open: &OpenFile) -> Result<()> {
        if self.addr == 0 {
            open.offset.set(self.at);
            return Ok(());
        }
        kernel.mm.write(self.addr, &self.at)
    }
}

/// Copies up to `len` bytes of `from`, starting at `cursor`, to `write`. Errors count only if nothing was copied.
fn copy(
    kernel: &mut Kernel,
    from: &OpenFile,
    cursor: &mut Cursor,
    len: u64,
    mut write: impl FnMut(&mut Kernel, &[u8]) -> Result<usize>,
) -> Result<u64> {
    let mut buf = vec![0; STEP.min(usize::try_from(len).unwrap_or(STEP))];
    let mut done = 0;
    while done < len {
        let step = STEP.min(usize::try_from(len - done).unwrap_or(STEP));
        let got = match from.file.read(cursor.at, &mut buf[..step]) {
            Ok(0) => break,
            Err(_) if done > 0 => break,
            got => got?,
        };
        let put = match write(kernel, &buf[..got]) {
            Err(_) if done > 0 => break,
            put => put?,
        };
        done += put as u64;
        cursor.at += put as u64;
        if put < got {
            break;
        }
    }
    Ok(done)
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
    let copied = copy(kernel, &from, &mut cursor, args.raw(3).min(most), |kernel, bytes| {
        if to_pipe { write_to_pipe(kernel, &to, bytes) } else { write_bytes(kernel, &to, bytes) }
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
    let copied = copy(kernel, &from, &mut source, len, |kernel, bytes| {
        let count = write_bytes_at(kernel, &to, bytes, target.at)?;
        target.at += count as u64;
        Ok(count)
    })?;
    if copied > 0 {
        kernel.tell_open(&from, linux::IN_ACCESS);
    }
    source.store(kernel, &from)?;
    target.store(kernel, &to)?;
    Ok(copied)
}
