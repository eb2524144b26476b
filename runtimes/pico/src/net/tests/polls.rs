//! poll and select.

use super::rig::{Rig, same};
use linux_raw_sys::general as c;
use std::vec::Vec;

impl Rig {
    fn two_pipes(&mut self) -> [u64; 4] {
        let mut pipe = || {
            let fds = self.room(8);
            assert_eq!(self.call(c::__NR_pipe, &[fds]), 0);
            self.two_fds(fds)
        };
        let ((a, b), (c, d)) = (pipe(), pipe());
        [a, b, c, d]
    }

    fn pollfds(&mut self, entries: &[(i32, u32)]) -> u64 {
        let mut bytes = Vec::new();
        for &(fd, events) in entries {
            bytes.extend(fd.to_ne_bytes());
            bytes.extend(events.to_ne_bytes());
        }
        self.put(&bytes)
    }

    /// Puts descriptors into an `fd_set`.
    fn fd_set(&mut self, fds: &[u64]) -> u64 {
        let mut bits = [0u8; 128];
        fds.iter().for_each(|&fd| bits[usize::try_from(fd).expect("small") / 8] |= 1 << (fd % 8));
        self.put(&bits)
    }

    /// Notes which of `fds` are in the set.
    fn tell_set(&mut self, name: &str, set: u64, fds: &[u64]) {
        let bits = self.bytes(set, 128);
        let members: Vec<bool> = fds
            .iter()
            .map(|&fd| bits[usize::try_from(fd).expect("small") / 8] & 1 << (fd % 8) != 0)
            .collect();
        self.tell(name, members);
        let others: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        self.tell("members", others);
    }
}

fn fd(fd: u64) -> i32 {
    i32::try_from(fd).expect("small")
}

#[test]
fn poll_reports_every_entry() {
    same(|rig| {
        let [reader, writer, quiet, _] = rig.two_pipes();
        let text = rig.put(b"x");
        rig.call(c::__NR_write, &[writer, text, 1]);
        let normal = c::POLLRDNORM | c::POLLIN;
        let entries = [
            (fd(reader), c::POLLIN),
            (fd(reader), normal),
            (fd(reader), c::POLLOUT),
            (fd(writer), c::POLLOUT | c::POLLIN),
            (fd(quiet), c::POLLIN),
            (-1, c::POLLIN),
            (1000, c::POLLIN),
        ];
        let array = rig.pollfds(&entries);
        for timeout in [0, 1000, u64::MAX] {
            rig.note("poll", c::__NR_poll, &[array, entries.len() as u64, timeout]);
            let revents: Vec<u16> =
                (0..entries.len() as u64).map(|n| u16::from_ne_bytes(rig.peek(array + 8 * n + 6))).collect();
            rig.tell("events", revents);
        }
        rig.note("too many", c::__NR_poll, &[array, 1 << 31, 0]);
        rig.note("nowhere", c::__NR_poll, &[16, 1, 0]);
        rig.note("none", c::__NR_poll, &[0, 0, 1]);
    });
}

#[test]
fn ppoll_takes_time_and_a_mask() {
    same(|rig| {
        let [reader, ..] = rig.two_pipes();
        let array = rig.pollfds(&[(fd(reader), c::POLLIN)]);
        let (time, mask) = (rig.put(&[0u64, 20_000_000].map(u64::to_ne_bytes).concat()), rig.room(8));
        rig.note("nothing comes", c::__NR_ppoll, &[array, 1, time, mask, 8]);
        let left: Vec<u64> = [0, 8].map(|at| u64::from_ne_bytes(rig.peek(time + at))).into();
        rig.tell("no time is left", left);
        rig.note("mask of another size", c::__NR_ppoll, &[array, 1, time, mask, 4]);
        let time = rig.put(&[0u64, 1_000_000_000].map(u64::to_ne_bytes).concat());
        rig.note("not a time", c::__NR_ppoll, &[array, 1, time, 0, 8]);
    });
}

#[test]
fn select_reports_sets() {
    same(|rig| {
        let [reader, writer, quiet, other] = rig.two_pipes();
        let text = rig.put(b"x");
        rig.call(c::__NR_write, &[writer, text, 1]);
        let fds = [reader, writer, quiet, other];
        let most = fds.iter().max().expect("some") + 1;
        let (read, write, except) =
            (rig.fd_set(&[reader, quiet]), rig.fd_set(&[writer, other]), rig.fd_set(&fds));
        rig.note("select", c::__NR_select, &[most, read, write, except, 0]);
        rig.tell_set("read", read, &fds);
        rig.tell_set("write", write, &fds);
        rig.tell_set("except", except, &fds);
        let read = rig.fd_set(&[quiet]);
        let time = rig.put(&[0u64, 20_000].map(u64::to_ne_bytes).concat());
        rig.note("nothing comes", c::__NR_select, &[most, read, 0, 0, time]);
        rig.tell_set("read", read, &fds);
        let left: Vec<u64> = [0, 8].map(|at| u64::from_ne_bytes(rig.peek(time + at))).into();
        rig.tell("no time is left", left);
        let beyond = rig.fd_set(&[reader]);
        rig.note("sets end at the count", c::__NR_select, &[reader, beyond, 0, 0, time]);
        rig.close(other);
        let closed = rig.fd_set(&[other]);
        rig.note("closed", c::__NR_select, &[most, closed, 0, 0, time]);
        rig.note("negative", c::__NR_select, &[u64::MAX, 0, 0, 0, time]);
        let time = rig.put(&[u64::MAX, 0].map(u64::to_ne_bytes).concat());
        rig.note("negative time", c::__NR_select, &[0, 0, 0, 0, time]);
    });
}

#[test]
fn pselect_sees_the_end_of_a_pipe() {
    same(|rig| {
        let [reader, writer, ..] = rig.two_pipes();
        rig.close(writer);
        let (read, time) = (rig.fd_set(&[reader]), rig.put(&[5u64, 0].map(u64::to_ne_bytes).concat()));
        let mask = rig.room(8);
        let mask = rig.put(&[mask, 8].map(u64::to_ne_bytes).concat());
        rig.note("pselect", c::__NR_pselect6, &[reader + 1, read, 0, 0, time, mask]);
        rig.tell_set("read", read, &[reader]);
        let left = u64::from_ne_bytes(rig.peek(time));
        rig.tell("time is left", left >= 4);
    });
}
