//! What happens when a page cannot be had: an error with the reason, for those that need it, and never a hang.

use crate::fixture::{FOREVER, answer, request, run};
use crate::rig::{Rig, exists, expected, load, until};
use abi::layout::{KERNEL_SIZE, PAGE};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use vmm::Exit;

const FAR: u64 = 1000;

fn reason(exit: Exit) -> String {
    match exit {
        Exit::PageLost(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unreadable_chunk_fails_its_readers_and_is_tried_again() {
    let rig = Rig::new(1);
    let chunk = rig.chunk(FAR);
    rig.source.broken.lock().unwrap().push(chunk);
    let text = reason(rig.end_of(FAR));
    assert!(text.contains("could not be had") && text.contains("Input/output error"), "{text}");
    assert!(!exists(rig.lazy.memory.as_fd(), KERNEL_SIZE / PAGE + FAR), "no zeros for others");
    assert_eq!(rig.load(FAR + 40), expected(FAR + 40), "others go on");
    rig.source.broken.lock().unwrap().clear();
    assert_eq!(rig.load(FAR), expected(FAR), "the storage has recovered");
    assert_eq!(rig.source.reads_of(chunk), 2);
}

#[test]
fn after_some_attempts_the_error_comes_at_once() {
    let rig = Rig::new(1);
    let chunk = rig.chunk(FAR);
    rig.source.broken.lock().unwrap().push(chunk);
    for _ in 0..6 {
        reason(rig.end_of(FAR));
    }
    assert_eq!(rig.source.reads_of(chunk), 3);
    assert_eq!(rig.pager.counters().failures, 3);
}

#[test]
fn a_damaged_page_is_never_shown() {
    let rig = Rig::new(1);
    let chunk = rig.chunk(FAR);
    rig.source.file.write_all_at(&[0xff], rig.source.offset(chunk) + 100).unwrap();
    let text = reason(rig.end_of(FAR));
    assert!(text.contains("it is damaged"), "{text}");
}

#[test]
fn damage_in_a_batch_harms_only_its_chunk() {
    let rig = Rig::new(1);
    let chunk = rig.chunk(FAR);
    rig.source.file.write_all_at(&[0xff], rig.source.offset(chunk) + 100).unwrap();
    rig.source.batches.open(usize::MAX);
    let all = rig.source.table.chunks().len() as u64;
    until("all others are read", || rig.pager.counters().chunks == all - 1);
    assert!(reason(rig.end_of(FAR)).contains("it is damaged"));
    assert_eq!(rig.load(FAR + 40), expected(FAR + 40));
}

#[test]
fn a_page_planted_by_a_cell_is_noticed() {
    let rig = Rig::new(1);
    let page = KERNEL_SIZE / PAGE + FAR;
    // What a cell can do with the descriptor: map it, unregistered, and touch a hole.
    let fd = rig.filler.reader().unwrap();
    touch(&fd, page);
    assert!(exists(&fd, page));
    // A child of another page of the same chunk makes it be read.
    let neighbour = if rig.chunk(FAR) == rig.chunk(FAR + 1) { FAR + 1 } else { FAR - 1 };
    let text = reason(rig.end_of(neighbour));
    assert!(text.contains("made by somebody else"), "{text}");
}

#[expect(unsafe_code, reason = "touching memory as a hostile cell would")]
fn touch(fd: &std::os::fd::OwnedFd, page: u64) {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    // SAFETY: a new mapping, read once and unmapped.
    unsafe {
        let at =
            mmap(std::ptr::null_mut(), 4096, ProtFlags::READ, MapFlags::PRIVATE, fd, page * PAGE).unwrap();
        at.cast::<u8>().read_volatile();
        munmap(at, 4096).unwrap();
    }
}

#[test]
fn a_crash_of_the_handler_fails_children() {
    let rig = Rig::new(1);
    rig.direct.crash.store(true, Ordering::SeqCst);
    for page in [FAR, FAR + 40, FAR + 80] {
        let text = reason(rig.end_of(page));
        assert!(text.contains("handler crashed"), "{text}");
        assert!(!exists(rig.lazy.memory.as_fd(), KERNEL_SIZE / PAGE + page));
    }
}

#[test]
fn a_lost_connection_fails_those_that_wait_and_all_later_ones() {
    let rig = Rig::new(1);
    rig.direct.mute.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| rig.end_of(FAR))).collect();
        until("everybody waits", || rig.handler.counters().faults >= 4);
        rig.handler.fail_all("the worker is gone");
        for child in waiting {
            assert!(reason(child.join().unwrap()).contains("the worker is gone"));
        }
    });
    assert!(reason(rig.end_of(FAR + 40)).contains("the worker is gone"));
}

#[test]
fn dropping_the_handler_fails_children() {
    let mut rig = Rig::new(1);
    rig.direct.mute.store(true, Ordering::SeqCst);
    let mut child = rig.lazy_child(&load(FAR));
    let other = Rig::new(1);
    rig.handler = std::sync::Arc::clone(&other.handler);
    assert!(reason(run(&mut child)).contains("stopped"));
    assert!(reason(rig.end_of(FAR + 40)).contains("stopped"));
}

#[test]
fn a_stopped_pager_fails_children() {
    let rig = Rig::new(1);
    let chunk = rig.chunk(FAR);
    *rig.source.gated.lock().unwrap() = Some(chunk);
    rig.source.broken.lock().unwrap().push(chunk);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.end_of(FAR));
        until("it waits", || rig.pager.counters().requests > 0);
        rig.source.single.open(1);
        assert!(reason(waiting.join().unwrap()).contains("Input/output error"));
    });
}

#[test]
fn children_that_wait_can_be_kicked() {
    let rig = Rig::new(1);
    let mut running = rig.lazy_child(&request(&[FOREVER]));
    let kicker = running.kicker();
    std::thread::scope(|scope| {
        let child = scope.spawn(|| run(&mut running));
        kicker.kick();
        assert_eq!(child.join().unwrap(), Exit::Kicked);
    });
    rig.direct.mute.store(true, Ordering::SeqCst);
    let mut waiting = rig.lazy_child(&load(FAR));
    let kicker = waiting.kicker();
    let before = rig.handler.counters().faults;
    std::thread::scope(|scope| {
        let child = scope.spawn(|| run(&mut waiting));
        until("it waits", || rig.handler.counters().faults > before);
        kicker.kick();
        assert_eq!(child.join().unwrap(), Exit::Kicked);
    });
    drop(waiting);
    rig.direct.mute.store(false, Ordering::SeqCst);
    rig.handler.failed(1, rig.chunk(FAR), "nobody asks for it any more");
    assert_eq!(crate::fixture::number(&answer(&mut rig.lazy_child(&load(FAR)))), expected(FAR));
}
