//! Pipes, event counters and timers.

use super::rig::{Rig, same};
use linux_raw_sys::general as c;
use std::vec::Vec;

impl Rig {
    fn pipe(&mut self, flags: u32) -> (u64, u64) {
        let fds = self.room(8);
        assert_eq!(self.call(c::__NR_pipe2, &[fds, flags.into()]), 0);
        self.two_fds(fds)
    }

    fn timer(&mut self, clock: u32) -> u64 {
        let flags = c::TFD_NONBLOCK | c::TFD_CLOEXEC;
        self.fd(c::__NR_timerfd_create, &[clock.into(), flags.into()])
    }

    fn spec(&mut self, numbers: [u64; 4]) -> u64 {
        self.put(&numbers.map(u64::to_ne_bytes).concat())
    }
}

#[test]
fn a_pipe_carries_bytes_until_one_end_goes() {
    same(|rig| {
        let (reader, writer) = rig.pipe(c::O_NONBLOCK);
        rig.tell_events("new reader", reader);
        rig.tell_events("new writer", writer);
        let (text, room) = (rig.put(b"hello"), rig.room(10));
        rig.note("nothing yet", c::__NR_read, &[reader, room, 10]);
        rig.note("write", c::__NR_write, &[writer, text, 5]);
        rig.tell_events("reader", reader);
        rig.note("nothing at all", c::__NR_read, &[reader, room, 0]);
        rig.note("wrong end", c::__NR_read, &[writer, room, 1]);
        rig.note("wrong end", c::__NR_write, &[reader, text, 1]);
        rig.note("read", c::__NR_read, &[reader, room, 3]);
        rig.tell_text("text", room, 3);
        rig.close(writer);
        rig.tell_events("writer gone, some left", reader);
        rig.note("rest", c::__NR_read, &[reader, room, 10]);
        rig.tell_events("writer gone", reader);
        rig.note("end", c::__NR_read, &[reader, room, 10]);
        let (reader, writer) = rig.pipe(0);
        rig.close(reader);
        rig.tell_events("reader gone", writer);
        rig.note("broken", c::__NR_write, &[writer, text, 5]);
        rig.note("bad flags", c::__NR_pipe2, &[room, 1]);
        rig.note("bad address", c::__NR_pipe2, &[16, 0]);
    });
}

#[test]
fn a_pipe_holds_64_kib_and_small_writes_stay_whole() {
    same(|rig| {
        let (reader, writer) = rig.pipe(c::O_NONBLOCK);
        let page = rig.put(&[7; 4096]);
        let writes: Vec<i64> = (0..17).map(|_| rig.call(c::__NR_write, &[writer, page, 4096])).collect();
        rig.tell("writes", writes);
        rig.tell_events("full", writer);
        let half = rig.room(2048);
        rig.note("half a page out", c::__NR_read, &[reader, half, 2048]);
        rig.note("a page does not fit", c::__NR_write, &[writer, page, 4096]);
        rig.tell_events("still full", writer);
        rig.note("another half out", c::__NR_read, &[reader, half, 2048]);
        rig.tell_events("room", writer);
        rig.note("fits", c::__NR_write, &[writer, page, 4096]);
    });
}

#[test]
fn an_event_counter_counts() {
    same(|rig| {
        let fd = rig.fd(c::__NR_eventfd2, &[0, c::EFD_NONBLOCK.into()]);
        rig.tell_events("zero", fd);
        let (two, most, room) =
            (rig.put(&2u64.to_ne_bytes()), rig.put(&(u64::MAX - 1).to_ne_bytes()), rig.room(8));
        rig.note("nothing", c::__NR_read, &[fd, room, 8]);
        rig.note("add", c::__NR_write, &[fd, two, 8]);
        rig.tell_events("two", fd);
        rig.note("short", c::__NR_read, &[fd, room, 7]);
        rig.note("take", c::__NR_read, &[fd, room, 8]);
        let count = u64::from_ne_bytes(rig.peek(room));
        rig.tell("count", count);
        rig.note("fill", c::__NR_write, &[fd, most, 8]);
        rig.tell_events("full", fd);
        rig.note("no room", c::__NR_write, &[fd, two, 8]);
        rig.note("bad flags", c::__NR_eventfd2, &[0, 2]);
        let semaphore = (c::EFD_SEMAPHORE | c::EFD_NONBLOCK).into();
        let fd = rig.fd(c::__NR_eventfd2, &[2, semaphore]);
        let reads: Vec<i64> = (0..3).map(|_| rig.call(c::__NR_read, &[fd, room, 8])).collect();
        rig.tell("semaphore", reads);
    });
}

#[test]
fn a_timer_runs_shows_what_is_left_and_stops() {
    same(|rig| {
        for clock in [c::CLOCK_MONOTONIC, c::CLOCK_REALTIME, c::CLOCK_BOOTTIME] {
            let fd = rig.timer(clock);
            let (shown, room) = (rig.room(32), rig.room(8));
            rig.note("off", c::__NR_timerfd_gettime, &[fd, shown]);
            let off = rig.bytes(shown, 32);
            rig.tell("off", off);
            rig.note("nothing", c::__NR_read, &[fd, room, 8]);
            let hour = rig.spec([7, 8, 3600, 0]);
            rig.note("set", c::__NR_timerfd_settime, &[fd, 0, hour, 0]);
            rig.note("get", c::__NR_timerfd_gettime, &[fd, shown]);
            let numbers: Vec<u64> = (0..4).map(|n| u64::from_ne_bytes(rig.peek(shown + 8 * n))).collect();
            rig.tell("interval", (numbers[0], numbers[1]));
            rig.tell("about an hour left", (3590..=3600).contains(&numbers[2]));
            let past = rig.spec([0, 0, 0, 1]);
            rig.note("long ago", c::__NR_timerfd_settime, &[fd, c::TFD_TIMER_ABSTIME.into(), past, shown]);
            let events = rig.poll(fd, c::POLLIN);
            rig.tell("expired", events);
            rig.note("read", c::__NR_read, &[fd, room, 8]);
            let count = u64::from_ne_bytes(rig.peek(room));
            rig.tell("once", count);
            rig.note("read again", c::__NR_read, &[fd, room, 8]);
        }
    });
}

#[test]
fn a_blocking_timer_is_waited_for() {
    same(|rig| {
        let fd = rig.fd(c::__NR_timerfd_create, &[c::CLOCK_MONOTONIC.into(), 0]);
        let soon = rig.spec([0, 0, 0, 20_000_000]);
        rig.note("set", c::__NR_timerfd_settime, &[fd, 0, soon, 0]);
        let room = rig.room(8);
        rig.note("read", c::__NR_read, &[fd, room, 8]);
        let count = u64::from_ne_bytes(rig.peek(room));
        rig.tell("once", count);
    });
}

#[test]
fn timers_refuse_nonsense() {
    same(|rig| {
        rig.note("clock", c::__NR_timerfd_create, &[99, 0]);
        rig.note("flags", c::__NR_timerfd_create, &[1, 1]);
        let fd = rig.timer(c::CLOCK_MONOTONIC);
        for (name, numbers) in [
            ("nanoseconds", [0, 0, 1, 1_000_000_000]),
            ("negative seconds", [0, 0, u64::MAX, 0]),
            ("negative interval", [0, u64::MAX, 1, 0]),
            ("huge is fine", [0, 0, i64::MAX.cast_unsigned(), 999_999_999]),
        ] {
            let spec = rig.spec(numbers);
            rig.note(name, c::__NR_timerfd_settime, &[fd, 0, spec, 0]);
        }
        let spec = rig.spec([0; 4]);
        rig.note("flags", c::__NR_timerfd_settime, &[fd, 8, spec, 0]);
        rig.note("address", c::__NR_timerfd_settime, &[fd, 0, 16, 0]);
        let (pipe, _) = rig.pipe(0);
        rig.note("not a timer", c::__NR_timerfd_settime, &[pipe, 0, spec, 0]);
        let text = rig.put(b"12345678");
        rig.note("write", c::__NR_write, &[fd, text, 8]);
    });
}
