//! mmap(2) of files.

use crate::errno::{Errno, Result};
use crate::file::File;
use crate::fs::memory::{Inode, MemoryFile};
use crate::kernel::Kernel;
use crate::mm::areas::WRITE;
use crate::mm::{DATA, Mapping, Placement, is_sparse, round_up};
use abi::layout::{PAGE, SPARSE_END};
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// No file is longer.
const OFFSET_MAX: u64 = i64::MAX.unsigned_abs();

/// Maps a file of an image as far as it can be seen without a copy, else a copy of the file: what lies beyond its end reads as zeros.
pub(super) fn map_file(
    kernel: &mut Kernel,
    fd: u64,
    offset: u64,
    shared: bool,
    mapping: Mapping,
) -> Result<u64> {
    if !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let open = kernel.fds.get(fd)?.open.clone();
    if mapping.len < SPARSE_END && offset > OFFSET_MAX - mapping.len {
        return Err(Errno::EOVERFLOW);
    }
    let access = open.flags.get() & linux::O_ACCMODE;
    let writes_back = shared && mapping.prot & WRITE != 0;
    if access == linux::O_WRONLY || (writes_back && access == linux::O_RDONLY) {
        return Err(Errno::EACCES);
    }
    if !open.file.seekable() {
        return Err(Errno::ENODEV);
    }
    if shared
        && let Some(MemoryFile(inode)) = open.file.as_any().downcast_ref()
        && (writes_back || !is_fixed_in_linear(mapping.placement))
    {
        return map_shared(kernel, inode, offset, &mapping, &open.path);
    }
    if writes_back {
        return Err(Errno::ENODEV);
    }
    let (len, prot) = (mapping.len, mapping.prot);
    let file = Some((Rc::from(open.path.as_str()), offset));
    let image = if prot & WRITE == 0 { image_part(&*open.file, offset, len) } else { &[] };
    let mapping = Mapping { file, ..mapping };
    if let Some(start) = kernel.mm.map_same(&mapping, image)? {
        return Ok(start);
    }
    let start = kernel.mm.map_image(Mapping { prot: DATA, ..mapping }, image)?;
    let end = start + round_up(len)?;
    let filled = kernel.mm.not_shown(start, end).into_iter().try_for_each(|part| {
        copy_in(kernel, &*open.file, offset + (part.start - start), part.start, part.end - part.start)
    });
    let protected = filled.and_then(|()| kernel.mm.protect_filled(start, len, prot));
    let ended = protected.and_then(|()| match has_end(&*open.file) {
        true => kernel.mm.end_file(start + file_part(&*open.file, offset, end - start), end),
        false => Ok(()),
    });
    if let Err(errno) = ended {
        kernel.mm.unmap(start, len)?;
        return Err(errno);
    }
    Ok(start)
}

/// Whether to touch a mapping of `file` beyond its end is `SIGBUS`: not if it is a device.
fn has_end(file: &dyn File) -> bool {
    file.image_slice().is_some() || file.as_any().is::<MemoryFile>()
}

/// How much of `len` bytes from `offset` on is `file`'s, in whole pages.
fn file_part(file: &dyn File, offset: u64, len: u64) -> u64 {
    round_up(file.size().saturating_sub(offset)).map_or(len, |part| part.min(len))
}

/// What `file` has in the `len` bytes from `offset` on, in whole pages, if it lies in an image.
fn image_part(file: &dyn File, offset: u64, len: u64) -> &'static [u8] {
    let end = round_up(len).ok().and_then(|len| offset.checked_add(len)).unwrap_or(u64::MAX);
    let [offset, end] = [offset, end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
    let contents = file.image_slice().unwrap_or(&[]);
    contents.get(offset..end.min(contents.len())).unwrap_or(&[])
}

/// Fills `len` bytes at `start` with what the file has from `offset` on.
fn copy_in(kernel: &Kernel, file: &dyn File, offset: u64, start: u64, len: u64) -> Result<()> {
    kernel.mm.fill(start, len, |done, bytes| file.read(offset + done, bytes))
}

/// Whether the program has chosen an address where only copies of files can be.
fn is_fixed_in_linear(placement: Placement) -> bool {
    matches!(placement, Placement::Fixed(at) | Placement::Free(at) if !is_sparse(at))
}

/// Maps a file in memory so that it and the program share the pages.
fn map_shared(
    kernel: &mut Kernel,
    inode: &Rc<Inode>,
    offset: u64,
    mapping: &Mapping,
    path: &str,
) -> Result<u64> {
    if mapping.len == 0 {
        return Err(Errno::EINVAL);
    }
    let range = (offset, round_up(mapping.len)?);
    kernel.vfs.shared.map(&mut kernel.mm, inode, range, mapping.prot, Rc::from(path), mapping.placement)
}
