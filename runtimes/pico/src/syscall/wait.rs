//! Waiting for children: wait4(2), waitid(2).

use super::path::open_arg;
use super::time::timeval;
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::{Info, Kin, News, Question, Selector};
use linux_raw_sys::general as linux;

const RESOURCES: Support = Support::Partial("of resources, only CPU time");

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: linux::__NR_wait4, name: "wait4", support: RESOURCES, handler: wait4 },
    Entry { number: linux::__NR_waitid, name: "waitid", support: RESOURCES, handler: waitid },
];

/// Options both calls know: `__WNOTHREAD` makes no difference here.
const COMMON: u32 = linux::WNOHANG | linux::__WNOTHREAD | linux::__WCLONE | linux::__WALL;

fn kin(options: u32) -> Kin {
    if options & linux::__WALL != 0 {
        Kin::All
    } else if options & linux::__WCLONE != 0 {
        Kin::Clones
    } else {
        Kin::Ordinary
    }
}

fn wait4(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let options = args.uint(2);
    if options & !(COMMON | linux::WUNTRACED | linux::WCONTINUED) != 0 {
        return Err(Errno::EINVAL);
    }
    let selector = match args.int(0) {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Selector::Any,
        0 => Selector::Group(kernel.processes.own().group),
        pid if pid < 0 => Selector::Group(pid.unsigned_abs()),
        pid => Selector::Pid(pid.unsigned_abs()),
    };
    let at_once = options & linux::WNOHANG != 0;
    let question = Question {
        selector,
        kin: kin(options),
        at_once,
        keep: false,
        ends: true,
        stops: options & linux::WUNTRACED != 0,
        continues: options & linux::WCONTINUED != 0,
    };
    let Some((pid, news)) = kernel.wait_for_child(&question)? else { return Ok(0) };
    if args.raw(1) != 0 {
        kernel.mm.write(args.raw(1), &news.change.wait_status())?;
    }
    write_usage(kernel, args.raw(3), &news)?;
    Ok(pid.into())
}

/// What the child used, if the program wants to know.
fn write_usage(kernel: &Kernel, at: u64, news: &News) -> Result<()> {
    if at == 0 {
        return Ok(());
    }
    kernel.mm.put(at, &super::time::usage(timeval(news.busy), 0))
}

fn waitid(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const KINDS: u32 = linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED;
    let options = args.uint(3);
    if options & !(COMMON | KINDS | linux::WNOWAIT) != 0 || options & KINDS == 0 {
        return Err(Errno::EINVAL);
    }
    let id = u32::try_from(args.int(1));
    let mut at_once = options & linux::WNOHANG != 0;
    let mut is_refused = false;
    let selector = match (args.uint(0), id) {
        (linux::P_ALL, _) => Selector::Any,
        (linux::P_PID, Ok(pid)) if pid > 0 => Selector::Pid(pid),
        (linux::P_PGID, Ok(0)) => Selector::Group(kernel.processes.own().group),
        (linux::P_PGID, Ok(group)) => Selector::Group(group),
        (linux::P_PIDFD, Ok(_)) => {
            let open = open_arg(kernel, args, 1)?;
            is_refused = !at_once && open.flags.get() & linux::O_NONBLOCK != 0;
            at_once |= is_refused;
            match kernel.process_of(&open) {
                Err(Errno::ESRCH) => return Err(Errno::ECHILD),
                process => Selector::Pid(process?),
            }
        }
        _ => return Err(Errno::EINVAL),
    };
    let question = Question {
        selector,
        kin: kin(options),
        at_once,
        keep: options & linux::WNOWAIT != 0,
        ends: options & linux::WEXITED != 0,
        stops: options & linux::WSTOPPED != 0,
        continues: options & linux::WCONTINUED != 0,
    };
    let mut answer = kernel.wait_for_child(&question);
    if is_refused && answer == Ok(None) {
        answer = Err(Errno::EAGAIN);
    }
    if let Ok(Some((_, news))) = &answer {
        write_usage(kernel, args.raw(4), news)?;
    }
    if args.raw(2) != 0 {
        // Zeros if there is nothing to tell, even if that is an error.
        let told = answer.ok().flatten().map_or([0; 4], |(pid, news)| {
            let info = Info::of_child(linux::SIGCHLD, pid, news);
            [u64::from(info.signal), u64::from(info.code.cast_unsigned()), info.fields[0], info.fields[1]]
        });
        kernel.mm.write(args.raw(2), &told)?;
    }
    answer.map(|_| 0)
}
