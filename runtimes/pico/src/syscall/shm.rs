//! System V shared memory.

use super::memory::restore_text;
use super::path::{full, partial};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::mm::areas::{EXEC, READ, WRITE};
use crate::mm::{Placement, is_sparse, round_up};
use crate::shm::{Access, Segment};
use abi::layout::PAGE;
use alloc::format;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    partial(
        linux::__NR_shmget,
        "shmget",
        shmget,
        "at most 256 segments (`ENOSPC`); no huge pages (`ENOMEM`)",
    ),
    partial(
        linux::__NR_shmat,
        "shmat",
        shmat,
        "an address of the program's choice must be 512 GiB or more (else `EINVAL`); no SHM_REMAP",
    ),
    partial(
        linux::__NR_shmctl,
        "shmctl",
        shmctl,
        "IPC_STAT, IPC_SET, IPC_RMID, SHM_LOCK and SHM_UNLOCK, the last two without effect: no memory is ever paged out",
    ),
    full(linux::__NR_shmdt, "shmdt", shmdt),
];

const IPC_CREAT: u32 = 0o1000;
const IPC_EXCL: u32 = 0o2000;
const IPC_RMID: u32 = 0;
const IPC_SET: u32 = 1;
const IPC_STAT: u32 = 2;
const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_RDONLY: u32 = 0o10000;
const SHM_RND: u32 = 0o20000;
const SHM_EXEC: u32 = 0o100000;
const SHM_NORESERVE: u32 = 0o10000;
const SHM_HUGETLB: u32 = 0o4000;
/// Of the mode that is shown: it was removed.
const SHM_DEST: u32 = 0o1000;
const PERMISSIONS: u32 = 0o777;

/// Most bytes a segment can have: a file's.
const SIZE_MAX: u64 = i64::MAX.cast_unsigned();

fn seconds(kernel: &Kernel) -> i64 {
    kernel.file_time() / 1_000_000_000
}

fn shmget(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (key, size, flags) = (args.uint(0), args.raw(1), args.uint(2));
    if flags & !(PERMISSIONS | IPC_CREAT | IPC_EXCL | SHM_HUGETLB | SHM_NORESERVE) != 0 {
        return Err(Errno::EINVAL);
    }
    if let Some(segment) = kernel.shm.find(key) {
        return match () {
            () if flags & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL => Err(Errno::EEXIST),
            () if size > segment.size => Err(Errno::EINVAL),
            () => Ok(segment.id.into()),
        };
    }
    match () {
        () if key != 0 && flags & IPC_CREAT == 0 => return Err(Errno::ENOENT),
        () if size == 0 || size > SIZE_MAX => return Err(Errno::EINVAL),
        () if !kernel.shm.has_room() => return Err(Errno::ENOSPC),
        // As on a machine that has none set apart.
        () if flags & SHM_HUGETLB != 0 => return Err(Errno::ENOMEM),
        () if round_up(size)? > kernel.mm.total() => return Err(Errno::ENOMEM),
        () => {}
    }
    let now = kernel.file_time();
    let inode = kernel.resolve(b"/dev/shm")?.writable_dir()?.nameless(flags & PERMISSIONS, now)?;
    inode.resize(&mut kernel.mm, size, now)?;
    let who = kernel.net.who.get();
    let access = Access { uid: who.uid, gid: who.gid, mode: flags & PERMISSIONS };
    Ok(kernel.shm.add(key, size, inode, access, who.pid, seconds(kernel)).into())
}

/// Where a segment is to be mapped.
fn placement(address: u64, flags: u32) -> Result<Placement> {
    let rounded = if flags & SHM_RND != 0 { address / PAGE * PAGE } else { address };
    match rounded {
        0 => Ok(Placement::Sparse(0)),
        at if at.is_multiple_of(PAGE) && is_sparse(at) => Ok(Placement::Free(at)),
        _ => Err(Errno::EINVAL),
    }
}

fn shmat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (id, flags, now, pid) = (args.uint(0), args.uint(2), seconds(kernel), kernel.pid());
    if flags & !(SHM_RDONLY | SHM_RND | SHM_EXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let placement = placement(args.raw(1), flags)?;
    let segment = kernel.shm.get(id)?;
    let (inode, key, len) = (segment.inode().ok_or(Errno::EINVAL)?, segment.key, round_up(segment.size)?);
    let mut prot = if flags & SHM_RDONLY != 0 { READ } else { READ | WRITE };
    prot |= if flags & SHM_EXEC != 0 { EXEC } else { 0 };
    let path = Rc::from(format!("/SYSV{key:08x} (deleted)"));
    let at = kernel.vfs.shared.map(&mut kernel.mm, &inode, (0, len), prot, path, placement).map_err(
        // An address where something is already.
        |errno| if errno == Errno::EEXIST { Errno::EINVAL } else { errno },
    )?;
    let segment = kernel.shm.get(id)?;
    (segment.times[0], segment.pids[1]) = (now, pid);
    Ok(at)
}

fn shmdt(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (start, now, pid) = (args.raw(0), seconds(kernel), kernel.pid());
    let (inode, end) = kernel.vfs.shared.starting_at(start).ok_or(Errno::EINVAL)?;
    let inode = inode.clone();
    let segment = kernel.shm.of_inode(&inode).ok_or(Errno::EINVAL)?;
    (segment.times[1], segment.pids[1]) = (now, pid);
    drop(inode);
    restore_text(kernel, start, end - start);
    kernel.mm.unmap(start, end - start)?;
    kernel.vfs.shared.release(&kernel.mm);
    kernel.reclaim_files();
    Ok(0)
}

fn shmctl(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (id, buffer, now) = (args.uint(0), args.raw(2), seconds(kernel));
    match args.uint(1) {
        IPC_STAT => stat(kernel, id, buffer),
        IPC_SET => {
            let [_, uid, gid, _, _, mode]: [u32; 6] = kernel.mm.read(buffer)?;
            let segment = kernel.shm.get(id)?;
            if uid == u32::MAX || gid == u32::MAX {
                return Err(Errno::EINVAL);
            }
            segment.access = Access { uid, gid, mode: mode & PERMISSIONS };
            segment.times[2] = now;
            Ok(0)
        }
        IPC_RMID => {
            kernel.shm.get(id)?.remove();
            kernel.reclaim_files();
            Ok(0)
        }
        SHM_LOCK | SHM_UNLOCK => kernel.shm.get(id).map(|_| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// Tells about a segment: `struct shmid64_ds`.
fn stat(kernel: &mut Kernel, id: u32, buffer: u64) -> Result<u64> {
    let segment = kernel.shm.get(id)?;
    let inode = segment.inode().ok_or(Errno::EINVAL)?;
    let mut told = described(segment);
    told[11] = kernel.attachments(&inode);
    kernel.mm.write(buffer, &told).map(|()| 0)
}

fn described(segment: &Segment) -> [u64; 14] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let (now, first) = (segment.access, segment.creator);
    let mode = now.mode | if segment.is_removed() { SHM_DEST } else { 0 };
    let mut told = [0; 14];
    told[..3].copy_from_slice(&[pair(segment.key, now.uid), pair(now.gid, first.uid), pair(first.gid, mode)]);
    told[6] = segment.size;
    for (place, time) in told[7..10].iter_mut().zip(segment.times) {
        *place = time.cast_unsigned();
    }
    told[10] = pair(segment.pids[0], segment.pids[1]);
    told
}
