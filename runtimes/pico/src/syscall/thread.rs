//! Threads: how they begin and end, and who they are.

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use abi::mailbox::Doorbell;
use linux_raw_sys::general as linux;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: linux::__NR_clone, name: "clone", support: THREADS_ONLY, handler: clone },
    Entry { number: linux::__NR_clone3, name: "clone3", support: THREADS_ONLY, handler: clone3 },
    Entry { number: linux::__NR_exit, name: "exit", support: Support::Full, handler: exit },
    Entry { number: linux::__NR_exit_group, name: "exit_group", support: Support::Full, handler: exit_group },
    Entry { number: linux::__NR_gettid, name: "gettid", support: Support::Full, handler: gettid },
    Entry {
        number: linux::__NR_set_tid_address,
        name: "set_tid_address",
        support: Support::Full,
        handler: set_tid_address,
    },
    Entry {
        number: linux::__NR_set_robust_list,
        name: "set_robust_list",
        support: Support::Full,
        handler: set_robust_list,
    },
    Entry {
        number: linux::__NR_get_robust_list,
        name: "get_robust_list",
        support: Support::Full,
        handler: get_robust_list,
    },
    Entry {
        number: linux::__NR_sched_yield,
        name: "sched_yield",
        support: Support::Full,
        handler: sched_yield,
    },
];

const THREADS_ONLY: Support = Support::Partial(
    "threads that share everything (`CLONE_VM`, `FS`, `FILES`, `SIGHAND`, `THREAD`), at most 1024; no processes: ENOSYS",
);

/// What a thread shares with its process.
const SHARED: u64 =
    (linux::CLONE_VM | linux::CLONE_FS | linux::CLONE_FILES | linux::CLONE_SIGHAND | linux::CLONE_THREAD)
        as u64;
/// What may be asked for besides. There is no System V semaphore to undo, and `CLONE_DETACHED` has no effect.
const OPTIONS: u64 = (linux::CLONE_SYSVSEM
    | linux::CLONE_SETTLS
    | linux::CLONE_PARENT_SETTID
    | linux::CLONE_CHILD_SETTID
    | linux::CLONE_CHILD_CLEARTID
    | linux::CLONE_DETACHED) as u64;

/// The first version of `struct clone_args`, 64 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Most bytes of a `struct clone_args`; what is not known must be zero.
const CLONE_ARGS_MAX: u64 = 4096;
/// The bits of clone(2)'s flags that name a signal.
const EXIT_SIGNAL: u64 = 0xff;
/// Addresses of a program are below this.
const USER_END: u64 = 0x7fff_ffff_f000;

fn clone(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.raw(0) & u64::from(u32::MAX);
    let wanted = CloneArgs {
        flags: flags & !EXIT_SIGNAL,
        pidfd: args.raw(2),
        child_tid: args.raw(3),
        parent_tid: args.raw(2),
        exit_signal: flags & EXIT_SIGNAL,
        stack: args.raw(1),
        stack_size: 0,
        tls: args.raw(4),
    };
    start(kernel, &wanted)
}

fn clone3(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let known = size_of::<CloneArgs>() as u64;
    let size = args.raw(1);
    if size < known {
        return Err(Errno::EINVAL);
    }
    if size > CLONE_ARGS_MAX {
        return Err(Errno::E2BIG);
    }
    let wanted: CloneArgs = kernel.mm.read(args.raw(0))?;
    let rest = kernel.mm.slice(args.raw(0).wrapping_add(known), args.size(1) - size_of::<CloneArgs>())?;
    if rest.iter().any(|&byte| byte != 0) {
        // `set_tid` and `cgroup`, or what is newer than they.
        return Err(if size > 88 { Errno::E2BIG } else { Errno::EINVAL });
    }
    if (wanted.stack == 0) != (wanted.stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    start(kernel, &wanted)
}

fn start(kernel: &mut Kernel, wanted: &CloneArgs) -> Result<u64> {
    let has = |flag: u32| wanted.flags & u64::from(flag) != 0;
    let needs = |one: u32, other: u32| has(one) && !has(other);
    if needs(linux::CLONE_THREAD, linux::CLONE_SIGHAND) || needs(linux::CLONE_SIGHAND, linux::CLONE_VM) {
        return Err(Errno::EINVAL);
    }
    if wanted.flags & !OPTIONS != SHARED {
        return Err(Errno::ENOSYS);
    }
    if has(linux::CLONE_SETTLS) && wanted.tls >= USER_END {
        return Err(Errno::EPERM);
    }
    let rsp = wanted.stack.checked_add(wanted.stack_size).ok_or(Errno::EINVAL)?;
    let tid = kernel.add_thread(rsp, has(linux::CLONE_SETTLS).then_some(wanted.tls))?;
    if has(linux::CLONE_CHILD_CLEARTID)
        && let Some(thread) = kernel.threads.find(tid)
    {
        thread.clear_child_tid = wanted.child_tid;
    }
    let tells =
        [(linux::CLONE_PARENT_SETTID, wanted.parent_tid), (linux::CLONE_CHILD_SETTID, wanted.child_tid)];
    for (_, at) in tells.into_iter().filter(|&(flag, _)| has(flag)) {
        // As on Linux, the thread exists even if nobody can be told its id.
        let _ = kernel.mm.write(at, &tid);
    }
    Ok(u64::from(tid))
}

fn exit(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let status = u64::from(args.uint(0) & 0xff);
    if kernel.threads.is_alone() {
        // The process ends as its first thread did.
        let status = kernel.threads.first_status().unwrap_or(status);
        return end_process(kernel, status);
    }
    kernel.end_thread(status);
    Ok(0)
}

fn exit_group(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    end_process(kernel, u64::from(args.uint(0) & 0xff))
}

fn end_process(kernel: &mut Kernel, status: u64) -> Result<u64> {
    kernel.settle_at_exit();
    kernel.ring(Doorbell::Exit, [status, 0, 0, 0]);
    Ok(0)
}

fn gettid(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    Ok(u64::from(kernel.threads.tid()))
}

fn set_tid_address(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    kernel.threads.current().clear_child_tid = args.raw(0);
    Ok(u64::from(kernel.threads.tid()))
}

/// Bytes of a `struct robust_list_head`.
const ROBUST_LIST_HEAD: u64 = 24;

fn set_robust_list(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.raw(1) != ROBUST_LIST_HEAD {
        return Err(Errno::EINVAL);
    }
    kernel.threads.current().robust_list = args.raw(0);
    Ok(0)
}

fn get_robust_list(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let own = kernel.threads.tid();
    let tid = if args.uint(0) == 0 { own } else { args.uint(0) };
    let head = kernel.threads.find(tid).ok_or(Errno::ESRCH)?.robust_list;
    kernel.mm.write(args.raw(2), &ROBUST_LIST_HEAD)?;
    kernel.mm.write(args.raw(1), &head).map(|()| 0)
}

fn sched_yield(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    kernel.yield_now();
    Ok(0)
}
