//! What children see, and what it costs.

use crate::fixture::{COUNT, FILL, answer, number, request};
use crate::guest::RAM;
use crate::rig::{BASE, Rig, exists, expected, load, ram, until};
use crate::source::FileSource;
use abi::layout::{KERNEL_SIZE, PAGE, PROGRAM_VA};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vmm::{Filler, Parent, ParentMemory};

/// A page of the program that no batch reads while the gate is closed.
const FAR: u64 = 1000;

#[test]
fn lazy_children_are_like_eager_ones() {
    let rig = Rig::new(usize::MAX);
    for page in [0, 1, 4, 511, 512, FAR, FAR + 4, 2500] {
        let eager = number(&answer(&mut rig.fork(&rig.eager, &load(page))));
        assert_eq!((rig.load(page), eager), (expected(page), expected(page)), "page {page}");
    }
    let [mut lazy, mut eager] = [&rig.lazy, &rig.eager]
        .map(|parent| rig.fork(parent, &request(&[FILL, PROGRAM_VA + 7 * PAGE + 5, 20 * PAGE, 0xab])));
    assert_eq!(answer(&mut lazy), answer(&mut eager));
    assert!(ram(&lazy) == ram(&eager), "the complete RAM");
    until("everything is read", || rig.complete.load(Ordering::SeqCst));
    assert!(rig.source.reads.iter().all(|reads| reads.load(Ordering::SeqCst) == 1));
    let counters = rig.pager.counters();
    assert_eq!(counters.chunks, rig.source.reads.len() as u64);
    assert_eq!((counters.failures, counters.working_set_time.is_some()), (0, true), "{counters:?}");
    // Complete: new children are mapped without a registration.
    rig.handler.complete(1);
    let faults = rig.handler.counters().faults;
    assert!(ram(&rig.lazy_child(&[])) == ram(&rig.fork(&rig.eager, &[])));
    assert_eq!(rig.handler.counters().faults, faults);
}

#[test]
fn many_children_on_one_missing_page_cost_one_read() {
    const CHILDREN: u64 = 16;
    let rig = Rig::new(1);
    let chunk = rig.chunk(FAR);
    *rig.source.gated.lock().unwrap() = Some(chunk);
    let before = rig.handler.counters().faults;
    std::thread::scope(|scope| {
        let children: Vec<_> = (0..CHILDREN).map(|_| scope.spawn(|| rig.load(FAR))).collect();
        // All that are left wait for the one chunk.
        until("everybody waits", || rig.handler.counters().faults >= before + CHILDREN);
        until("the chunk is asked for", || rig.pager.counters().requests > 0);
        rig.source.single.open(1);
        for child in children {
            assert_eq!(child.join().unwrap(), expected(FAR));
        }
    });
    assert_eq!(rig.source.reads_of(chunk), 1);
    assert!(rig.handler.counters().requests < CHILDREN, "{:?}", rig.handler.counters());
}

#[test]
fn writes_stay_private_and_the_page_is_shared() {
    let rig = Rig::new(1);
    let (page, other) = (FAR, FAR + 1);
    let fill = |byte| request(&[FILL, PROGRAM_VA + page * PAGE, 4, byte]);
    let mut writers = [0x11, 0x22].map(|byte| rig.lazy_child(&fill(byte)));
    for (writer, byte) in writers.iter_mut().zip([0x1111_1111, 0x2222_2222]) {
        answer(writer);
        writer.mailbox().set_request(&load(page)).unwrap();
        assert_eq!(number(&answer(writer)), expected(page) >> 32 << 32 | byte);
        writer.mailbox().set_request(&load(other)).unwrap();
        assert_eq!(number(&answer(writer)), expected(other));
    }
    assert_eq!(rig.load(page), expected(page));
    assert_eq!(rig.source.reads_of(rig.chunk(page)), 1);
    assert!(exists(rig.lazy.memory.as_fd(), KERNEL_SIZE / PAGE + page));
}

#[test]
fn zero_pages_are_not_read_and_not_made() {
    let rig = Rig::new(1);
    let zero = FAR + 4;
    assert_eq!(rig.load(zero), 0);
    assert!(rig.handler.counters().zeros > 0);
    let counters = rig.pager.counters();
    assert!(!exists(rig.lazy.memory.as_fd(), KERNEL_SIZE / PAGE + zero), "the file keeps its hole");
    let mut child = rig.lazy_child(&request(&[FILL, PROGRAM_VA + zero * PAGE, 8, 1]));
    answer(&mut child);
    child.restore().unwrap();
    assert_eq!(rig.load(zero), 0);
    assert_eq!(rig.pager.counters().requests, counters.requests);
}

#[test]
fn slow_storage_stops_only_those_that_need_it() {
    let rig = Rig::new(1);
    let slow = rig.chunk(FAR);
    *rig.source.gated.lock().unwrap() = Some(slow);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.load(FAR));
        until("the slow chunk is asked for", || rig.pager.counters().requests > 0);
        for page in [FAR + 40, FAR + 80, FAR + 120] {
            assert_eq!(rig.load(page), expected(page));
        }
        assert!(!waiting.is_finished());
        assert_eq!(rig.source.reads_of(slow), 0);
        rig.source.single.open(1);
        assert_eq!(waiting.join().unwrap(), expected(FAR));
    });
}

#[test]
fn base_and_own_memory_are_both_lazy() {
    let rig = Rig::new(usize::MAX);
    let bytes = ram(&rig.fork(&rig.eager, &[]));
    let cut = usize::try_from(BASE).unwrap();
    let make = |id, bytes: &[u8], base: Option<&Arc<ParentMemory>>| {
        let source = Arc::new(FileSource::new(bytes));
        source.batches.open(usize::MAX);
        let filler = Arc::new(Filler::new(bytes.len() as u64, None).unwrap());
        let paging = rig.handler.memory(id, source.table.clone());
        let memory = ParentMemory::from_lazy_fd(filler.reader().unwrap(), base, paging).unwrap();
        let handler = Arc::clone(&rig.handler);
        let pager = crate::rig::start(&source, &filler, move || handler.complete(id));
        (memory, pager)
    };
    let (base, _base_pager) = make(2, &bytes[..cut], None);
    let (own, _own_pager) = make(3, &bytes[cut..], Some(&Arc::new(base)));
    assert_eq!(own.len(), RAM);
    let parent = Arc::new(Parent::new(own, rig.world.parent.entry.clone()).unwrap());
    // Requests go to the first memory's pager, so these children wait until their own memories are complete.
    rig.direct.mute.store(true, Ordering::SeqCst);
    let mut child = rig.fork(&parent, &request(&[COUNT]));
    assert_eq!(number(&answer(&mut child)), expected(0) + 1);
    child.restore().unwrap();
    assert!(ram(&child) == bytes);
}
