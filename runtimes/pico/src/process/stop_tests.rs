//! Stopping and continuing, on a machine where whoever switches goes on at once in the name of the other thread.

use super::{Birth, Change, FIRST, Info, Kin, Question, Registers, Selector};
use crate::kernel::Kernel;
use linux_raw_sys::general as linux;

const QUESTION: Question = Question {
    selector: Selector::Any,
    kin: Kin::All,
    at_once: true,
    keep: false,
    ends: true,
    stops: true,
    continues: true,
};

fn child(kernel: &mut Kernel) -> u32 {
    let birth = Birth { shares_memory: true, exit_signal: linux::SIGCHLD, ..Birth::default() };
    let pid = kernel.fork(&birth).expect("there is room");
    kernel.begin_thread(&Registers::default());
    pid
}

/// A kernel with a child in a group of its own, which has been told to stop and has: the first process goes on.
fn stopped() -> (Kernel, u32) {
    let (mut kernel, _) = Kernel::for_tests();
    let pid = child(&mut kernel);
    kernel.processes.get_mut(pid).unwrap().group = pid;
    kernel.yield_now();
    assert_eq!((kernel.pid(), kernel.threads.tid()), (pid, pid), "it runs");
    kernel.send_to(pid, Info::sent(linux::SIGTSTP, 0)).unwrap();
    assert!(!kernel.is_interrupted(), "there is nothing but the stop");
    assert_eq!(kernel.pid(), FIRST, "another one goes on");
    (kernel, pid)
}

fn news(kernel: &mut Kernel) -> Option<Change> {
    kernel.wait_for_child(&QUESTION).expect("there is a child").map(|(_, news)| news.change)
}

#[test]
fn who_is_stopped_does_not_run_until_continued_and_the_parent_hears_of_both_once() {
    let (mut kernel, pid) = stopped();
    kernel.yield_now();
    assert_eq!(kernel.pid(), FIRST, "there is nobody else");
    assert_eq!(news(&mut kernel), Some(Change::Stopped(linux::SIGTSTP)));
    assert_eq!(news(&mut kernel), None);
    kernel.send_to(pid, Info::sent(linux::SIGTERM, 0)).unwrap();
    kernel.yield_now();
    assert_eq!(kernel.pid(), FIRST, "not even to end");
    kernel.send_to(pid, Info::sent(linux::SIGCONT, 0)).unwrap();
    assert_eq!(news(&mut kernel), Some(Change::Continued));
    kernel.send_to(pid, Info::sent(linux::SIGCONT, 0)).unwrap();
    assert_eq!(news(&mut kernel), None, "it was not stopped");
    kernel.yield_now();
    assert_eq!(kernel.pid(), pid);
    assert!(kernel.is_interrupted(), "SIGTERM has waited");
    assert_eq!(Change::Stopped(20).wait_status(), 0x147f);
    assert_eq!(Change::Continued.wait_status(), 0xffff);
}

#[test]
fn a_kill_reaches_who_is_stopped_and_the_stop_is_no_news_any_more() {
    let (mut kernel, pid) = stopped();
    kernel.send_to(pid, Info::sent(linux::SIGKILL, 0)).unwrap();
    assert_eq!(news(&mut kernel), None);
    kernel.yield_now();
    assert_eq!(kernel.pid(), pid);
    assert!(kernel.is_interrupted());
}

#[test]
fn a_terminal_stops_nobody_whose_group_is_orphaned_and_stops_and_continuations_undo_each_other() {
    let (mut kernel, fake) = Kernel::for_tests();
    kernel.send_to(FIRST, Info::sent(linux::SIGTSTP, 0)).unwrap();
    assert!(!kernel.is_interrupted(), "the first process's parent is outside");
    assert!(!kernel.threads.is_frozen(FIRST) && fake.doorbells().is_empty());
    kernel.process.signals.set_blocked(u64::MAX);
    let bit = |signal: u32| 1u64 << (signal - 1);
    for (sent, pending) in [
        (linux::SIGTTIN, bit(linux::SIGTTIN)),
        (linux::SIGTTOU, bit(linux::SIGTTIN) | bit(linux::SIGTTOU)),
        (linux::SIGCONT, bit(linux::SIGCONT)),
        (linux::SIGTSTP, bit(linux::SIGTSTP)),
    ] {
        kernel.send_to(FIRST, Info::sent(sent, 0)).unwrap();
        assert_eq!(kernel.process.signals.pending(), pending, "after {sent}");
    }
}

#[test]
fn stopped_processes_that_nobody_is_left_to_continue_are_hung_up() {
    let (mut kernel, pid) = stopped();
    // Its parent, which is to end, is in another session than the first process.
    let leader = child(&mut kernel);
    for (member, group, parent) in [(leader, leader, FIRST), (pid, pid, leader)] {
        let record = kernel.processes.get_mut(member).unwrap();
        (record.group, record.session, record.parent) = (group, leader, parent);
    }
    assert_eq!(kernel.endangered_groups(leader), [pid]);
    kernel.yield_now();
    assert_eq!(kernel.pid(), leader);
    kernel.finish_process(0);
    assert!(!kernel.threads.is_frozen(pid));
    kernel.process.signals.own = core::mem::take(&mut kernel.threads.find(pid).unwrap().signals);
    assert_eq!(kernel.process.signals.pending(), 1 << (linux::SIGHUP - 1), "SIGCONT has done what it does");
}
