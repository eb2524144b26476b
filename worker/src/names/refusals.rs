//! Names of what was refused. The guest gives numbers; every word here is from our own tables.

use super::system_call;
use super::tables::{self as known, Table};
use abi::refusal::{Kind, Refusal};
use linux_raw_sys::general as c;
use linux_raw_sys::net;
use std::fmt::Write;

/// Name of what has no name of its own: it found no room, or the guest wrote nonsense.
pub(crate) const OTHERS: &str = "others";

/// What was refused: `ptrace`, `prctl PR_SET_SECCOMP`, `clone CLONE_NEWNS`, `setsockopt SOL_SOCKET/SO_MARK`.
pub(crate) fn refusal(refusal: &Refusal) -> String {
    let call = || system_call(refusal.number);
    let value = refusal.value;
    match Kind::from_u32(refusal.kind) {
        None | Some(Kind::Others) => OTHERS.to_owned(),
        Some(Kind::Call) => call(),
        Some(Kind::Flags) => {
            format!("{} {}", call(), flags(flags_of(refusal.number, refusal.argument), value))
        }
        Some(Kind::Value) if is_option(refusal.number) => format!("{} {}", call(), option(value)),
        Some(Kind::Value) => {
            format!("{} {}", call(), name(values_of(refusal.number, refusal.argument), value))
        }
    }
}

fn is_option(number: u32) -> bool {
    matches!(number, c::__NR_setsockopt | c::__NR_getsockopt)
}

/// The name of a value, or its number.
fn name(table: Table, value: u64) -> String {
    let found = table.iter().find(|(known, _)| *known == value);
    found.map_or_else(|| format!("{value:#x}"), |(_, name)| (*name).to_owned())
}

/// The names of flags, then the number of what has none.
fn flags(table: Table, mut value: u64) -> String {
    let mut text = String::new();
    for (bits, name) in table {
        if *bits != 0 && value & bits == *bits {
            value &= !bits;
            let separator = if text.is_empty() { "" } else { "|" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{name}");
        }
    }
    match (value, text.is_empty()) {
        (0, _) => text,
        (rest, true) => format!("{rest:#x}"),
        (rest, false) => format!("{text}|{rest:#x}"),
    }
}

/// Level and name of a socket's option.
fn option(value: u64) -> String {
    let (level, option) = (value >> 32, value & u64::from(u32::MAX));
    let options = match u32::try_from(level) {
        Ok(net::SOL_SOCKET) => known::SOCKET,
        Ok(net::SOL_TCP) => known::TCP,
        Ok(net::SOL_IP) => known::IP,
        Ok(net::SOL_IPV6) => known::IPV6,
        _ => &[],
    };
    format!("{}/{}", name(known::LEVEL, level), name(options, option))
}

/// Flags in an argument of a system call.
fn flags_of(number: u32, argument: u32) -> Table {
    match (number, argument) {
        (c::__NR_mmap, 2) => known::PROTECTION,
        (c::__NR_openat2, 0x1002) => known::RESOLVE,
        (
            c::__NR_open
            | c::__NR_openat
            | c::__NR_openat2
            | c::__NR_dup3
            | c::__NR_pipe2
            | c::__NR_signalfd4
            | c::__NR_eventfd2
            | c::__NR_epoll_create1
            | c::__NR_timerfd_create
            | c::__NR_accept4
            | c::__NR_inotify_init1,
            _,
        ) => known::OPEN,
        (
            c::__NR_newfstatat
            | c::__NR_statx
            | c::__NR_faccessat2
            | c::__NR_fchownat
            | c::__NR_fchmodat2
            | c::__NR_utimensat
            | c::__NR_linkat
            | c::__NR_unlinkat
            | c::__NR_execveat,
            _,
        ) => known::AT,
        (c::__NR_renameat2, _) => known::RENAME,
        (c::__NR_fallocate, _) => known::FALLOCATE,
        (c::__NR_preadv2 | c::__NR_pwritev2, _) => known::READ_WRITE,
        (c::__NR_memfd_create, _) => known::MEMFD,
        (c::__NR_mprotect, _) => known::PROTECTION,
        (c::__NR_mmap, _) => known::MAPPING,
        (c::__NR_mremap, _) => known::REMAP,
        (c::__NR_clone | c::__NR_clone3, _) => known::CLONE,
        (c::__NR_wait4 | c::__NR_waitid, _) => known::WAIT,
        (c::__NR_inotify_add_watch, _) => known::WATCH,
        (
            c::__NR_sendto
            | c::__NR_sendmsg
            | c::__NR_sendmmsg
            | c::__NR_recvfrom
            | c::__NR_recvmsg
            | c::__NR_recvmmsg,
            _,
        ) => known::MESSAGE,
        _ => &[],
    }
}

/// Values of an argument of a system call.
fn values_of(number: u32, argument: u32) -> Table {
    match (number, argument) {
        (
            c::__NR_timerfd_create | c::__NR_clock_gettime | c::__NR_clock_getres | c::__NR_clock_nanosleep,
            0,
        ) => known::CLOCK,
        (c::__NR_setitimer, _) => known::TIMER,
        (c::__NR_madvise, _) => known::ADVICE,
        (c::__NR_waitid, _) => known::WHOSE,
        (c::__NR_futex, _) => known::FUTEX,
        (c::__NR_prctl, _) => known::PROCESS,
        (c::__NR_fcntl, _) => known::DESCRIPTOR,
        (c::__NR_ioctl, _) => known::DEVICE,
        (c::__NR_socket | c::__NR_socketpair, 0) => known::FAMILY,
        (c::__NR_socket | c::__NR_socketpair, _) => known::TYPE,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(number: u32, argument: u32, value: u64) -> String {
        refusal(&Refusal::new(Kind::Flags, number, argument, value))
    }

    fn value(number: u32, argument: u32, value: u64) -> String {
        refusal(&Refusal::new(Kind::Value, number, argument, value))
    }

    #[test]
    fn what_has_a_name_is_named() {
        assert_eq!(refusal(&Refusal::new(Kind::Call, 101, 0, 0)), "ptrace");
        assert_eq!(flag(c::__NR_openat2, 2, 0x2000), "openat2 FASYNC");
        assert_eq!(flag(c::__NR_openat2, 0x1002, 0x10), "openat2 RESOLVE_IN_ROOT");
        assert_eq!(flag(c::__NR_clone, 0, 0x2002_0000), "clone CLONE_NEWNS|CLONE_NEWPID");
        assert_eq!(flag(c::__NR_mmap, 3, 0x40000), "mmap MAP_HUGETLB");
        assert_eq!(value(c::__NR_prctl, 0, 22), "prctl PR_SET_SECCOMP");
        assert_eq!(value(c::__NR_ioctl, 1, 0x5403), "ioctl TCSETSW");
        assert_eq!(value(c::__NR_socket, 0, 16), "socket AF_NETLINK");
        assert_eq!(value(c::__NR_socket, 1, 3), "socket SOCK_RAW");
        assert_eq!(value(c::__NR_madvise, 2, 18), "madvise MADV_WIPEONFORK");
        assert_eq!(value(c::__NR_setsockopt, 1, 1 << 32 | 46), "setsockopt SOL_SOCKET/SO_BUSY_POLL");
        assert_eq!(value(c::__NR_getsockopt, 1, 6 << 32 | 11), "getsockopt SOL_TCP/TCP_INFO");
    }

    #[test]
    fn what_has_none_is_a_number() {
        assert_eq!(flag(c::__NR_pipe2, 1, 0x8000_4000), "pipe2 O_DIRECT|0x80000000");
        assert_eq!(flag(c::__NR_copy_file_range, 5, 1), "copy_file_range 0x1");
        assert_eq!(flag(c::__NR_read, 9, 0), "read ");
        assert_eq!(value(c::__NR_ioctl, 1, u64::MAX), "ioctl 0xffffffffffffffff");
        assert_eq!(value(c::__NR_setsockopt, 1, 0x1234 << 32 | 5), "setsockopt 0x1234/0x5");
        assert_eq!(value(9999, 0, 1), "syscall_9999 0x1");
    }

    #[test]
    fn nonsense_is_others() {
        assert_eq!(refusal(&Refusal::new(Kind::Others, 5, 5, 5)), OTHERS);
        assert_eq!(refusal(&Refusal { kind: 77, ..Refusal::new(Kind::Call, 1, 0, 0) }), OTHERS);
    }
}
