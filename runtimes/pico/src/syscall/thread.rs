//! Threads and processes: how they begin and end. Threads: who they are.

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::{Birth, Ending, FIRST};
use abi::mailbox::Doorbell;
use linux_raw_sys::general as linux;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: linux::__NR_clone, name: "clone", support: CLONE, handler: clone },
    Entry { number: linux::__NR_clone3, name: "clone3", support: CLONE, handler: clone3 },
    Entry { number: linux::__NR_fork, name: "fork", support: Support::Full, handler: fork },
    Entry { number: linux::__NR_vfork, name: "vfork", support: Support::Full, handler: vfork },
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

const CLONE: Support = Support::Partial(
    "threads share everything (`CLONE_VM`, `FS`, `FILES`, `SIGHAND`, `THREAD`), processes nothing but, with `CLONE_VM`, memory; no namespaces; at most 1024 threads of all processes",
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
    if has(linux::CLONE_PIDFD)
        && (has(linux::CLONE_THREAD)
            || has(linux::CLONE_DETACHED)
            || (has(linux::CLONE_PARENT_SETTID) && wanted.pidfd == wanted.parent_tid))
    {
        return Err(Errno::EINVAL);
    }
    if has(linux::CLONE_SETTLS) && wanted.tls >= USER_END {
        return Err(Errno::EPERM);
    }
    let rsp = wanted.stack.checked_add(wanted.stack_size).ok_or(Errno::EINVAL)?;
    let fs_base = has(linux::CLONE_SETTLS).then_some(wanted.tls);
    let tid = if has(linux::CLONE_THREAD) {
        start_thread(kernel, wanted, rsp, fs_base)?
    } else {
        start_process(kernel, wanted, rsp, fs_base)?
    };
    if has(linux::CLONE_CHILD_CLEARTID)
        && let Some(thread) = kernel.threads.find(tid)
    {
        thread.clear_child_tid = wanted.child_tid;
    }
    if has(linux::CLONE_PARENT_SETTID) {
        // As on Linux, the thread exists even if nobody can be told its id.
        let _ = kernel.mm.write(wanted.parent_tid, &tid);
    }
    Ok(u64::from(tid))
}

fn start_thread(kernel: &mut Kernel, wanted: &CloneArgs, rsp: u64, fs_base: Option<u64>) -> Result<u32> {
    if wanted.flags & !OPTIONS != SHARED {
        return Err(Errno::ENOSYS);
    }
    let tid = kernel.add_thread(rsp, fs_base, false)?;
    if wanted.flags & u64::from(linux::CLONE_CHILD_SETTID) != 0 {
        let _ = kernel.mm.write(wanted.child_tid, &tid);
    }
    Ok(tid)
}

fn start_process(kernel: &mut Kernel, wanted: &CloneArgs, rsp: u64, fs_base: Option<u64>) -> Result<u32> {
    const KNOWN: u64 = OPTIONS
        | (linux::CLONE_VM | linux::CLONE_VFORK | linux::CLONE_PIDFD) as u64
        | linux::CLONE_CLEAR_SIGHAND;
    if wanted.flags & !KNOWN != 0 || wanted.exit_signal > 64 {
        return Err(Errno::EINVAL);
    }
    let has = |flag: u32| wanted.flags & u64::from(flag) != 0;
    let wants_descriptor = has(linux::CLONE_PIDFD);
    if wants_descriptor {
        check_pidfd(kernel, wanted.pidfd)?;
    }
    let pid = kernel.fork(&Birth {
        shares_memory: has(linux::CLONE_VM),
        lends: has(linux::CLONE_VFORK),
        clears_handlers: wanted.flags & linux::CLONE_CLEAR_SIGHAND != 0,
        exit_signal: u32::try_from(wanted.exit_signal).map_err(|_| Errno::EINVAL)?,
        rsp,
        fs_base,
        child_tid: if has(linux::CLONE_CHILD_SETTID) { wanted.child_tid } else { 0 },
    })?;
    if wants_descriptor {
        let fd = kernel.open_pidfd(pid, 0)?;
        kernel.mm.write(wanted.pidfd, &i32::try_from(fd).expect("there are 1024 descriptors"))?;
    }
    Ok(pid)
}

/// Whether there is room for a process descriptor, and for its number `at` an address.
fn check_pidfd(kernel: &Kernel, at: u64) -> Result<()> {
    if !kernel.fds.has_room() {
        return Err(Errno::EMFILE);
    }
    let before: u32 = kernel.mm.read(at)?;
    kernel.mm.write(at, &before)
}

fn fork(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    let birth = Birth { exit_signal: linux::SIGCHLD, ..Birth::default() };
    kernel.fork(&birth).map(u64::from)
}

fn vfork(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    let birth = Birth { exit_signal: linux::SIGCHLD, shares_memory: true, lends: true, ..Birth::default() };
    kernel.fork(&birth).map(u64::from)
}

fn exit(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let status = args.uint(0) & 0xff;
    if kernel.pid() == FIRST && kernel.processes.own().threads == 1 {
        // The process ends as its first thread did.
        let status = kernel.threads.first_status(FIRST).unwrap_or(status);
        return end_program(kernel, status);
    }
    kernel.end_thread(status);
    Ok(0)
}

fn exit_group(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (pid, status) = (kernel.pid(), args.uint(0) & 0xff);
    if pid == FIRST {
        return end_program(kernel, status);
    }
    kernel.end_process(pid, Ending::Exited(status));
    kernel.end_thread(status);
    Ok(0)
}

/// The first process ends, and with it everything.
fn end_program(kernel: &mut Kernel, status: u32) -> Result<u64> {
    kernel.settle_at_exit();
    kernel.ring(Doorbell::Exit, [u64::from(status), 0, 0, 0]);
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
    if kernel.threads.process_of(tid) != Some(kernel.pid()) {
        return Err(kernel.threads.process_of(tid).map_or(Errno::ESRCH, |_| Errno::EPERM));
    }
    let head = kernel.threads.find(tid).ok_or(Errno::ESRCH)?.robust_list;
    kernel.mm.write(args.raw(2), &ROBUST_LIST_HEAD)?;
    kernel.mm.write(args.raw(1), &head).map(|()| 0)
}

fn sched_yield(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    kernel.yield_now();
    Ok(0)
}
