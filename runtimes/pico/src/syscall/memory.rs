//! mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2) and their relatives.

use super::remap::mremap;
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::mm::areas::{EXEC, Kind, READ, WRITE};
use crate::mm::{Advice, Mapping, Placement, round_up};
use abi::layout::PAGE;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry {
        number: linux::__NR_mmap,
        name: "mmap",
        support: Support::Partial(
            "a file is copied in, except for files of an image that are not to be written to, as far as large pages show them or there \
             is a second process, and for shared mappings of files in memory (fixed ones only at addresses from 512 GiB, \
             else `ENODEV`). Memory is used when touched in mappings that begin as PROT_NONE or MAP_NORESERVE or lie at addresses \
             from 512 GiB; elsewhere a mapping uses all of its memory at once, what was unmapped can still be touched, \
             what can be read and written since it was mapped can be executed, and protections of shared mappings of files in memory are \
             noted only. Behind the end of a file that is mapped shared there are zeros. No mappings from 0x700000000000, \
             nor from the end of the memory to 512 GiB",
        ),
        handler: mmap,
    },
    Entry {
        number: linux::__NR_mprotect,
        name: "mprotect",
        support: Support::Partial(
            "noted only for shared mappings of files in memory below 512 GiB; parts of large files of an image that are seen without a copy \
             can be executed as long as they can be read",
        ),
        handler: mprotect,
    },
    Entry { number: linux::__NR_munmap, name: "munmap", support: Support::Full, handler: munmap },
    Entry { number: linux::__NR_brk, name: "brk", support: Support::Full, handler: brk },
    Entry {
        number: linux::__NR_mremap,
        name: "mremap",
        support: Support::Partial(
            "no MREMAP_DONTUNMAP; shared mappings of files grow where they are from 512 GiB on, else they move, and not to addresses below",
        ),
        handler: mremap,
    },
    Entry { number: linux::__NR_msync, name: "msync", support: Support::Full, handler: msync },
    Entry { number: linux::__NR_mincore, name: "mincore", support: Support::Full, handler: mincore },
    Entry {
        number: linux::__NR_madvise,
        name: "madvise",
        support: Support::Partial(
            "MADV_DONTNEED leaves copies of files as they are; MADV_DONTFORK and MADV_WIPEONFORK of at most 1024 ranges each (`ENOMEM`), and what \
             MADV_DONTFORK keeps from a child can still be touched if it is a file mapped shared before the first fork; other advice has no effect",
        ),
        handler: madvise,
    },
    Entry { number: linux::__NR_mlock, name: "mlock", support: Support::Full, handler: mlock },
    Entry { number: linux::__NR_mlock2, name: "mlock2", support: Support::Full, handler: mlock2 },
    Entry { number: linux::__NR_munlock, name: "munlock", support: Support::Full, handler: munlock },
    Entry { number: linux::__NR_mlockall, name: "mlockall", support: Support::Full, handler: mlockall },
    Entry { number: linux::__NR_munlockall, name: "munlockall", support: Support::Full, handler: munlockall },
];

const MAP_FLAGS: u32 = linux::MAP_SHARED
    | linux::MAP_PRIVATE
    | linux::MAP_FIXED
    | linux::MAP_ANONYMOUS
    | linux::MAP_GROWSDOWN
    | linux::MAP_DENYWRITE
    | linux::MAP_EXECUTABLE
    | linux::MAP_LOCKED
    | linux::MAP_NORESERVE
    | linux::MAP_POPULATE
    | linux::MAP_NONBLOCK
    | linux::MAP_STACK
    | linux::MAP_FIXED_NOREPLACE;
const PROT_FLAGS: u32 = linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC;

fn mmap(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let start = map(kernel, args)?;
    if args.uint(3) & linux::MAP_FIXED != 0 {
        // It may have taken the place of a file's.
        kernel.vfs.shared.release(&kernel.mm);
        kernel.reclaim_files();
    }
    Ok(start)
}

fn map(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (addr, len, prot, flags) = (args.raw(0), args.raw(1), args.uint(2), args.uint(3));
    let shared = match flags & linux::MAP_TYPE {
        linux::MAP_PRIVATE => false,
        linux::MAP_SHARED => true,
        linux::MAP_SHARED_VALIDATE if flags & !(MAP_FLAGS | linux::MAP_TYPE) != 0 => {
            return Err(Errno::EOPNOTSUPP);
        }
        linux::MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    if prot & !PROT_FLAGS != 0 || flags & linux::MAP_HUGETLB != 0 {
        return Err(Errno::EINVAL);
    }
    let placement = if flags & linux::MAP_FIXED_NOREPLACE != 0 {
        Placement::Free(addr)
    } else if flags & linux::MAP_FIXED != 0 {
        Placement::Fixed(addr)
    } else if flags & linux::MAP_ANONYMOUS != 0 && (prot == 0 || flags & linux::MAP_NORESERVE != 0) {
        Placement::Sparse(addr)
    } else {
        Placement::Hint(addr)
    };
    let obvious_overcommit =
        prot & WRITE != 0 && flags & linux::MAP_NORESERVE == 0 && len > kernel.mm.total();
    if obvious_overcommit || (prot & WRITE != 0 && kernel.mm.is_exhausted(len)) {
        kernel.mm.note_refused();
        return Err(Errno::ENOMEM);
    }
    if let Placement::Fixed(at) = placement {
        restore_text(kernel, at, len);
    }
    if flags & linux::MAP_ANONYMOUS != 0 {
        let kind = if shared { Kind::Shared } else { Kind::Anonymous };
        let start = kernel.mm.map(Mapping { placement, len, prot, kind, file: None })?;
        if flags & linux::MAP_POPULATE != 0 && kernel.mm.populate(start, start + len).is_err() {
            // Like Linux, which maps as much as it can and says nothing.
            kernel.mm.note_refused();
        }
        return Ok(start);
    }
    let fd = args.fd(4)?;
    super::file_map::map_file(
        kernel,
        fd,
        args.raw(5),
        shared,
        Mapping { placement, len, prot, kind: Kind::File, file: None },
    )
}

fn mprotect(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let prot = args.uint(2);
    if prot & !(PROT_FLAGS | linux::PROT_GROWSDOWN) != 0 {
        return Err(Errno::EINVAL);
    }
    if prot & PROT_FLAGS != READ | EXEC {
        restore_text(kernel, args.raw(0), args.raw(1));
    }
    kernel.mm.protect(args.raw(0), args.raw(1), prot & PROT_FLAGS).map(|()| 0)
}

fn munmap(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (addr, len) = (args.raw(0), args.raw(1));
    let end = round_up(len).ok().and_then(|len| addr.checked_add(len)).ok_or(Errno::EINVAL)?;
    restore_text(kernel, addr, len);
    if kernel.mm.is_split_by(addr, end) && kernel.platform.is_short() {
        return Err(Errno::ENOMEM);
    }
    kernel.mm.unmap(addr, len)?;
    kernel.vfs.shared.release(&kernel.mm);
    kernel.reclaim_files();
    Ok(0)
}

fn brk(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let brk = kernel.mm.brk(args.raw(0));
    if kernel.mm.take_refused() {
        kernel.platform.memory_refused();
    }
    Ok(brk)
}

/// Text the program is about to write, to move or to take away is again as it was in the file.
pub(super) fn restore_text(kernel: &mut Kernel, start: u64, len: u64) {
    let len = round_up(len).unwrap_or(u64::MAX);
    let end = start.saturating_add(len);
    kernel.rewriter.restore(&kernel.mm, start, end);
    kernel.rewriter.forget(start..end);
}

fn madvise(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (addr, len) = (args.raw(0), args.raw(1));
    if !addr.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    match args.uint(2) {
        linux::MADV_DONTNEED => kernel.mm.drop_contents(addr, len)?,
        linux::MADV_FREE => kernel.mm.free_contents(addr, len)?,
        linux::MADV_POPULATE_READ | linux::MADV_POPULATE_WRITE => {
            kernel.mm.check_mapped(addr, len)?;
            kernel.mm.populate(addr, addr + round_up(len)?)?;
        }
        linux::MADV_DONTFORK => kernel.mm.advise(addr, len, Advice::Absent, true)?,
        linux::MADV_DOFORK => kernel.mm.advise(addr, len, Advice::Absent, false)?,
        linux::MADV_WIPEONFORK => kernel.mm.advise(addr, len, Advice::Wiped, true)?,
        linux::MADV_KEEPONFORK => kernel.mm.advise(addr, len, Advice::Wiped, false)?,
        linux::MADV_NORMAL
        | linux::MADV_RANDOM
        | linux::MADV_SEQUENTIAL
        | linux::MADV_WILLNEED
        | linux::MADV_HUGEPAGE
        | linux::MADV_NOHUGEPAGE
        | linux::MADV_DONTDUMP
        | linux::MADV_DODUMP
        | linux::MADV_COLD
        | linux::MADV_PAGEOUT => kernel.mm.check_mapped(addr, len)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn msync(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(2);
    let both = linux::MS_ASYNC | linux::MS_SYNC;
    if flags & !(both | linux::MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    kernel.mm.check_mapped(args.raw(0), args.raw(1)).map(|()| 0)
}

/// Whole pages of what the program names, all mapped.
fn lockable(kernel: &Kernel, args: &Args) -> Result<(u64, u64)> {
    let start = args.raw(0) / PAGE * PAGE;
    let len = args.raw(1).checked_add(args.raw(0) - start).ok_or(Errno::EINVAL)?;
    kernel.mm.check_mapped(start, len)?;
    Ok((start, start + len))
}

fn mlock(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (start, end) = lockable(kernel, args)?;
    kernel.mm.populate(start, end)?;
    Ok(0)
}

fn mlock2(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    match args.uint(2) {
        0 => mlock(kernel, args),
        linux::MLOCK_ONFAULT => lockable(kernel, args).map(|_| 0),
        _ => Err(Errno::EINVAL),
    }
}

fn munlock(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    lockable(kernel, args).map(|_| 0)
}

/// Nothing is ever paged out; what nobody touched yet gets memory when it is.
fn mlockall(_: &mut Kernel, args: &Args) -> Result<u64> {
    let known = linux::MCL_CURRENT | linux::MCL_FUTURE | linux::MCL_ONFAULT;
    let flags = args.uint(0);
    if flags & !known != 0 || flags == 0 || flags == linux::MCL_ONFAULT {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

fn munlockall(_: &mut Kernel, _: &Args) -> Result<u64> {
    Ok(0)
}

fn mincore(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (addr, len) = (args.raw(0), round_up(args.raw(1))?);
    kernel.mm.check_mapped(addr, len)?;
    let pages = usize::try_from(len / PAGE).map_err(|_| Errno::ENOMEM)?;
    let told = kernel.mm.slice_mut(args.raw(2), pages)?;
    for (byte, resident) in told.iter_mut().zip(kernel.mm.residency(addr, addr + len)) {
        *byte = u8::from(resident);
    }
    Ok(0)
}
