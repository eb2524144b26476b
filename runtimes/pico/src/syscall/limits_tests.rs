//! What there can be so many of, at the limit and behind it.

use crate::errno::Errno;
use crate::file::FD_MAX;
use crate::fs::rig::Rig;
use crate::poll::epoll::WATCHES_MAX;
use crate::process::GROUPS_MAX;
use crate::shm::SEGMENTS_MAX;
use linux_raw_sys::general as c;
use std::vec::Vec;

fn refused(errno: Errno) -> i64 {
    errno.as_return_value().cast_signed()
}

/// The result of a call that succeeds.
#[track_caller]
fn made(result: i64) -> u64 {
    u64::try_from(result).expect("it succeeds")
}

#[test]
fn segments_of_shared_memory() {
    const IPC_RMID: u64 = 0;
    const SHM_HUGETLB: u64 = 0o4000;
    let mut rig = Rig::new();
    let huge = rig.call(c::__NR_shmget, &[0, 100, SHM_HUGETLB | 0o600]);
    assert_eq!(huge, refused(Errno::ENOMEM), "there are no huge pages");
    let get = |rig: &mut Rig| rig.call(c::__NR_shmget, &[0, 100, 0o600]);
    let ids: Vec<u64> = (0..SEGMENTS_MAX).map(|_| made(get(&mut rig))).collect();
    assert_eq!(get(&mut rig), refused(Errno::ENOSPC));
    for id in [ids[7], ids[200]] {
        assert_eq!(rig.call(c::__NR_shmctl, &[id, IPC_RMID, 0]), 0);
        assert!(!ids.contains(&made(get(&mut rig))), "a number is not used again at once");
    }
    assert_eq!(get(&mut rig), refused(Errno::ENOSPC));
}

#[test]
fn groups_of_a_process() {
    let mut rig = Rig::new();
    let (most, buffer) = (GROUPS_MAX as u64, rig.buffer);
    assert_eq!(rig.read_all("/proc/sys/kernel/ngroups_max"), Ok(std::format!("{most}\n").into_bytes()));
    rig.bytes(4 * GROUPS_MAX + 4).fill(1);
    assert_eq!(rig.call(c::__NR_setgroups, &[most, buffer]), 0);
    assert_eq!(rig.call(c::__NR_setgroups, &[most + 1, buffer]), refused(Errno::EINVAL));
    assert_eq!(rig.call(c::__NR_getgroups, &[0, 0]), most.cast_signed());
    assert_eq!(rig.call(c::__NR_getgroups, &[most - 1, buffer]), refused(Errno::EINVAL));
    assert_eq!(rig.call(c::__NR_getgroups, &[most, buffer]), most.cast_signed());
}

#[test]
fn descriptors_of_a_process() {
    let mut rig = Rig::new();
    let file = rig.open("/dev/null", c::O_RDWR).cast_unsigned();
    let mut last = file;
    while let Ok(fd) = u64::try_from(rig.call(c::__NR_dup, &[file])) {
        last = fd;
    }
    assert_eq!(last, FD_MAX as u64 - 1);
    let buffer = rig.buffer;
    let full = refused(Errno::EMFILE);
    assert_eq!(rig.open("/dev/null", c::O_RDWR), full);
    let makers: [(u32, &[u64]); 9] = [
        (c::__NR_pipe, &[buffer]),
        (c::__NR_eventfd, &[0]),
        (c::__NR_epoll_create, &[1]),
        (c::__NR_inotify_init, &[]),
        (c::__NR_timerfd_create, &[1, 0]),
        (c::__NR_signalfd4, &[u64::MAX, buffer, 8, 0]),
        (c::__NR_socket, &[1, 1, 0]),
        (c::__NR_fcntl, &[file, c::F_DUPFD.into(), 0]),
        (c::__NR_pidfd_open, &[1, 0]),
    ];
    for (number, args) in makers {
        assert_eq!(rig.call(number, args), full, "{number}");
    }
    assert_eq!(rig.call(c::__NR_close, &[last]), 0);
    assert_eq!(rig.call(c::__NR_pipe, &[buffer]), full, "one is not enough");
    assert_eq!(
        rig.call(c::__NR_eventfd, &[0]),
        last.cast_signed(),
        "a pipe that was not made leaves nothing"
    );
    assert_eq!(rig.call(c::__NR_dup2, &[file, FD_MAX as u64]), refused(Errno::EBADF));
}

#[test]
fn files_in_sets_of_epoll() {
    let mut rig = Rig::new();
    let file = made(rig.call(c::__NR_eventfd, &[0]));
    let files: Vec<u64> = (0..900).map(|_| made(rig.call(c::__NR_dup, &[file]))).collect();
    let buffer = rig.buffer;
    let add = |rig: &mut Rig, set, fd| rig.call(c::__NR_epoll_ctl, &[set, 1, fd, buffer]);
    let mut added = 0;
    let last = loop {
        let set = made(rig.call(c::__NR_epoll_create, &[1]));
        let here = files.iter().take_while(|&&fd| add(&mut rig, set, fd) == 0).count();
        added += here;
        if here < files.len() {
            assert_eq!(add(&mut rig, set, files[here]), refused(Errno::ENOSPC));
            break set;
        }
    };
    assert_eq!(added, WATCHES_MAX);
    assert_eq!(rig.call(c::__NR_epoll_ctl, &[last, 2, files[0], buffer]), 0);
    assert_eq!(add(&mut rig, last, files[0]), 0, "what was taken out makes room");
}

#[test]
fn bytes_of_arguments_of_a_program() {
    let mut rig = Rig::new();
    assert_eq!(rig.write_all("/tmp/p", b"text"), 4);
    assert_eq!(rig.on(c::__NR_chmod, "/tmp/p", &[0o755]), 0);
    let text = rig.buffer + 4096;
    let with = |rig: &mut Rig, len: usize, count: usize| {
        let list: Vec<u8> =
            (0..=count).flat_map(|index| if index < count { text } else { 0 }.to_ne_bytes()).collect();
        rig.bytes(list.len()).copy_from_slice(&list);
        rig.bytes(4096 + len + 1)[4096..].fill(b'a');
        rig.bytes(4096 + len + 1)[4096 + len] = 0;
        let buffer = rig.buffer;
        rig.on(c::__NR_execve, "/tmp/p", &[buffer, 0])
    };
    let (too_long, no_program) = (refused(Errno::E2BIG), refused(Errno::ENOEXEC));
    // A quarter of the stack; each string takes its end and its address, too.
    let room = usize::try_from(rig.kernel.mm.stack_size() / 4).unwrap();
    assert_eq!(with(&mut rig, room - 9, 1), no_program);
    assert_eq!(with(&mut rig, room - 8, 1), too_long);
    assert_eq!(with(&mut rig, room / 8 - 9, 8), no_program);
    assert_eq!(with(&mut rig, room / 8 - 9, 9), too_long, "all together");
}
