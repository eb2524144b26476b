//! Processes on a machine without page tables: a child shares its maker's memory.

use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::process::{Birth, Change, Ending, Kin, Question, Selector};
use crate::syscall::{Args, dispatch};
use linux_raw_sys::general as linux;

fn call(kernel: &mut Kernel, number: u32, args: [u64; 6]) -> Result<u64, Errno> {
    let result = dispatch(kernel, number.into(), &Args(args)).cast_signed();
    u64::try_from(result).map_err(|_| Errno(u16::try_from(-result).expect("a small number")))
}

fn child(kernel: &mut Kernel) -> u32 {
    let birth = Birth { shares_memory: true, exit_signal: linux::SIGCHLD, ..Birth::default() };
    let pid = kernel.fork(&birth).expect("there is room");
    kernel.begin_thread(&crate::process::Registers::default());
    pid
}

const ANY: Question = Question {
    selector: Selector::Any,
    kin: Kin::Ordinary,
    at_once: true,
    keep: false,
    ends: true,
    stops: false,
    continues: false,
};

#[test]
fn ids_parents_groups_and_sessions_are_each_processes_own() {
    let (mut kernel, _) = Kernel::for_tests();
    let pid = child(&mut kernel);
    assert_eq!(call(&mut kernel, linux::__NR_getpgid, [pid.into(), 0, 0, 0, 0, 0]), Ok(1));
    assert_eq!(call(&mut kernel, linux::__NR_setpgid, [pid.into(), 0, 0, 0, 0, 0]), Ok(0));
    assert_eq!(call(&mut kernel, linux::__NR_getpgid, [pid.into(), 0, 0, 0, 0, 0]), Ok(pid.into()));
    assert_eq!(call(&mut kernel, linux::__NR_setsid, [0; 6]), Err(Errno::EPERM), "it leads a group");
    kernel.enter_process(pid);
    assert_eq!(call(&mut kernel, linux::__NR_getpid, [0; 6]), Ok(pid.into()));
    assert_eq!(call(&mut kernel, linux::__NR_getppid, [0; 6]), Ok(1));
    assert_eq!(call(&mut kernel, linux::__NR_setsid, [0; 6]), Err(Errno::EPERM));
    assert_eq!(call(&mut kernel, linux::__NR_setpgid, [0, 1, 0, 0, 0, 0]), Ok(0));
    assert_eq!(call(&mut kernel, linux::__NR_setsid, [0; 6]), Ok(pid.into()));
    kernel.enter_process(1);
    assert_eq!(call(&mut kernel, linux::__NR_getsid, [pid.into(), 0, 0, 0, 0, 0]), Ok(pid.into()));
    assert_eq!(call(&mut kernel, linux::__NR_setpgid, [pid.into(), 0, 0, 0, 0, 0]), Err(Errno::EPERM));
}

#[test]
fn descriptors_limits_and_handlers_are_copied_and_then_apart() {
    let (mut kernel, _) = Kernel::for_tests();
    let fd = call(&mut kernel, linux::__NR_eventfd2, [0; 6]).unwrap();
    let pid = child(&mut kernel);
    call(&mut kernel, linux::__NR_close, [fd, 0, 0, 0, 0, 0]).unwrap();
    kernel.process.limits[0] = (5, 5);
    call(&mut kernel, linux::__NR_umask, [0o77, 0, 0, 0, 0, 0]).unwrap();
    kernel.enter_process(pid);
    assert!(kernel.fds.get(fd).is_ok());
    assert_ne!(kernel.process.limits[0], (5, 5));
    assert_eq!(call(&mut kernel, linux::__NR_umask, [0, 0, 0, 0, 0, 0]), Ok(0o22));
    kernel.enter_process(1);
    assert!(kernel.fds.get(fd).is_err());
    assert_eq!(call(&mut kernel, linux::__NR_umask, [0, 0, 0, 0, 0, 0]), Ok(0o77));
}

#[test]
fn who_ends_is_a_zombie_until_asked_about_and_its_children_go_to_the_first() {
    let (mut kernel, _) = Kernel::for_tests();
    assert_eq!(kernel.wait_for_child(&ANY), Err(Errno::ECHILD));
    let pid = child(&mut kernel);
    assert_eq!(kernel.wait_for_child(&ANY), Ok(None));
    kernel.enter_process(pid);
    let orphan = child(&mut kernel);
    kernel.finish_process(3);
    assert_eq!(kernel.pid(), 1, "another one goes on");
    assert_eq!(kernel.processes.get(orphan).map(|record| record.parent), Ok(1));
    let kept = kernel.wait_for_child(&Question { keep: true, ..ANY }).unwrap();
    let (ended, answer) = kept.expect("it has ended");
    assert_eq!(
        (ended, answer.change, answer.change.wait_status()),
        (pid, Change::Ended(Ending::Exited(3)), 0x300)
    );
    assert!(kernel.wait_for_child(&ANY).unwrap().is_some());
    assert_eq!(kernel.wait_for_child(&ANY), Ok(None), "the orphan lives");
    assert_eq!(kernel.wait_for_child(&Question { selector: Selector::Pid(pid), ..ANY }), Err(Errno::ECHILD));
}

#[test]
fn pico_has_memory_for_so_many_and_gives_it_back() {
    let (mut kernel, _) = Kernel::for_tests();
    let mut pids = std::vec::Vec::new();
    let birth = Birth { shares_memory: true, exit_signal: linux::SIGCHLD, ..Birth::default() };
    let refused = loop {
        match kernel.fork(&birth) {
            Ok(pid) => pids.push(pid),
            Err(errno) => break errno,
        }
        kernel.begin_thread(&crate::process::Registers::default());
    };
    assert_eq!(refused, Errno::EAGAIN);
    for pid in &pids {
        kernel.enter_process(*pid);
        kernel.finish_process(0);
    }
    while kernel.wait_for_child(&ANY).is_ok_and(|answer| answer.is_some()) {}
    assert!(kernel.processes.is_alone());
}
