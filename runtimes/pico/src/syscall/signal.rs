//! Signals: the state of a thread, and signals that threads send to each other.

use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::{Action, AltStack, FIRST, FRAME_SIZE, Info, Return};
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry {
        number: linux::__NR_rt_sigaction,
        name: "rt_sigaction",
        support: Support::Full,
        handler: sigaction,
    },
    Entry {
        number: linux::__NR_rt_sigprocmask,
        name: "rt_sigprocmask",
        support: Support::Full,
        handler: sigprocmask,
    },
    Entry {
        number: linux::__NR_rt_sigreturn,
        name: "rt_sigreturn",
        support: Support::Full,
        handler: sigreturn,
    },
    Entry {
        number: linux::__NR_rt_sigpending,
        name: "rt_sigpending",
        support: Support::Full,
        handler: sigpending,
    },
    Entry {
        number: linux::__NR_rt_sigtimedwait,
        name: "rt_sigtimedwait",
        support: Support::Full,
        handler: sigtimedwait,
    },
    Entry {
        number: linux::__NR_rt_sigsuspend,
        name: "rt_sigsuspend",
        support: Support::Full,
        handler: sigsuspend,
    },
    Entry {
        number: linux::__NR_rt_sigqueueinfo,
        name: "rt_sigqueueinfo",
        support: Support::Full,
        handler: sigqueueinfo,
    },
    Entry {
        number: linux::__NR_rt_tgsigqueueinfo,
        name: "rt_tgsigqueueinfo",
        support: Support::Full,
        handler: tgsigqueueinfo,
    },
    Entry {
        number: linux::__NR_sigaltstack,
        name: "sigaltstack",
        support: Support::Partial("a change is not refused while a handler runs on the stack"),
        handler: sigaltstack,
    },
    Entry { number: linux::__NR_kill, name: "kill", support: Support::Full, handler: kill },
    Entry { number: linux::__NR_tkill, name: "tkill", support: Support::Full, handler: tkill },
    Entry { number: linux::__NR_tgkill, name: "tgkill", support: Support::Full, handler: tgkill },
];

pub(super) const SI_USER: i32 = 0;
const SI_TKILL: i32 = -6;

/// Signal masks have 8 bytes.
fn check_mask_size(size: usize) -> Result<()> {
    if size == size_of::<u64>() { Ok(()) } else { Err(Errno::EINVAL) }
}

fn sigaction(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_mask_size(args.size(3))?;
    let signal = args.uint(0);
    let old = kernel.process.signals.action(signal)?;
    if args.raw(1) != 0 {
        let action: Action = kernel.mm.read(args.raw(1))?;
        kernel.process.signals.set_action(signal, action)?;
        if kernel.process.signals.is_ignored(signal) {
            let pid = kernel.pid();
            let threads = kernel.threads.iter_mut().filter(|(_, thread)| thread.process == pid);
            threads.for_each(|(_, thread)| thread.signals.forget(1 << (signal - 1)));
        }
    }
    if args.raw(2) != 0 {
        kernel.mm.write(args.raw(2), &old)?;
    }
    Ok(0)
}

fn sigprocmask(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_mask_size(args.size(3))?;
    let old = kernel.process.signals.blocked();
    if args.raw(1) != 0 {
        let set: u64 = kernel.mm.read(args.raw(1))?;
        let mask = match args.uint(0) {
            linux::SIG_BLOCK => old | set,
            linux::SIG_UNBLOCK => old & !set,
            linux::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        kernel.process.signals.set_blocked(mask);
    }
    if args.raw(2) != 0 {
        kernel.mm.write(args.raw(2), &old)?;
    }
    Ok(0)
}

fn sigreturn(kernel: &mut Kernel, _args: &Args) -> Result<u64> {
    kernel.process.returning = Some(Return::Frame);
    Ok(0)
}

fn sigpending(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_mask_size(args.size(1))?;
    kernel.mm.write(args.raw(0), &kernel.process.signals.pending()).map(|()| 0)
}

fn sigtimedwait(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_mask_size(args.size(3))?;
    let set: u64 = kernel.mm.read(args.raw(0))?;
    let until = match args.raw(2) {
        0 => None,
        at => Some(kernel.now().saturating_add(super::time::read_timespec(kernel, at)?)),
    };
    kernel.process.signals.own.awaited = set;
    let info = await_signal(kernel, set, until);
    kernel.process.signals.own.awaited = 0;
    let info = info?;
    if args.raw(1) != 0 {
        kernel.mm.write(args.raw(1), &info)?;
    }
    Ok(info.signal.into())
}

/// Waits for a signal of `set`, until the monotonic time `until`.
fn await_signal(kernel: &mut Kernel, set: u64, until: Option<u64>) -> Result<Info> {
    loop {
        kernel.expire_alarm();
        if let Some(info) = kernel.process.take_signal_from(set) {
            return Ok(info);
        }
        if until.is_some_and(|until| until <= kernel.now()) {
            return Err(Errno::EAGAIN);
        }
        kernel.ending_with_stop(|kernel| kernel.wait_interruptibly(until, false))?;
    }
}

fn sigsuspend(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    check_mask_size(args.size(1))?;
    let mask: u64 = kernel.mm.read(args.raw(0))?;
    kernel.with_mask(Some(mask), |kernel| {
        loop {
            kernel.wait_interruptibly(None, false)?;
        }
    })
}

/// Whom a signal is for.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Process(u32),
    Thread(u32),
}

/// Sends `info`; number 0 only asks whether the target is there.
pub(super) fn send(kernel: &mut Kernel, target: Target, info: Info) -> Result<u64> {
    match target {
        Target::Thread(tid) if !kernel.threads.is_alive(tid) => return Err(Errno::ESRCH),
        Target::Process(pid) => drop(kernel.processes.get(pid)?),
        Target::Thread(_) => {}
    }
    match target {
        _ if info.signal == 0 => Ok(0),
        Target::Thread(tid) => kernel.send_to_thread(tid, info).map(|()| 0),
        Target::Process(pid) => kernel.send_to(pid, info).map(|()| 0),
    }
}

/// The signal in argument `index` with the `siginfo_t` the program made up in the next one. What only the kernel can say
/// may not be said to others.
pub(super) fn made_up(kernel: &Kernel, target: Target, args: &Args, index: usize) -> Result<Info> {
    let info: Info = kernel.mm.read(args.raw(index + 1))?;
    let is_own = match target {
        Target::Process(pid) => pid == kernel.pid(),
        Target::Thread(tid) => kernel.threads.process_of(tid) == Some(kernel.pid()),
    };
    if (info.code >= 0 || info.code == SI_TKILL) && !is_own {
        return Err(Errno::EPERM);
    }
    Ok(Info { signal: args.uint(index), ..info })
}

fn sigqueueinfo(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let target = Target::Process(u32::try_from(args.int(0)).map_err(|_| Errno::ESRCH)?);
    let info = made_up(kernel, target, args, 1)?;
    send(kernel, target, info)
}

fn tgsigqueueinfo(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let target = thread_of_group(kernel, args)?;
    let info = made_up(kernel, target, args, 2)?;
    send(kernel, target, info)
}

/// The thread that arguments 0 (its process) and 1 name.
fn thread_of_group(kernel: &Kernel, args: &Args) -> Result<Target> {
    match (u32::try_from(args.int(0)), u32::try_from(args.int(1))) {
        (Err(_) | Ok(0), _) | (_, Err(_) | Ok(0)) => Err(Errno::EINVAL),
        (Ok(group), Ok(tid)) if kernel.threads.process_of(tid) == Some(group) => Ok(Target::Thread(tid)),
        _ => Err(Errno::ESRCH),
    }
}

fn sigaltstack(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let old = kernel.process.signals.own.alt_stack;
    if args.raw(0) != 0 {
        let mut new: AltStack = kernel.mm.read(args.raw(0))?;
        new.reserved = 0;
        if new.flags == linux::SS_DISABLE {
            new = AltStack::none();
        } else if new.flags & !(linux::SS_ONSTACK | linux::SS_AUTODISARM) != 0 {
            return Err(Errno::EINVAL);
        } else if new.size < u64::from(linux::MINSIGSTKSZ).min(FRAME_SIZE) {
            return Err(Errno::ENOMEM);
        } else {
            new.flags &= !linux::SS_ONSTACK;
        }
        kernel.process.signals.own.alt_stack = new;
    }
    if args.raw(1) != 0 {
        kernel.mm.write(args.raw(1), &old)?;
    }
    Ok(0)
}

fn kill(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let own = kernel.pid();
    let info = Info::from_process(args.uint(1), SI_USER, own);
    let group = match args.int(0) {
        i32::MIN => return Err(Errno::ESRCH),
        0 => kernel.processes.own().group,
        -1 => {
            let others = kernel.processes.select(|pid, _| pid != FIRST && pid != own);
            return send_to_all(kernel, &others, info);
        }
        pid if pid > 0 => return send(kernel, Target::Process(pid.unsigned_abs()), info),
        group => group.unsigned_abs(),
    };
    let members = kernel.processes.select(|_, record| record.group == group);
    send_to_all(kernel, &members, info)
}

/// Sends `info` to each of `pids`; it is enough that there is one.
fn send_to_all(kernel: &mut Kernel, pids: &[u32], info: Info) -> Result<u64> {
    let mut result = Err(Errno::ESRCH);
    for &pid in pids {
        let sent = send(kernel, Target::Process(pid), info);
        result = if result.is_ok() { result } else { sent };
    }
    result
}

fn tkill(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let tid = u32::try_from(args.int(0)).ok().filter(|&tid| tid > 0).ok_or(Errno::EINVAL)?;
    let info = Info::from_process(args.uint(1), SI_TKILL, kernel.pid());
    send(kernel, Target::Thread(tid), info)
}

fn tgkill(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let target = thread_of_group(kernel, args)?;
    let info = Info::from_process(args.uint(2), SI_TKILL, kernel.pid());
    send(kernel, target, info)
}
