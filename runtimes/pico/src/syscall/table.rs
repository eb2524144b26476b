//! The table of system calls: assembled at compile time, looked up by number, and the source of the documentation.

use super::refused::refusal;
use super::scarce::is_refused;
use super::{Args, Entry, FAMILIES, Support};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// First number that is certainly not a system call.
const LIMIT: usize = 512;

type Handler = fn(&mut Kernel, &Args) -> Result<u64>;

const fn assemble() -> [Option<Handler>; LIMIT] {
    let mut table = [None; LIMIT];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let entry = &FAMILIES[family][row];
            let number = entry.number as usize;
            assert!(table[number].is_none(), "a system call is listed twice");
            table[number] = Some(entry.handler);
            row += 1;
        }
        family += 1;
    }
    table
}

static TABLE: [Option<Handler>; LIMIT] = assemble();

/// Serves one system call and returns what goes into `rax`.
pub fn dispatch(kernel: &mut Kernel, number: u64, args: &Args) -> u64 {
    let handler = usize::try_from(number).ok().and_then(|number| TABLE.get(number)).copied().flatten();
    let result = match handler {
        Some(_) if is_refused(kernel, number) => Err(Errno::ENOMEM),
        Some(handler) => handler(kernel, args),
        None => Err(Errno::ENOSYS),
    };
    kernel.settle();
    kernel.settle_watches();
    if !is_quiet(number) {
        kernel.threads.note_change();
    }
    match result {
        Ok(value) => value,
        Err(errno) => {
            note_refusal(kernel, number, args, errno);
            errno.as_return_value()
        }
    }
}

/// Whether a system call changes nothing that who waits for files could wait for. It is enough to know the frequent ones.
fn is_quiet(number: u64) -> bool {
    u32::try_from(number).is_ok_and(|number| {
        matches!(
            number,
            linux::__NR_futex
                | linux::__NR_sched_yield
                | linux::__NR_clock_gettime
                | linux::__NR_gettimeofday
                | linux::__NR_time
                | linux::__NR_getcpu
                | linux::__NR_getpid
                | linux::__NR_gettid
                | linux::__NR_getrandom
                | linux::__NR_nanosleep
                | linux::__NR_clock_nanosleep
                | linux::__NR_mmap
                | linux::__NR_munmap
                | linux::__NR_mprotect
                | linux::__NR_madvise
                | linux::__NR_brk
                | linux::__NR_rt_sigprocmask
                | linux::__NR_rt_sigaction
                | linux::__NR_rt_sigreturn
                | linux::__NR_sigaltstack
        )
    })
}

/// What the host wants to know about calls that failed: what pico lacks, and refused memory.
#[cold]
fn note_refusal(kernel: &mut Kernel, number: u64, args: &Args, errno: Errno) {
    if let Some(what) = refusal(kernel, number, args, errno) {
        kernel.platform.count_refusal(&what);
    }
    if kernel.mm.take_refused() {
        kernel.platform.memory_refused();
    }
}

/// All rows in the order of their numbers.
pub fn entries() -> Vec<&'static Entry> {
    let mut rows: Vec<&Entry> = FAMILIES.iter().copied().flatten().collect();
    rows.sort_by_key(|entry| entry.number);
    rows
}

/// The compatibility page, `docs/SYSCALLS.md`.
pub fn markdown() -> String {
    let rows = entries();
    let partial = rows.iter().filter(|entry| entry.support != Support::Full).count();
    let mut page = format!(
        "# System calls\n\n\
         Generated from the table in `runtimes/pico/src/syscall` by\n\
         `cargo run -p pico --example syscalls-md > docs/SYSCALLS.md`; a test keeps it true.\n\n\
         pico serves {} system calls of Linux x86-64, {} of them with the stated difference. \"Full\" means: as Linux\n\
         does it. Every other number is answered with `ENOSYS`, and a flag, command or option that is not known with the\n\
         error Linux gives for one. Both are counted by name; `spore describe NAME` and `spore run --stats FILE` show the\n\
         counts.\n\n\
         | number | name | support |\n|---:|---|---|\n",
        rows.len(),
        partial
    );
    for entry in rows {
        let support = match entry.support {
            Support::Full => "full",
            Support::Partial(note) => note,
        };
        page.push_str(&format!("| {} | `{}` | {support} |\n", entry.number, entry.name));
    }
    page
}
