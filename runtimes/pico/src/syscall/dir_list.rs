//! Listing directories.

use super::path::{full, open_arg};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::fs::attributes::dirent_type;
use crate::fs::listing::Listed;
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_getdents64, "getdents64", getdents64),
    full(linux::__NR_getdents, "getdents", getdents),
];

/// Writes one record to the beginning of a buffer and returns its length; nothing if it does not fit.
type Encoder = fn(&mut [u8], &Listed<'_>) -> Option<usize>;

/// Bytes before the name in either record: `d_ino`, `d_off`, `d_reclen`.
const HEAD: usize = 18;

fn put_head(record: &mut [u8], line: &Listed<'_>) {
    let len = u16::try_from(record.len()).expect("a name has at most 255 bytes");
    record.fill(0);
    record[..8].copy_from_slice(&line.ino.to_ne_bytes());
    record[8..16].copy_from_slice(&line.next.to_ne_bytes());
    record[16..18].copy_from_slice(&len.to_ne_bytes());
}

/// `struct linux_dirent64`: the type lies before the name.
fn encode64(buf: &mut [u8], line: &Listed<'_>) -> Option<usize> {
    let len = (HEAD + 1 + line.name.len() + 1).next_multiple_of(8);
    let record = buf.get_mut(..len)?;
    put_head(record, line);
    record[HEAD] = dirent_type(line.mode);
    record[HEAD + 1..][..line.name.len()].copy_from_slice(line.name);
    Some(len)
}

/// `struct linux_dirent`: the type is the last byte.
fn encode(buf: &mut [u8], line: &Listed<'_>) -> Option<usize> {
    let len = (HEAD + line.name.len() + 2).next_multiple_of(8);
    let record = buf.get_mut(..len)?;
    put_head(record, line);
    record[HEAD..][..line.name.len()].copy_from_slice(line.name);
    record[len - 1] = dirent_type(line.mode);
    Some(len)
}

fn getdents64(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    list(kernel, args, encode64)
}

fn getdents(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    list(kernel, args, encode)
}

fn list(kernel: &Kernel, args: &Args, encode: Encoder) -> Result<u64> {
    let open = open_arg(kernel, args, 0)?;
    let location = open.file.location().ok_or(Errno::ENOTDIR)?;
    location.path(kernel)?;
    let size = usize::try_from(args.uint(2)).expect("usize is 64 bits wide");
    let buf = kernel.mm.slice_mut(args.raw(1), size)?;
    let (mut used, mut full) = (0, false);
    location.list(kernel, open.offset.get(), &mut |line| match encode(&mut buf[used..], &line) {
        Some(len) => {
            used += len;
            open.offset.set(line.next);
            true
        }
        None => {
            full = true;
            false
        }
    })?;
    kernel.tell_open(&open, linux::IN_ACCESS);
    if used == 0 && full { Err(Errno::EINVAL) } else { Ok(used as u64) }
}
