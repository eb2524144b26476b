//! Descriptors and credentials in messages.

use super::rig::{Rig, same};
use crate::syscall::{Args, dispatch};
use linux_raw_sys::general as c;
use linux_raw_sys::net;
use proptest::prelude::*;
use std::vec::Vec;

const RIGHTS: u32 = net::SCM_RIGHTS;
const CREDENTIALS: u32 = net::SCM_CREDENTIALS;
const STREAMS: [u32; 3] = [net::SOCK_STREAM, net::SOCK_DGRAM, net::SOCK_SEQPACKET];

/// A control message.
fn item(level: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + data.len() as u64).to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn rights(fds: &[u64]) -> Vec<u8> {
    let data: Vec<u8> = fds.iter().flat_map(|&fd| u32::try_from(fd).expect("small").to_ne_bytes()).collect();
    item(net::SOL_SOCKET, RIGHTS, &data)
}

impl Rig {
    /// A `msghdr` for `text` with `control`.
    fn header(&mut self, text: u64, len: usize, control: &[u8]) -> u64 {
        let list = self.put(&[text, len as u64].map(u64::to_ne_bytes).concat());
        let control_at = self.put(control);
        let fields = [0, 0, list, 1, control_at, control.len() as u64, 0];
        self.put(&fields.map(u64::to_ne_bytes).concat())
    }

    fn send_with(&mut self, fd: u64, text: &str, control: &[u8]) -> i64 {
        let addr = self.put(text.as_bytes());
        let header = self.header(addr, text.len(), control);
        self.call(c::__NR_sendmsg, &[fd, header, net::MSG_NOSIGNAL.into()])
    }

    /// Receives with `room` bytes for control messages and tells all of it; returns the descriptors that came.
    fn receive_with(&mut self, name: &str, fd: u64, len: usize, room: usize, flags: u32) -> Vec<u64> {
        let text = self.room(len);
        let header = self.header(text, len, &std::vec![0; room]);
        let flags = flags | net::MSG_DONTWAIT;
        let result = self.note(name, c::__NR_recvmsg, &[fd, header, flags.into()]);
        if result < 0 {
            return Vec::new();
        }
        self.tell_text(name, text, usize::try_from(result).unwrap_or(0).min(len));
        let [control, filled] = [32, 40].map(|at| u64::from_ne_bytes(self.peek(header + at)));
        let flags = u32::from_ne_bytes(self.peek(header + 48));
        self.tell(name, (filled, flags));
        let mut bytes = self.bytes(control, usize::try_from(filled).expect("small"));
        let mut fds = Vec::new();
        while bytes.len() >= 16 {
            let len = u64::from_ne_bytes(bytes[..8].try_into().expect("8 bytes"));
            let len = usize::try_from(len).expect("small");
            let kind = u32::from_ne_bytes(bytes[12..16].try_into().expect("4 bytes"));
            self.tell(name, (len, kind));
            if kind == RIGHTS {
                let numbers = bytes[16..len].chunks_exact(4);
                fds.extend(numbers.map(|n| u64::from(u32::from_ne_bytes(n.try_into().expect("4 bytes")))));
            }
            bytes.drain(..len.next_multiple_of(8).min(bytes.len()));
        }
        fds
    }

    fn new_pipe(&mut self) -> (u64, u64) {
        let fds = self.room(8);
        assert_eq!(self.call(c::__NR_pipe, &[fds]), 0);
        self.two_fds(fds)
    }

    fn pass_credentials(&mut self, fd: u64) {
        let on = self.put(&1u32.to_ne_bytes());
        let (level, name) = (net::SOL_SOCKET.into(), net::SO_PASSCRED.into());
        assert_eq!(self.call(c::__NR_setsockopt, &[fd, level, name, on, 4]), 0);
    }
}

#[test]
fn descriptors_travel_with_bytes() {
    for kind in STREAMS {
        same(|rig| {
            let ((one, other), (reader, writer)) = (rig.pair(kind), rig.new_pipe());
            let sent = rig.send_with(one, "fds", &rights(&[reader, writer]));
            rig.tell("sent", sent);
            rig.close(reader);
            rig.close(writer);
            let peeked = rig.receive_with("peek", other, 10, 64, net::MSG_PEEK);
            let fds = rig.receive_with("fds", other, 10, 64, net::MSG_CMSG_CLOEXEC);
            rig.tell("two", (peeked.len(), fds.len()));
            for &fd in peeked.iter().chain(&fds) {
                rig.note("close on exec", c::__NR_fcntl, &[fd, c::F_GETFD.into()]);
            }
            let text = rig.put(b"through it");
            rig.note("write", c::__NR_write, &[fds[1], text, 10]);
            let text = rig.room(10);
            rig.note("read", c::__NR_read, &[peeked[0], text, 10]);
            rig.tell_text("through it", text, 10);
            for fd in peeked.into_iter().chain(fds) {
                rig.close(fd);
            }
        });
    }
}

#[test]
fn what_does_not_fit_is_cut() {
    for kind in STREAMS {
        same(|rig| {
            let ((one, other), (reader, writer)) = (rig.pair(kind), rig.new_pipe());
            for room in [0, 8, 16, 19, 20, 24, 32] {
                let sent = rig.send_with(one, "x", &rights(&[reader, writer, reader]));
                rig.tell("sent", (room, sent));
                for fd in rig.receive_with("cut", other, 10, room, 0) {
                    rig.close(fd);
                }
            }
            let sent = rig.send_with(one, "lost", &rights(&[reader]));
            rig.tell("sent", sent);
            rig.receive("without room for any", other, 10, 0);
            let text = rig.room(4);
            let sent = rig.send_with(one, "lost", &rights(&[reader]));
            rig.tell("sent", sent);
            rig.note("read", c::__NR_read, &[other, text, 4]);
            rig.close(reader);
            let addr = rig.put(b"x");
            rig.note("all copies are closed", c::__NR_sendto, &[one, addr, 1, 0x4000, 0, 0]);
            rig.tell_events("the pipe has no reader", writer);
        });
    }
}

#[test]
fn a_read_of_a_stream_ends_behind_descriptors() {
    same(|rig| {
        let ((one, other), (reader, _)) = (rig.pair(net::SOCK_STREAM), rig.new_pipe());
        let mut sent = std::vec![rig.send(one, "plain ")];
        sent.push(rig.send_with(one, "first", &rights(&[reader])));
        sent.push(rig.send_with(one, "second", &rights(&[reader, reader])));
        sent.push(rig.send(one, " plain"));
        rig.tell("sent", sent);
        for (name, len) in
            [("some", 3), ("up to the first", 100), ("a part", 2), ("the rest", 100), ("all", 9)]
        {
            for fd in rig.receive_with(name, other, len, 64, 0) {
                rig.close(fd);
            }
        }
        let waits = rig.room(4);
        rig.note("nothing left", c::__NR_ioctl, &[other, 0x541b, waits]);
        let left = u32::from_ne_bytes(rig.peek(waits));
        rig.tell("nothing left", left);
    });
}

#[test]
fn control_messages_are_checked() {
    same(|rig| {
        let ((one, other), (reader, _)) = (rig.pair(net::SOCK_STREAM), rig.new_pipe());
        let short = |len: u64| {
            let mut bytes = rights(&[reader]);
            bytes[..8].copy_from_slice(&len.to_ne_bytes());
            bytes
        };
        let pid = |pid: u32| {
            let values = [pid, 0, 0].map(u32::to_ne_bytes).concat();
            item(net::SOL_SOCKET, CREDENTIALS, &values)
        };
        for (name, control) in [
            ("too short", short(15)),
            ("none", short(16)),
            ("too long", short(25)),
            ("far too long", short(u64::MAX)),
            ("half a descriptor", short(18)),
            ("bad descriptor", rights(&[9999])),
            ("too many", rights(&[reader; 254])),
            ("as many as can be", rights(&[reader; 253])),
            ("unknown", item(net::SOL_SOCKET, 77, &[0; 4])),
            ("unknown level", item(77, 77, &[0; 4])),
            ("short credentials", item(net::SOL_SOCKET, CREDENTIALS, &[0; 8])),
            ("nobody's", pid(0x3fff_ffff)),
            ("header cut", rights(&[reader])[..12].to_vec()),
        ] {
            let sent = rig.send_with(one, "x", &control);
            rig.tell(name, sent);
        }
        let header = rig.header(16, 1, &[]);
        rig.poke(header + 32, &16u64.to_ne_bytes());
        rig.poke(header + 40, &16u64.to_ne_bytes());
        rig.note("nowhere", c::__NR_sendmsg, &[one, header, 0]);
        rig.receive("all that were sent", other, 100, net::MSG_DONTWAIT);
    });
}

#[test]
fn credentials_are_told_to_who_asks() {
    for kind in STREAMS {
        same(|rig| {
            let (one, other) = rig.pair(kind);
            let sent = rig.send(one, "before");
            rig.tell("sent", sent);
            rig.pass_credentials(other);
            rig.receive_with("unknown", other, 20, 64, 0);
            let sent = rig.send(one, "after");
            rig.tell("sent", sent);
            rig.receive_with("known", other, 20, 64, 0);
            let sent = rig.send(one, "cut");
            rig.tell("sent", sent);
            rig.receive_with("cut", other, 20, 20, 0);
            let (value, len) = (rig.room(16), rig.put(&16u32.to_ne_bytes()));
            let option = [net::SOL_SOCKET, net::SO_PEERCRED].map(u64::from);
            rig.note("peer", c::__NR_getsockopt, &[one, option[0], option[1], value, len]);
            let (pid, own) = (rig.peek::<4>(value), rig.call(c::__NR_getpid, &[]));
            rig.tell("itself", i64::from(u32::from_ne_bytes(pid)) == own);
            let (ids, len) = (rig.bytes(value + 4, 8), rig.bytes(len, 4));
            rig.tell("root", (ids, len));
        });
    }
    same(|rig| {
        let fd = rig.fd(c::__NR_socket, &[net::AF_UNIX.into(), net::SOCK_STREAM.into(), 0]);
        rig.get_option(fd, net::SOL_SOCKET, net::SO_PEERCRED);
    });
}

#[test]
fn descriptors_in_flight_are_bounded_and_chains_of_them_end() {
    let mut rig = Rig::pico();
    let (mut carrier, mut end) = rig.pair(net::SOCK_STREAM);
    // Each pair is carried by the next: closing the last one closes all of them, one after the other.
    for _ in 0..1000 {
        let (next, next_end) = rig.pair(net::SOCK_STREAM);
        assert_eq!(rig.send_with(next, "x", &rights(&[end])), 1);
        rig.close(end);
        rig.close(carrier);
        (carrier, end) = (next, next_end);
        rig.forget_arena();
    }
    rig.close(end);
    let refused = loop {
        let sent = rig.send_with(carrier, "x", &rights(&[carrier; 100]));
        if sent < 0 {
            break sent;
        }
    };
    // Nobody reads: the other end is closed, so nothing is kept.
    assert_eq!(refused, -i64::from(linux_raw_sys::errno::EPIPE));
    let (one, other) = rig.pair(net::SOCK_STREAM);
    let sent = (0..11).map(|_| rig.send_with(one, "x", &rights(&[carrier; 100]))).collect::<Vec<_>>();
    assert_eq!(sent[..10], [1; 10]);
    assert_eq!(sent[10], -i64::from(linux_raw_sys::errno::ETOOMANYREFS));
    rig.close(other);
    assert_eq!(rig.kernel.net.budget.left(), crate::net::BUFFERED_MAX);
    let (one, _other) = rig.pair(net::SOCK_STREAM);
    assert_eq!(rig.send_with(one, "x", &rights(&[carrier; 100])), 1, "they are back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_message_header_breaks_anything(
        fields in proptest::collection::vec(prop_oneof![Just(0), 0..64u64, any::<u64>()], 7),
        picks in proptest::collection::vec(0..8usize, 7),
        control in proptest::collection::vec(any::<u8>(), 0..96),
        first in prop_oneof![Just(16u64), Just(20), Just(24), 0..100u64, any::<u64>()],
        kind in prop_oneof![Just(RIGHTS), Just(CREDENTIALS), any::<u32>()],
        flags in any::<u32>(),
    ) {
        let mut rig = Rig::pico();
        let (one, other) = rig.pair(net::SOCK_DGRAM);
        let mut control = control;
        if control.len() >= 16 {
            control[..8].copy_from_slice(&first.to_ne_bytes());
            control[8..12].copy_from_slice(&net::SOL_SOCKET.to_ne_bytes());
            control[12..16].copy_from_slice(&kind.to_ne_bytes());
        }
        let text = rig.put(b"text");
        let header = rig.header(text, 4, &control);
        for (index, (&pick, &field)) in picks.iter().zip(&fields).enumerate() {
            if pick == 0 {
                rig.poke(header + 8 * index as u64, &field.to_ne_bytes());
            }
        }
        for (call, fd) in [(c::__NR_sendmsg, one), (c::__NR_sendmmsg, one), (c::__NR_recvmsg, other)] {
            let flags = u64::from(flags | net::MSG_DONTWAIT | net::MSG_NOSIGNAL);
            let args = if call == c::__NR_sendmmsg { [fd, header, 1, flags, 0, 0] } else { [fd, header, flags, 0, 0, 0] };
            dispatch(&mut rig.kernel, call.into(), &Args(args));
        }
        rig.close(one);
        rig.close(other);
        prop_assert_eq!(rig.kernel.net.budget.left(), crate::net::BUFFERED_MAX);
    }
}
