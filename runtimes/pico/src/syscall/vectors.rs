//! Reading into several buffers and writing from them.

use super::Args;
use super::file_io::{LEN_MAX, Mode, attempt, keeps_messages, read_once, tell, write_once};
use super::held::{Held, buffer};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Ready};
use crate::kernel::Kernel;
use crate::poll::block;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Most buffers of one call (`IOV_MAX`).
const BUFFERS_MAX: usize = 1024;
/// Buffers of a call on a file without positions are joined, so that it is one read or write: up to this size.
const JOINED_MAX: usize = 64 << 10;

/// Part of the program's memory: address and length.
pub(super) type Segment = (u64, usize);

/// The buffers of a call: array address and count in arguments 1 and 2.
fn segments(kernel: &Kernel, args: &Args) -> Result<(Vec<Segment>, Held)> {
    let count =
        usize::try_from(args.raw(2)).ok().filter(|&count| count <= BUFFERS_MAX).ok_or(Errno::EINVAL)?;
    let held = kernel.hold(count * size_of::<Segment>())?;
    let mut total = 0usize;
    let mut segments = Vec::with_capacity(count);
    for index in 0..count as u64 {
        let [base, len]: [u64; 2] = kernel.mm.read(args.raw(1).wrapping_add(index * 16))?;
        let len =
            usize::try_from(i64::try_from(len).map_err(|_| Errno::EINVAL)?).map_err(|_| Errno::EINVAL)?;
        let len = len.min(LEN_MAX - total);
        total += len;
        segments.push((base, len));
    }
    Ok((segments, held))
}

fn total(segments: &[Segment]) -> usize {
    segments.iter().map(|&(_, len)| len).sum()
}

pub(super) fn read_segments(
    kernel: &mut Kernel,
    open: &OpenFile,
    args: &Args,
    mode: Mode,
) -> Result<u64> {
    let (segments, _held) = segments(kernel, args)?;
    if !open.file.seekable() && segments.len() > 1 {
        return read_joined(kernel, open, &segments, mode);
    }
    one_by_one(&segments, mode, |(base, len), mode| {
        kernel.mm.slice_mut(base, len).and_then(|buf| read_once(kernel, open, buf, mode))
    })
}

/// Takes the segments in order until one is not done whole. An error after something was done is not told.
fn one_by_one(
    segments: &[Segment],
    mut mode: Mode,
    mut step: impl FnMut(Segment, Mode) -> Result<usize>,
) -> Result<u64> {
    let mut done = 0;
    for &segment in segments {
        let count = match step(segment, mode) {
            Err(_) if done > 0 => break,
            result => result?,
        };
        done += count as u64;
        mode.at = mode.at.map(|at| at + count as u64);
        if count < segment.1 {
            break;
        }
    }
    Ok(done)
}

/// One read for all buffers of a file without positions.
fn read_joined(kernel: &mut Kernel, open: &OpenFile, segments: &[Segment], mode: Mode) -> Result<u64> {
    let len = total(segments).min(JOINED_MAX);
    let joined = block(kernel, open, Ready::IN, mode.dont_wait, |kernel| {
        let mut joined = buffer(len)?;
        let count = attempt(kernel, open, &mut joined, 0, mode)?;
        joined.truncate(count);
        Ok(joined)
    })?;
    tell(kernel, open, joined.len(), linux::IN_ACCESS);
    scatter(kernel, segments, &joined)?;
    Ok(joined.len() as u64)
}

/// Fills the segments with `bytes`.
pub(super) fn scatter(kernel: &Kernel, segments: &[Segment], mut bytes: &[u8]) -> Result<()> {
    for &(base, len) in segments {
        let (now, later) = bytes.split_at(len.min(bytes.len()));
        kernel.mm.slice_mut(base, now.len())?.copy_from_slice(now);
        bytes = later;
    }
    Ok(())
}

/// What the segments hold, which is `total` bytes.
pub(super) fn gather(kernel: &Kernel, segments: &[Segment], total: usize) -> Result<Vec<u8>> {
    let (mut joined, mut at) = (buffer(total)?, 0);
    for &(base, len) in segments {
        joined[at..at + len].copy_from_slice(kernel.mm.slice(base, len)?);
        at += len;
    }
    Ok(joined)
}

pub(super) fn write_segments(
    kernel: &mut Kernel,
    open: &OpenFile,
    args: &Args,
    mode: Mode,
) -> Result<u64> {
    let (segments, _held) = segments(kernel, args)?;
    let total = total(&segments);
    if !open.file.seekable() && segments.len() > 1 && total <= JOINED_MAX {
        match kernel.hold(total) {
            Ok(_held) => {
                let joined = gather(kernel, &segments, total)?;
                return Ok(write_once(kernel, open, &joined, mode)? as u64);
            }
            // A stream can do without.
            Err(_) if open.file.takes_all() && !keeps_messages(open) => {}
            Err(errno) => return Err(errno),
        }
    }
    one_by_one(&segments, mode, |(base, len), mode| {
        kernel.mm.slice(base, len).and_then(|buf| match buf {
            [] => Ok(0),
            buf => write_once(kernel, open, buf, mode),
        })
    })
}
