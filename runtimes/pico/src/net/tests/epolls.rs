//! epoll.

use super::rig::{Rig, same};
use crate::poll::epoll::WATCHES_MAX;
use linux_raw_sys::general as c;
use std::vec::Vec;

const ADD: u32 = c::EPOLL_CTL_ADD;
const MOD: u32 = c::EPOLL_CTL_MOD;
const DEL: u32 = c::EPOLL_CTL_DEL;

impl Rig {
    fn set(&mut self) -> u64 {
        self.fd(c::__NR_epoll_create1, &[c::EPOLL_CLOEXEC.into()])
    }

    fn control(&mut self, set: u64, operation: u32, fd: u64, events: u32, data: u64) -> i64 {
        let mut event = events.to_ne_bytes().to_vec();
        event.extend(data.to_ne_bytes());
        let event = self.put(&event);
        self.call(c::__NR_epoll_ctl, &[set, operation.into(), fd, event])
    }

    /// Notes what is reported without waiting, in the order of the data.
    fn tell_report(&mut self, name: &str, set: u64) {
        let room = self.room(12 * 8);
        let count = self.call(c::__NR_epoll_wait, &[set, room, 8, 0]);
        let mut report: Vec<(u64, u32)> = (0..count.max(0).cast_unsigned())
            .map(|n| {
                let events = u32::from_ne_bytes(self.peek(room + 12 * n));
                (u64::from_ne_bytes(self.peek(room + 12 * n + 4)), events)
            })
            .collect();
        report.sort_unstable();
        self.tell(name, (count, report));
    }

    fn event(&mut self) -> u64 {
        self.fd(c::__NR_eventfd2, &[0, c::EFD_NONBLOCK.into()])
    }

    fn add_one(&mut self, fd: u64) {
        let one = self.put(&1u64.to_ne_bytes());
        assert_eq!(self.call(c::__NR_write, &[fd, one, 8]), 8);
    }

    fn drain(&mut self, fd: u64) {
        let room = self.room(8);
        assert_eq!(self.call(c::__NR_read, &[fd, room, 8]), 8);
    }
}

#[test]
fn level_triggered_files_are_reported_as_long_as_they_are_ready() {
    same(|rig| {
        let (set, event) = (rig.set(), rig.event());
        rig.control(set, ADD, event, c::EPOLLIN, 0x1122_3344_5566_7788);
        rig.tell_report("quiet", set);
        rig.add_one(event);
        rig.tell_report("ready", set);
        rig.tell_report("still ready", set);
        rig.control(set, MOD, event, c::EPOLLIN | c::EPOLLOUT, 2);
        rig.tell_report("both", set);
        rig.drain(event);
        rig.tell_report("drained", set);
        rig.control(set, MOD, event, 0, 2);
        rig.tell_report("nothing is wanted", set);
    });
}

#[test]
fn edge_triggered_files_are_reported_when_something_happens() {
    same(|rig| {
        let (set, event) = (rig.set(), rig.event());
        rig.control(set, ADD, event, c::EPOLLIN | c::EPOLLET, 1);
        rig.tell_report("quiet", set);
        rig.add_one(event);
        rig.tell_report("edge", set);
        rig.tell_report("no edge", set);
        rig.add_one(event);
        rig.tell_report("another edge, though it was not drained", set);
        rig.drain(event);
        rig.tell_report("drained", set);
        rig.add_one(event);
        rig.tell_report("edge after draining", set);
        rig.control(set, MOD, event, c::EPOLLIN | c::EPOLLET, 1);
        rig.tell_report("changed while ready", set);
        rig.tell_report("no edge", set);
    });
}

#[test]
fn edges_of_streams() {
    same(|rig| {
        let fds = rig.room(8);
        rig.call(c::__NR_socketpair, &[1, u64::from(c::O_NONBLOCK | 1), 0, fds]);
        let (one, other) = rig.two_fds(fds);
        let set = rig.set();
        rig.control(set, ADD, one, c::EPOLLIN | c::EPOLLOUT | c::EPOLLRDHUP | c::EPOLLET, 1);
        rig.tell_report("writable from the start", set);
        rig.tell_report("once", set);
        let text = rig.put(&[b'x'; 100]);
        rig.call(c::__NR_write, &[other, text, 100]);
        rig.tell_report("data", set);
        let room = rig.room(100);
        rig.call(c::__NR_read, &[one, room, 50]);
        rig.tell_report("half read is no edge", set);
        rig.call(c::__NR_write, &[other, text, 1]);
        rig.tell_report("more data", set);
        rig.close(other);
        rig.tell_report("closed", set);
        rig.tell_report("once", set);
    });
}

#[test]
fn one_shot_files_are_reported_once() {
    same(|rig| {
        let (set, event) = (rig.set(), rig.event());
        rig.control(set, ADD, event, c::EPOLLIN | c::EPOLLONESHOT, 1);
        rig.add_one(event);
        rig.tell_report("ready", set);
        rig.tell_report("spent", set);
        rig.add_one(event);
        rig.tell_report("still spent", set);
        rig.control(set, MOD, event, c::EPOLLIN | c::EPOLLONESHOT, 1);
        rig.tell_report("armed again", set);
    });
}

#[test]
fn sets_refuse_what_makes_no_sense() {
    same(|rig| {
        rig.note("size", c::__NR_epoll_create, &[0]);
        rig.note("flags", c::__NR_epoll_create1, &[1]);
        let (set, event) = (rig.set(), rig.event());
        for (name, operation, fd, events) in [
            ("not there", MOD, event, c::EPOLLIN),
            ("not there", DEL, event, 0),
            ("added", ADD, event, c::EPOLLIN),
            ("added twice", ADD, event, c::EPOLLIN),
            ("itself", ADD, set, c::EPOLLIN),
            ("closed", ADD, 1000, c::EPOLLIN),
            ("no such operation", 9, event, c::EPOLLIN),
            ("exclusive cannot be changed to", MOD, event, c::EPOLLIN | c::EPOLLEXCLUSIVE),
            ("removed", DEL, event, 0),
            ("exclusive", ADD, event, c::EPOLLIN | c::EPOLLEXCLUSIVE),
            ("exclusive cannot be changed", MOD, event, c::EPOLLIN),
        ] {
            let result = rig.control(set, operation, fd, events, 0);
            rig.tell(name, result);
        }
        let result = rig.control(event, ADD, set, c::EPOLLIN, 0);
        rig.tell("not a set", result);
        rig.note("no event", c::__NR_epoll_ctl, &[set, ADD.into(), event, 0]);
        let room = rig.room(24);
        rig.note("no room", c::__NR_epoll_wait, &[set, room, 0, 0]);
        rig.note("negative room", c::__NR_epoll_wait, &[set, room, u64::MAX, 0]);
        rig.note("not a set", c::__NR_epoll_wait, &[event, room, 1, 0]);
        rig.note("mask of another size", c::__NR_epoll_pwait, &[set, room, 1, 0, room, 4]);
        rig.note("read", c::__NR_read, &[set, room, 8]);
    });
}

#[test]
fn closed_files_fall_out_but_not_while_a_copy_is_open() {
    same(|rig| {
        let (set, event) = (rig.set(), rig.event());
        rig.add_one(event);
        rig.control(set, ADD, event, c::EPOLLIN, 7);
        let copy = rig.fd(c::__NR_dup, &[event]);
        let result = rig.control(set, ADD, copy, c::EPOLLIN, 8);
        rig.tell("the copy is another entry", result);
        rig.close(event);
        rig.tell_report("both are reported", set);
        rig.close(copy);
        rig.tell_report("gone", set);
    });
}

#[test]
fn waits_end_at_their_timeout() {
    same(|rig| {
        let (set, event) = (rig.set(), rig.event());
        rig.control(set, ADD, event, c::EPOLLIN, 1);
        let room = rig.room(12);
        rig.note("20 ms", c::__NR_epoll_wait, &[set, room, 1, 20]);
        let time = rig.put(&[0u64, 20_000_000].map(u64::to_ne_bytes).concat());
        rig.note("20 ms", c::__NR_epoll_pwait2, &[set, room, 1, time, 0, 0]);
        let timer = rig.fd(c::__NR_timerfd_create, &[1, c::TFD_NONBLOCK.into()]);
        let spec = rig.put(&[0u64, 0, 0, 20_000_000].map(u64::to_ne_bytes).concat());
        rig.call(c::__NR_timerfd_settime, &[timer, 0, spec, 0]);
        rig.control(set, ADD, timer, c::EPOLLIN | c::EPOLLET, 5);
        rig.note("a timer ends the wait", c::__NR_epoll_wait, &[set, room, 1, u64::MAX]);
        let data = u64::from_ne_bytes(rig.peek(room + 4));
        rig.tell("data", data);
        rig.tell_events("an empty set", set);
    });
}

#[test]
fn a_set_is_itself_ready_when_it_has_something_to_report() {
    same(|rig| {
        let (set, event) = (rig.set(), rig.event());
        rig.control(set, ADD, event, c::EPOLLIN, 1);
        rig.tell_events("quiet", set);
        rig.add_one(event);
        rig.tell_events("ready", set);
    });
}

#[test]
fn all_ready_files_get_their_turn() {
    let mut rig = Rig::pico();
    let set = rig.set();
    for data in 0..5 {
        let event = rig.event();
        rig.add_one(event);
        assert_eq!(rig.control(set, ADD, event, c::EPOLLIN, data), 0);
    }
    let room = rig.room(24);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let count = rig.call(c::__NR_epoll_wait, &[set, room, 2, 0]);
        assert_eq!(count, 2);
        seen.extend([0, 12].map(|at| u64::from_ne_bytes(rig.peek(room + at + 4))));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
}

#[test]
fn entries_are_limited() {
    let mut rig = Rig::pico();
    let events: Vec<u64> = (0..1000).map(|_| rig.event()).collect();
    let event = rig.put(&[0; 12]);
    let mut added = 0;
    let refused = loop {
        let set = rig.set();
        let results = events.iter().map(|&fd| rig.kernel_add(set, fd, event));
        match results.take_while(|&result| result == 0).count() {
            1000 => added += 1000,
            some => {
                added += some;
                break rig.kernel_add(set, events[some], event);
            }
        }
    };
    assert_eq!(refused, -i64::from(linux_raw_sys::errno::ENOSPC));
    assert_eq!(added, WATCHES_MAX);
}

impl Rig {
    fn kernel_add(&mut self, set: u64, fd: u64, event: u64) -> i64 {
        self.call(c::__NR_epoll_ctl, &[set, ADD.into(), fd, event])
    }
}
