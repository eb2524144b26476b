//! File locks: flock(2) and the commands of fcntl(2) for them.

use super::path::{full, open_arg};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::kernel::Kernel;
use crate::lock::{Family, FileId, Holder, LAST, Lock, Owner, file_id};
use crate::poll::look_until;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[full(linux::__NR_flock, "flock", flock)];

/// What `F_GETLK` says of a lock that an open file description has.
const NO_PROCESS: i32 = -1;

/// The owner of the locks of `open` itself.
fn holder(kernel: &Kernel, open: &OpenFile) -> Result<Owner> {
    if let Some(holder) = open.locks.get() {
        return Ok(holder.owner());
    }
    let file = file_id(open)?;
    Ok(open.locks.get_or_init(|| Holder::new(&kernel.locks, file)).owner())
}

fn flock(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let command = args.uint(1);
    let wanted = command & !linux::LOCK_NB;
    if !matches!(wanted, linux::LOCK_SH | linux::LOCK_EX | linux::LOCK_UN) {
        return Err(Errno::EINVAL);
    }
    let open = open_arg(kernel, args, 0)?;
    let file = file_id(&open)?;
    if wanted == linux::LOCK_UN && open.locks.get().is_none() {
        return Ok(0);
    }
    let owner = holder(kernel, &open)?;
    let exclusive = wanted == linux::LOCK_EX;
    let lock = Lock { owner, pid: kernel.pid(), exclusive, first: 0, last: LAST };
    if wanted == linux::LOCK_UN {
        return kernel.locks.release(file, Family::Whole, &lock).map(|()| 0);
    }
    if kernel.locks.conflict(file, Family::Whole, &lock).is_some() {
        // As on Linux, a lock that is to become another one is gone even if that cannot be had.
        kernel.locks.release(file, Family::Whole, &lock)?;
        kernel.threads.note_change();
    }
    take(kernel, file, Family::Whole, &lock, command & linux::LOCK_NB == 0).map(|()| 0)
}

/// Takes `lock`, and waits for it if it `waits`.
fn take(kernel: &mut Kernel, file: FileId, family: Family, lock: &Lock, waits: bool) -> Result<()> {
    let first = kernel.locks.take(file, family, lock);
    if !waits || first != Err(Errno::EAGAIN) {
        return first;
    }
    let tid = kernel.threads.tid();
    let taken = look_until(kernel, None, |kernel, _, _| match kernel.locks.take(file, family, lock) {
        Err(Errno::EAGAIN) => kernel.locks.wait(tid, file, family, lock).err().map(Err),
        result => Some(result),
    });
    kernel.locks.stop_waiting(tid);
    kernel.process.restartable = matches!(taken, Err(Errno::EINTR));
    taken?.unwrap_or(Err(Errno::EAGAIN))
}

/// Whether `command` of fcntl(2) is about locks.
pub(super) fn is_command(command: u32) -> bool {
    matches!(
        command,
        linux::F_GETLK
            | linux::F_SETLK
            | linux::F_SETLKW
            | linux::F_OFD_GETLK
            | linux::F_OFD_SETLK
            | linux::F_OFD_SETLKW
    )
}

/// fcntl(2) with a command about locks.
pub(super) fn control(kernel: &mut Kernel, args: &Args, open: &Rc<OpenFile>) -> Result<u64> {
    let command = args.uint(1);
    let is_open = matches!(command, linux::F_OFD_GETLK | linux::F_OFD_SETLK | linux::F_OFD_SETLKW);
    let told: linux::flock = kernel.mm.get(args.raw(2))?;
    let kind = u32::from(told.l_type.cast_unsigned());
    if command == linux::F_GETLK && kind == linux::F_UNLCK {
        return Err(Errno::EINVAL);
    }
    let (first, last) = range(open, &told)?;
    if !matches!(kind, linux::F_RDLCK | linux::F_WRLCK | linux::F_UNLCK) {
        return Err(Errno::EINVAL);
    }
    let asks = matches!(command, linux::F_GETLK | linux::F_OFD_GETLK);
    if !asks {
        check_access(open, kind)?;
    }
    if is_open && told.l_pid != 0 {
        return Err(Errno::EINVAL);
    }
    let pid = kernel.pid();
    let owner = if is_open { holder(kernel, open)? } else { Owner::Process(pid) };
    let lock = Lock { owner, pid, exclusive: kind == linux::F_WRLCK, first, last };
    let file = file_id(open)?;
    if asks {
        return tell(kernel, args.raw(2), told, file, &lock).map(|()| 0);
    }
    if kind == linux::F_UNLCK {
        return kernel.locks.release(file, Family::Records, &lock).map(|()| 0);
    }
    let waits = matches!(command, linux::F_SETLKW | linux::F_OFD_SETLKW);
    take(kernel, file, Family::Records, &lock, waits)?;
    if !is_open && !kernel.fds.get(args.fd(0)?).is_ok_and(|now| Rc::ptr_eq(&now.open, open)) {
        // Another thread closed the file meanwhile, which has released nothing yet.
        kernel.locks.release(file, Family::Records, &lock)?;
        return Err(Errno::EBADF);
    }
    Ok(0)
}

/// The bytes that `lock` is about: first and last.
fn range(open: &OpenFile, lock: &linux::flock) -> Result<(u64, u64)> {
    let base = match u32::from(lock.l_whence.cast_unsigned()) {
        linux::SEEK_SET => 0,
        linux::SEEK_CUR => open.offset.get(),
        linux::SEEK_END => open.file.size(),
        _ => return Err(Errno::EINVAL),
    };
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(lock.l_start).ok_or(Errno::EOVERFLOW)?;
    let position = |offset: i64| u64::try_from(offset).map_err(|_| Errno::EINVAL);
    let first = position(start)?;
    if lock.l_len < 0 {
        // The bytes before the start.
        let before = position(start + lock.l_len)?;
        return Ok((before, first - 1));
    }
    if lock.l_len == 0 {
        return Ok((first, LAST));
    }
    let last = start.checked_add(lock.l_len - 1).ok_or(Errno::EOVERFLOW)?;
    Ok((first, position(last)?))
}

/// A read lock needs a file open for reading, a write lock one open for writing.
fn check_access(open: &OpenFile, kind: u32) -> Result<()> {
    let access = open.flags.get() & linux::O_ACCMODE;
    let unfit = match kind {
        linux::F_RDLCK => access == linux::O_WRONLY,
        linux::F_WRLCK => access == linux::O_RDONLY,
        _ => false,
    };
    if unfit { Err(Errno::EBADF) } else { Ok(()) }
}

/// `F_GETLK`: what is in the way of `lock`. For the own locks of an open file description (`F_UNLCK`): what it has there.
fn tell(kernel: &Kernel, at: u64, mut told: linux::flock, file: FileId, lock: &Lock) -> Result<()> {
    let number = |value: u32| i16::try_from(value).expect("a small constant");
    let asks_for_own = u32::from(told.l_type.cast_unsigned()) == linux::F_UNLCK;
    let found = if asks_for_own {
        kernel.locks.own(file, lock)
    } else {
        kernel.locks.conflict(file, Family::Records, lock)
    };
    told.l_type = number(linux::F_UNLCK);
    if let Some(found) = found {
        told.l_type = number(if found.exclusive { linux::F_WRLCK } else { linux::F_RDLCK });
        told.l_whence = number(linux::SEEK_SET);
        told.l_start = found.first.cast_signed();
        told.l_len = if found.last == LAST { 0 } else { (found.last - found.first + 1).cast_signed() };
        told.l_pid = match found.owner {
            Owner::Process(pid) => pid.cast_signed(),
            Owner::Open(_) => NO_PROCESS,
        };
    }
    kernel.mm.put(at, &told)
}
