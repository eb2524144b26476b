//! What pico knows of arguments that name flags, commands and options.

use super::{Known, Rule};
use linux_raw_sys::general as c;
use linux_raw_sys::{ioctl, net, prctl};

const fn flags(number: u32, argument: u32, known: u32) -> Rule {
    Rule { number, argument, known: Known::Flags(known) }
}

const fn values(number: u32, argument: u32, known: &'static [u32]) -> Rule {
    Rule { number, argument, known: Known::Values(u32::MAX, known) }
}

const OPEN: u32 = c::O_ACCMODE
    | c::O_APPEND
    | c::O_NONBLOCK
    | c::O_DSYNC
    | c::O_DIRECT
    | c::O_DIRECTORY
    | c::O_NOFOLLOW
    | c::O_NOATIME
    | c::O_SYNC
    | c::O_PATH
    | c::O_CREAT
    | c::O_EXCL
    | c::O_NOCTTY
    | c::O_TRUNC
    | c::O_LARGEFILE
    | c::O_CLOEXEC
    | c::O_TMPFILE
    | c::FASYNC;
const RESOLVE: u64 = (c::RESOLVE_NO_SYMLINKS | c::RESOLVE_NO_MAGICLINKS | c::RESOLVE_BENEATH) as u64;
const CLONE: u32 = c::CSIGNAL
    | c::CLONE_VM
    | c::CLONE_FS
    | c::CLONE_FILES
    | c::CLONE_SIGHAND
    | c::CLONE_THREAD
    | c::CLONE_VFORK
    | c::CLONE_SYSVSEM
    | c::CLONE_SETTLS
    | c::CLONE_PARENT_SETTID
    | c::CLONE_CHILD_SETTID
    | c::CLONE_CHILD_CLEARTID
    | c::CLONE_DETACHED;
const AT: u32 = c::AT_EMPTY_PATH | c::AT_SYMLINK_NOFOLLOW;
const STATX: u32 = AT | c::AT_NO_AUTOMOUNT | c::AT_STATX_SYNC_TYPE;
const SEND: u32 = net::MSG_DONTWAIT
    | net::MSG_NOSIGNAL
    | net::MSG_MORE
    | net::MSG_EOR
    | net::MSG_CONFIRM
    | net::MSG_DONTROUTE;
const RECEIVE: u32 = net::MSG_PEEK
    | net::MSG_DONTWAIT
    | net::MSG_WAITALL
    | net::MSG_TRUNC
    | net::MSG_NOSIGNAL
    | net::MSG_CMSG_CLOEXEC;
const WAIT: u32 = c::WNOHANG | c::__WNOTHREAD | c::__WCLONE | c::__WALL;
const RWF: u32 = c::RWF_HIPRI | c::RWF_DSYNC | c::RWF_SYNC | c::RWF_NOWAIT | c::RWF_APPEND;
/// `CLOSE_RANGE_UNSHARE` and `CLOSE_RANGE_CLOEXEC`.
const CLOSE_RANGE: u32 = 2 | 4;
const MSG_WAITFORONE: u32 = 0x1_0000;
const NEW: u32 = c::O_NONBLOCK | c::O_CLOEXEC;
const CLOCKS: &[u32] = &[
    c::CLOCK_REALTIME,
    c::CLOCK_MONOTONIC,
    c::CLOCK_PROCESS_CPUTIME_ID,
    c::CLOCK_THREAD_CPUTIME_ID,
    c::CLOCK_MONOTONIC_RAW,
    c::CLOCK_REALTIME_COARSE,
    c::CLOCK_MONOTONIC_COARSE,
    c::CLOCK_BOOTTIME,
    c::CLOCK_REALTIME_ALARM,
    c::CLOCK_BOOTTIME_ALARM,
    c::CLOCK_TAI,
];
const TIMER_CLOCKS: &[u32] = &[
    c::CLOCK_REALTIME,
    c::CLOCK_MONOTONIC,
    c::CLOCK_BOOTTIME,
    c::CLOCK_REALTIME_ALARM,
    c::CLOCK_BOOTTIME_ALARM,
    c::CLOCK_TAI,
];
const FAMILIES: &[u32] = &[net::AF_UNIX, net::AF_INET, net::AF_INET6];
const SOCKET_FAMILIES: &[u32] = &[net::AF_UNIX, net::AF_INET, net::AF_INET6, net::AF_NETLINK];
const TYPES: &[u32] = &[net::SOCK_STREAM, net::SOCK_DGRAM, net::SOCK_SEQPACKET];

/// All there is to know.
pub(super) const RULES: &[Rule] = &[
    flags(c::__NR_open, 1, OPEN & !c::FASYNC),
    flags(c::__NR_openat, 2, OPEN & !c::FASYNC),
    Rule { number: c::__NR_openat2, argument: 2, known: Known::FlagsAt(0, OPEN as u64) },
    Rule { number: c::__NR_openat2, argument: 2, known: Known::FlagsAt(16, RESOLVE) },
    flags(c::__NR_newfstatat, 3, AT | c::AT_NO_AUTOMOUNT),
    flags(c::__NR_statx, 2, STATX),
    flags(c::__NR_faccessat2, 3, AT | c::AT_EACCESS),
    flags(c::__NR_fchownat, 4, AT),
    flags(c::__NR_fchmodat2, 3, AT),
    flags(c::__NR_utimensat, 3, AT),
    flags(c::__NR_linkat, 4, c::AT_SYMLINK_FOLLOW | c::AT_EMPTY_PATH),
    flags(c::__NR_unlinkat, 2, c::AT_REMOVEDIR),
    flags(c::__NR_renameat2, 4, c::RENAME_NOREPLACE | c::RENAME_EXCHANGE),
    flags(c::__NR_execveat, 4, AT),
    flags(c::__NR_fallocate, 1, c::FALLOC_FL_KEEP_SIZE | c::FALLOC_FL_PUNCH_HOLE),
    flags(c::__NR_copy_file_range, 5, 0),
    flags(c::__NR_splice, 5, crate::syscall::splice::FLAGS),
    flags(c::__NR_preadv2, 5, RWF),
    flags(c::__NR_pwritev2, 5, RWF),
    flags(c::__NR_memfd_create, 1, c::MFD_CLOEXEC | c::MFD_ALLOW_SEALING | c::MFD_NOEXEC_SEAL | c::MFD_EXEC),
    flags(c::__NR_close_range, 2, CLOSE_RANGE),
    flags(c::__NR_dup3, 2, c::O_CLOEXEC),
    flags(c::__NR_pipe2, 1, NEW),
    flags(c::__NR_eventfd2, 1, c::EFD_SEMAPHORE | c::EFD_CLOEXEC | c::EFD_NONBLOCK),
    flags(c::__NR_signalfd4, 3, NEW),
    flags(c::__NR_inotify_init1, 0, NEW),
    flags(c::__NR_epoll_create1, 0, c::EPOLL_CLOEXEC),
    flags(c::__NR_timerfd_create, 1, c::TFD_CLOEXEC | c::TFD_NONBLOCK),
    values(c::__NR_timerfd_create, 0, CLOCKS),
    values(c::__NR_timer_create, 0, TIMER_CLOCKS),
    flags(c::__NR_timerfd_settime, 1, c::TFD_TIMER_ABSTIME | c::TFD_TIMER_CANCEL_ON_SET),
    values(c::__NR_clock_gettime, 0, CLOCKS),
    values(c::__NR_clock_getres, 0, CLOCKS),
    values(c::__NR_clock_nanosleep, 0, CLOCKS),
    values(c::__NR_setitimer, 0, &[c::ITIMER_REAL, c::ITIMER_VIRTUAL, c::ITIMER_PROF]),
    flags(c::__NR_getrandom, 2, c::GRND_NONBLOCK | c::GRND_RANDOM | c::GRND_INSECURE),
    values(c::__NR_membarrier, 0, &[0, 1, 8, 16]),
    flags(c::__NR_mmap, 2, c::PROT_READ | c::PROT_WRITE | c::PROT_EXEC),
    flags(
        c::__NR_mmap,
        3,
        c::MAP_TYPE
            | c::MAP_FIXED
            | c::MAP_ANONYMOUS
            | c::MAP_GROWSDOWN
            | c::MAP_DENYWRITE
            | c::MAP_EXECUTABLE
            | c::MAP_LOCKED
            | c::MAP_NORESERVE
            | c::MAP_POPULATE
            | c::MAP_NONBLOCK
            | c::MAP_STACK
            | c::MAP_FIXED_NOREPLACE,
    ),
    flags(c::__NR_mprotect, 2, c::PROT_READ | c::PROT_WRITE | c::PROT_EXEC | c::PROT_GROWSDOWN),
    flags(c::__NR_mremap, 3, c::MREMAP_MAYMOVE | c::MREMAP_FIXED),
    flags(c::__NR_msync, 2, c::MS_ASYNC | c::MS_SYNC | c::MS_INVALIDATE),
    flags(c::__NR_mlockall, 0, c::MCL_CURRENT | c::MCL_FUTURE | c::MCL_ONFAULT),
    flags(c::__NR_mlock2, 2, c::MLOCK_ONFAULT),
    values(
        c::__NR_madvise,
        2,
        &[
            c::MADV_NORMAL,
            c::MADV_RANDOM,
            c::MADV_SEQUENTIAL,
            c::MADV_WILLNEED,
            c::MADV_DONTNEED,
            c::MADV_FREE,
            c::MADV_DONTFORK,
            c::MADV_DOFORK,
            c::MADV_WIPEONFORK,
            c::MADV_KEEPONFORK,
            c::MADV_HUGEPAGE,
            c::MADV_NOHUGEPAGE,
            c::MADV_DONTDUMP,
            c::MADV_DODUMP,
            c::MADV_COLD,
            c::MADV_PAGEOUT,
            c::MADV_POPULATE_READ,
            c::MADV_POPULATE_WRITE,
        ],
    ),
    flags(c::__NR_clone, 0, CLONE),
    Rule {
        number: c::__NR_clone3,
        argument: 0,
        known: Known::FlagsAt(0, CLONE as u64 | c::CLONE_CLEAR_SIGHAND),
    },
    flags(c::__NR_wait4, 2, WAIT | c::WUNTRACED | c::WCONTINUED),
    flags(c::__NR_waitid, 3, WAIT | c::WEXITED | c::WSTOPPED | c::WCONTINUED | c::WNOWAIT),
    values(c::__NR_waitid, 0, &[c::P_ALL, c::P_PID, c::P_PGID]),
    Rule {
        number: c::__NR_futex,
        argument: 1,
        known: Known::Values(
            !(c::FUTEX_PRIVATE_FLAG | c::FUTEX_CLOCK_REALTIME),
            &[
                c::FUTEX_WAIT,
                c::FUTEX_WAKE,
                c::FUTEX_REQUEUE,
                c::FUTEX_CMP_REQUEUE,
                c::FUTEX_WAKE_OP,
                c::FUTEX_WAIT_BITSET,
                c::FUTEX_WAKE_BITSET,
            ],
        ),
    },
    values(
        c::__NR_prctl,
        0,
        &[
            prctl::PR_SET_NAME,
            prctl::PR_GET_NAME,
            prctl::PR_SET_PDEATHSIG,
            prctl::PR_GET_PDEATHSIG,
            prctl::PR_SET_DUMPABLE,
            prctl::PR_GET_DUMPABLE,
            prctl::PR_SET_NO_NEW_PRIVS,
            prctl::PR_GET_NO_NEW_PRIVS,
            prctl::PR_SET_TIMERSLACK,
            prctl::PR_GET_TIMERSLACK,
            prctl::PR_GET_KEEPCAPS,
            prctl::PR_GET_SECCOMP,
            prctl::PR_SET_CHILD_SUBREAPER,
            prctl::PR_GET_CHILD_SUBREAPER,
            prctl::PR_CAPBSET_READ,
        ],
    ),
    values(c::__NR_arch_prctl, 0, &[0x1001, 0x1002, 0x1003, 0x1004]),
    values(
        c::__NR_fcntl,
        1,
        &[
            c::F_DUPFD,
            c::F_DUPFD_CLOEXEC,
            c::F_GETFD,
            c::F_SETFD,
            c::F_GETFL,
            c::F_SETFL,
            c::F_GETLK,
            c::F_SETLK,
            c::F_SETLKW,
            c::F_OFD_GETLK,
            c::F_OFD_SETLK,
            c::F_OFD_SETLKW,
            c::F_GETOWN,
            c::F_GETSIG,
            c::F_GETPIPE_SZ,
            c::F_SETPIPE_SZ,
        ],
    ),
    values(
        c::__NR_ioctl,
        1,
        &[
            ioctl::FIOCLEX,
            ioctl::FIONCLEX,
            ioctl::FIONBIO,
            ioctl::FIONREAD,
            ioctl::TCGETS,
            ioctl::TIOCGWINSZ,
            ioctl::TIOCGPGRP,
            ioctl::TIOCSPGRP,
            ioctl::TIOCGSID,
            ioctl::TCGETS2,
            ioctl::TCSETS,
            ioctl::TCSETSW,
            ioctl::TCSETSF,
            ioctl::TCSETS2,
            ioctl::TCSETSW2,
            ioctl::TCSETSF2,
            ioctl::TIOCSWINSZ,
            ioctl::TIOCSCTTY,
            ioctl::TIOCNOTTY,
            ioctl::TIOCGPTN,
            ioctl::TIOCSPTLCK,
            ioctl::TIOCGPTLCK,
            ioctl::TIOCGPTPEER,
            ioctl::TIOCPKT,
            ioctl::TIOCGPKT,
            ioctl::TIOCGETD,
            ioctl::TIOCOUTQ,
            ioctl::TIOCSTI,
            ioctl::TCFLSH,
            ioctl::TCXONC,
            ioctl::TCSBRK,
            ioctl::TCSBRKP,
        ],
    ),
    values(c::__NR_socket, 0, SOCKET_FAMILIES),
    Rule { number: c::__NR_socket, argument: 1, known: Known::Values(!NEW, TYPES) },
    values(c::__NR_socketpair, 0, FAMILIES),
    Rule { number: c::__NR_socketpair, argument: 1, known: Known::Values(!NEW, TYPES) },
    flags(c::__NR_accept4, 3, NEW),
    flags(c::__NR_sendto, 3, SEND),
    flags(c::__NR_sendmsg, 2, SEND),
    flags(c::__NR_sendmmsg, 3, SEND),
    flags(c::__NR_recvfrom, 3, RECEIVE),
    flags(c::__NR_recvmsg, 2, RECEIVE),
    flags(c::__NR_recvmmsg, 3, RECEIVE | MSG_WAITFORONE),
    Rule { number: c::__NR_setsockopt, argument: 1, known: Known::Option },
    Rule { number: c::__NR_getsockopt, argument: 1, known: Known::Option },
];
