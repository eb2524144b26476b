use super::*;
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::mm::areas::Kind;
use crate::mm::{DATA, Mapping, Placement};
use crate::platform::fake::Fake;
use crate::process::{Info, Registers};
use crate::syscall::{Args, dispatch};
use abi::mailbox::Doorbell;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;
use std::vec::Vec;

const THREAD: u64 =
    (linux::CLONE_VM | linux::CLONE_FS | linux::CLONE_FILES | linux::CLONE_SIGHAND | linux::CLONE_THREAD)
        as u64;

/// A kernel, its machine, and a page of the program's memory.
fn kernel() -> (Kernel, Rc<Fake>, u64) {
    let (mut kernel, fake) = Kernel::for_tests();
    let (placement, kind) = (Placement::Hint(0), Kind::Anonymous);
    let page = kernel.mm.map(Mapping { placement, len: 4096, prot: DATA, kind, file: None });
    (kernel, fake, page.expect("there is room"))
}

fn call(kernel: &mut Kernel, number: u32, args: [u64; 6]) -> Result<u64, Errno> {
    let result = dispatch(kernel, number.into(), &Args(args)).cast_signed();
    u64::try_from(result).map_err(|_| Errno(u16::try_from(-result).expect("a small number")))
}

/// A second thread, which is ready; the first one runs.
fn second(kernel: &mut Kernel) -> u32 {
    let tid = call(kernel, linux::__NR_clone, [THREAD, 0x5000, 0, 0, 0, 0]).expect("room for a thread");
    kernel.begin_thread(&Registers::default());
    u32::try_from(tid).expect("a small number")
}

/// Makes thread `tid` wait, and the first one run again.
fn park(kernel: &mut Kernel, tid: u32, waiting: Waiting) {
    while kernel.threads.take_ready().is_some() {}
    kernel.threads.set_current(tid);
    kernel.threads.set_waiting(waiting);
    kernel.threads.set_current(1);
}

fn state(kernel: &mut Kernel, tid: u32) -> State {
    kernel.threads.find(tid).expect("it lives").state
}

#[test]
fn a_thread_begins_with_the_registers_of_its_maker() {
    let (mut kernel, fake, page) = kernel();
    let flags =
        THREAD | u64::from(linux::CLONE_SETTLS | linux::CLONE_PARENT_SETTID | linux::CLONE_CHILD_CLEARTID);
    let wanted: [u64; 8] = [flags, 0, page + 64, page + 128, 0, 0x7000, 0x1000, 0xfeed];
    kernel.mm.write(page, &wanted).unwrap();
    let mut registers = Registers {
        rax: linux::__NR_clone3.into(),
        rdi: page,
        rsi: 64,
        rbx: 7,
        rsp: 0x9000,
        rip: 0x1234,
        ..Registers::default()
    };
    assert!(!kernel.system_call(&mut registers));
    let tid = u32::try_from(registers.rax).unwrap();
    assert_eq!((tid, kernel.mm.read(page + 128)), (2, Ok(2u32)));
    let expected = Registers { rax: 0, rsp: 0x8000, ..registers };
    assert_eq!(*fake.prepared.borrow(), [expected]);
    let thread = kernel.threads.find(tid).unwrap();
    assert_eq!((thread.context.fs_base, thread.clear_child_tid), (0xfeed, page + 64));
    assert!(fake.ticks.get(), "two threads have to be made to share");
    assert!(kernel.mm.used() >= 4096 * (1 + STACK_PAGES as u64), "its stack is charged to the program");
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let (mut kernel, _, page) = kernel();
    let mut clone = |flags: u64| call(&mut kernel, linux::__NR_clone, [flags, 0, 0, 0, 0, 0]);
    assert_eq!(
        clone(u64::from(linux::CLONE_FILES | linux::SIGCHLD)),
        Err(Errno::EINVAL),
        "shared descriptors"
    );
    assert_eq!(clone(u64::from(linux::CLONE_NEWPID | linux::SIGCHLD)), Err(Errno::EINVAL));
    assert_eq!(clone(THREAD | u64::from(linux::CLONE_PIDFD)), Err(Errno::EINVAL));
    assert_eq!(clone(65), Err(Errno::EINVAL), "no such signal");
    assert_eq!(clone(THREAD | u64::from(linux::CLONE_NEWNS)), Err(Errno::ENOSYS));
    assert_eq!(clone(u64::from(linux::CLONE_THREAD)), Err(Errno::EINVAL));
    assert_eq!(clone(u64::from(linux::CLONE_SIGHAND)), Err(Errno::EINVAL));
    assert_eq!(clone(THREAD & !u64::from(linux::CLONE_FILES)), Err(Errno::ENOSYS));
    assert_eq!(
        call(&mut kernel, linux::__NR_clone, [THREAD | u64::from(linux::CLONE_SETTLS), 0, 0, 0, u64::MAX, 0]),
        Err(Errno::EPERM)
    );
    let mut clone3 = |args: [u64; 11], size: u64| {
        kernel.mm.write(page, &args).unwrap();
        call(&mut kernel, linux::__NR_clone3, [page, size, 0, 0, 0, 0])
    };
    let good = [THREAD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(clone3(good, 56), Err(Errno::EINVAL), "older than any kernel");
    assert_eq!(clone3(good, 5000), Err(Errno::E2BIG));
    assert_eq!(
        clone3([THREAD, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], 64),
        Err(Errno::EINVAL),
        "a stack without a size"
    );
    assert_eq!(clone3([THREAD, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0], 88), Err(Errno::EINVAL), "set_tid");
    assert_eq!(clone3(good, 88), Ok(2));
}

#[test]
fn there_is_a_limit_and_ids_are_not_used_twice() {
    let (mut kernel, _, _) = kernel();
    let mut made = Vec::new();
    let refused = loop {
        match kernel.threads.next_tid(|tid| tid == 5) {
            Ok(tid) => {
                kernel.threads.add(tid, thread(State::Ready));
                made.push(tid);
            }
            Err(errno) => break errno,
        }
    };
    assert_eq!((refused, made.len()), (Errno::EAGAIN, THREADS_MAX - 1));
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), THREADS_MAX - 1);
    assert!(!made.contains(&5), "something else has that id");
}

fn thread(state: State) -> Thread {
    Thread {
        state,
        process: 1,
        seen: 0,
        context: Context::default(),
        signals: crate::process::ThreadSignals::default(),
        name: [0; 16],
        clear_child_tid: 0,
        robust_list: 0,
    }
}

#[test]
fn no_memory_for_a_stack_is_told_and_nothing_is_left_behind() {
    let (mut kernel, _, _) = kernel();
    let mut count = 0;
    let errno = loop {
        match call(&mut kernel, linux::__NR_clone, [THREAD, 0, 0, 0, 0, 0]) {
            Ok(_) => count += 1,
            Err(errno) => break errno,
        }
        kernel.begin_thread(&Registers::default());
    };
    assert_eq!((errno, kernel.threads.count()), (Errno::EAGAIN, count + 1));
}

#[test]
fn who_waits_for_files_is_told_once_of_every_change() {
    let (mut kernel, _, _) = kernel();
    let tid = second(&mut kernel);
    let waiting = Waiting { for_files: true, ..Waiting::default() };
    kernel.threads.wake_due(0);
    park(&mut kernel, tid, waiting);
    kernel.threads.wake_due(0);
    assert_eq!(state(&mut kernel, tid), State::Waiting(waiting), "nothing has changed");
    call(&mut kernel, linux::__NR_getpid, [0; 6]).unwrap();
    kernel.threads.wake_due(0);
    assert_eq!(state(&mut kernel, tid), State::Waiting(waiting), "that changes nothing");
    call(&mut kernel, linux::__NR_eventfd2, [0; 6]).unwrap();
    kernel.threads.wake_due(0);
    assert_eq!(state(&mut kernel, tid), State::Ready);
    park(&mut kernel, tid, Waiting::default());
    call(&mut kernel, linux::__NR_eventfd2, [0; 6]).unwrap();
    kernel.threads.wake_due(0);
    assert_eq!(state(&mut kernel, tid), State::Waiting(Waiting::default()), "it does not wait for files");
}

#[test]
fn a_thread_that_is_alone_keeps_nobody_waiting() {
    let (mut kernel, _, _) = kernel();
    call(&mut kernel, linux::__NR_eventfd2, [0; 6]).unwrap();
    assert!(!kernel.threads.are_others_due(), "nobody has to be told of the change");
    second(&mut kernel);
    assert!(kernel.threads.are_others_due());
}

#[test]
fn what_only_stopped_processes_wait_for_does_not_count() {
    let (mut kernel, _, _) = kernel();
    let tid = second(&mut kernel);
    let waiting = Waiting { until: Some(7), takes_request: true, ..Waiting::default() };
    park(&mut kernel, tid, waiting);
    kernel.threads.freeze(1);
    assert_eq!(kernel.threads.all_wait_for(), (None, false));
    kernel.threads.wake_due(7);
    assert_eq!(kernel.threads.take_ready(), None, "nor does it run when its time has come");
    assert!(kernel.threads.thaw(1) && !kernel.threads.thaw(1));
    assert_eq!(kernel.threads.take_ready(), Some(tid));
    park(&mut kernel, tid, waiting);
    assert_eq!(kernel.threads.all_wait_for(), (Some(7), true));
}

#[test]
fn time_wakes_those_whose_time_has_come() {
    let (mut kernel, _, _) = kernel();
    let tids = [second(&mut kernel), second(&mut kernel), second(&mut kernel)];
    for (tid, until) in tids.into_iter().zip([Some(100), Some(50), None]) {
        park(&mut kernel, tid, Waiting { until, ..Waiting::default() });
    }
    assert_eq!(kernel.threads.all_wait_for(), (Some(50), false));
    kernel.threads.wake_due(49);
    assert_eq!(kernel.threads.take_ready(), None);
    kernel.threads.wake_due(99);
    assert_eq!((kernel.threads.take_ready(), kernel.threads.take_ready()), (Some(tids[1]), None));
    kernel.threads.wake_due(100);
    assert_eq!(kernel.threads.take_ready(), Some(tids[0]));
    kernel.threads.wake_due(u64::MAX);
    assert_eq!(kernel.threads.take_ready(), None, "the third one waits for ever");
}

#[test]
fn with_everybody_idle_the_parent_is_captured_whatever_the_others_wait_for() {
    let (mut kernel, fake, _) = kernel();
    let tid = second(&mut kernel);
    park(&mut kernel, tid, Waiting { until: Some(u64::MAX / 2), ..Waiting::default() });
    fake.requests.borrow_mut().push_back(b"x".to_vec());
    kernel.wait(None, true);
    assert_eq!(fake.doorbells(), [Doorbell::Ready]);
    assert!(kernel.request_taken);
}

#[test]
fn signals_go_to_who_takes_them() {
    let (mut kernel, _, _) = kernel();
    let tid = second(&mut kernel);
    let usr1 = 1 << (linux::SIGUSR1 - 1);
    park(&mut kernel, tid, Waiting::default());
    // To the process: the first thread, unless it blocks it.
    kernel.send_to_process(Info::sent(linux::SIGUSR1, 0)).unwrap();
    assert_eq!(kernel.process.signals.pending(), usr1);
    kernel.process.signals.take().unwrap();
    kernel.process.signals.set_blocked(usr1);
    kernel.send_to_process(Info::sent(linux::SIGUSR1, 0)).unwrap();
    assert_eq!((kernel.process.signals.pending(), state(&mut kernel, tid)), (0, State::Ready));
    // Blocked by all: pending for whoever unblocks it first.
    kernel.threads.find(tid).unwrap().signals =
        crate::process::ThreadSignals::new(usr1, crate::process::AltStack::none());
    kernel.send_to_process(Info::sent(linux::SIGUSR1, 0)).unwrap();
    assert_eq!(kernel.process.signals.pending(), usr1);
    kernel.process.signals.set_blocked(0);
    assert!(kernel.process.signals.take().is_some());
    // To a thread.
    let tgkill = |kernel: &mut Kernel, group: u64, tid: u64, signal: u64| {
        call(kernel, linux::__NR_tgkill, [group, tid, signal, 0, 0, 0])
    };
    park(&mut kernel, tid, Waiting::default());
    assert_eq!(tgkill(&mut kernel, 1, tid.into(), linux::SIGUSR1.into()), Ok(0));
    assert_eq!(state(&mut kernel, tid), State::Waiting(Waiting::default()), "it blocks that signal");
    assert_eq!(tgkill(&mut kernel, 1, tid.into(), linux::SIGUSR2.into()), Ok(0));
    assert_eq!(state(&mut kernel, tid), State::Ready);
    assert_eq!(tgkill(&mut kernel, 1, 99, 0), Err(Errno::ESRCH));
    assert_eq!(tgkill(&mut kernel, 2, tid.into(), 0), Err(Errno::ESRCH));
    assert_eq!(tgkill(&mut kernel, 1, 0, 0), Err(Errno::EINVAL));
    assert_eq!(tgkill(&mut kernel, 1, tid.into(), 65), Err(Errno::EINVAL));
}

#[test]
fn futexes_wake_in_order_and_move_along() {
    let mut futexes = Futexes::default();
    for (tid, bits) in [(2, 1), (3, 2), (4, ANY), (5, ANY)] {
        futexes.add(Waiter { at: (0, 0x100), tid, bits });
    }
    assert_eq!(futexes.take((0, 0x200), ANY), None);
    assert_eq!(futexes.take((0, 0x100), 2), Some(3));
    assert_eq!(futexes.move_to((0, 0x100), (0, 0x200), 2), 2);
    assert_eq!((futexes.take((0, 0x200), ANY), futexes.take((0, 0x100), ANY)), (Some(2), Some(5)));
    assert!(futexes.remove(4) && !futexes.remove(4));
}

#[test]
fn the_second_futex_of_wake_op_changes_as_told() {
    let (mut kernel, _, page) = kernel();
    let encode = |operation: u32, comparison: u32, operand: u32, than: u32| {
        u64::from(operation << 28 | comparison << 24 | (operand & 0xfff) << 12 | than & 0xfff)
    };
    let mut change = |old: i32, encoded: u64| {
        kernel.mm.write(page + 4, &old).unwrap();
        kernel.threads.futexes.add(Waiter { at: (0, page), tid: 50, bits: ANY });
        kernel.threads.futexes.add(Waiter { at: (0, page + 4), tid: 51, bits: ANY });
        let woken = call(&mut kernel, linux::__NR_futex, [page, 5, 1, 1, page + 4, encoded]);
        kernel.threads.futexes.remove(50);
        kernel.threads.futexes.remove(51);
        woken.map(|woken| (woken, kernel.mm.read::<i32>(page + 4).unwrap()))
    };
    assert_eq!(change(3, encode(linux::FUTEX_OP_SET, linux::FUTEX_OP_CMP_EQ, 9, 3)), Ok((2, 9)));
    assert_eq!(change(3, encode(linux::FUTEX_OP_ADD, linux::FUTEX_OP_CMP_NE, 0xfff, 3)), Ok((1, 2)));
    assert_eq!(change(4, encode(linux::FUTEX_OP_OR, linux::FUTEX_OP_CMP_LT, 1, 5)), Ok((2, 5)));
    assert_eq!(change(7, encode(linux::FUTEX_OP_ANDN, linux::FUTEX_OP_CMP_GT, 5, 7)), Ok((1, 2)));
    assert_eq!(change(7, encode(linux::FUTEX_OP_XOR | 8, linux::FUTEX_OP_CMP_LE, 3, 7)), Ok((2, 15)));
    assert_eq!(change(-1, encode(linux::FUTEX_OP_SET, linux::FUTEX_OP_CMP_GE, 0, 0xfff)), Ok((2, 0)));
    assert_eq!(change(0, encode(5, 0, 0, 0)), Err(Errno::ENOSYS));
    assert_eq!(change(0, encode(0, 6, 0, 0)), Err(Errno::ENOSYS));
}

#[test]
fn robust_futexes_of_the_dead_are_marked_however_the_list_looks() {
    let (mut kernel, _, page) = kernel();
    let mut release = |words: &[(u64, u64)]| {
        for at in (0..4096).step_by(8) {
            kernel.mm.write(page + at, &0u64).unwrap();
        }
        words.iter().for_each(|&(at, word)| kernel.mm.write(page + at, &word).unwrap());
        kernel.threads.current().robust_list = page;
        let result = kernel.release_robust_futexes();
        (result, kernel.mm.read::<u32>(page + 0x110).unwrap(), kernel.mm.read::<u32>(page + 0x210).unwrap())
    };
    let waited = u64::from(linux::FUTEX_WAITERS | 1);
    // Two entries, futexes 16 bytes behind them; the second one belongs to somebody else.
    let list =
        [(0, page + 0x100), (8, 16), (0x100, page + 0x200), (0x200, page), (0x110, waited), (0x210, 77)];
    let dead = linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED;
    assert_eq!(release(&list), (Ok(()), dead, 77));
    // Only pending; a list that never ends; one that leads nowhere.
    assert_eq!(
        release(&[(0, page), (8, 16), (16, page + 0x200), (0x210, 1)]),
        (Ok(()), 0, linux::FUTEX_OWNER_DIED)
    );
    assert_eq!(release(&[(0, page + 0x100), (8, 16), (0x100, page + 0x100), (0x110, 1)]).0, Ok(()));
    assert_eq!(release(&[(0, 0xdead_0000), (8, 16)]).0, Err(Errno::EFAULT));
    assert_eq!(release(&[(0, page + 0x100), (8, 17)]).0, Err(Errno::EINVAL));
}
