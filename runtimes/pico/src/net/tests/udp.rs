//! UDP.

use super::rig::{Rig, same};
use super::sockets::{DONTWAIT, INET, INET6, LOCAL, sockaddr, sockaddr6};
use linux_raw_sys::general as c;
use linux_raw_sys::net;
use std::vec::Vec;

const DGRAM: u64 = net::SOCK_DGRAM as u64;

fn loopback6(port: u16) -> Vec<u8> {
    let mut host = [0; 16];
    host[15] = 1;
    sockaddr6(host, port)
}

impl Rig {
    fn set_flag(&mut self, fd: u64, level: u32, name: u32, value: u32) {
        let addr = self.put(&value.to_ne_bytes());
        assert_eq!(self.call(c::__NR_setsockopt, &[fd, level.into(), name.into(), addr, 4]), 0);
    }

    /// A UDP socket bound to a free port of 127.0.0.1, and the port.
    fn udp(&mut self) -> (u64, u16) {
        let fd = self.fd(c::__NR_socket, &[INET, DGRAM, 0]);
        let addr = self.put(&sockaddr(LOCAL, 0));
        assert_eq!(self.call(c::__NR_bind, &[fd, addr, 16]), 0);
        (fd, self.port(fd))
    }

    pub(super) fn send_to(&mut self, fd: u64, text: &str, to: &[u8]) -> i64 {
        let (bytes, addr) = (self.put(text.as_bytes()), self.put(to));
        self.call(c::__NR_sendto, &[fd, bytes, text.len() as u64, 0, addr, to.len() as u64])
    }

    fn connect_to(&mut self, name: &str, fd: u64, to: &[u8]) -> i64 {
        let addr = self.put(to);
        self.note(name, c::__NR_connect, &[fd, addr, to.len() as u64])
    }

    /// Receives and tells the text; returns where it came from.
    pub(super) fn receive_from(&mut self, name: &str, fd: u64, len: usize, flags: u32) -> Vec<u8> {
        let (text, from, from_len) = (self.room(len), self.room(128), self.put(&128u32.to_ne_bytes()));
        let args = [fd, text, len as u64, (flags | net::MSG_DONTWAIT).into(), from, from_len];
        let result = self.note(name, c::__NR_recvfrom, &args);
        let shown = usize::try_from(result).unwrap_or(0).min(len);
        self.tell_text(name, text, shown);
        let from_len = u32::from_ne_bytes(self.peek(from_len)) as usize;
        self.bytes(from, if result < 0 { 0 } else { from_len })
    }
}

#[test]
fn datagrams_stay_whole_and_tell_where_they_come_from() {
    same(|rig| {
        let ((one, port), (other, other_port)) = (rig.udp(), rig.udp());
        rig.tell_events("new", one);
        for text in ["first", "", "third, which is long"] {
            let sent = rig.send_to(other, text, &sockaddr(LOCAL, port));
            rig.tell("sent", sent);
        }
        rig.poll(one, c::POLLIN);
        rig.tell_events("something came", one);
        let waits = rig.room(4);
        rig.note("bytes of the first", c::__NR_ioctl, &[one, 0x541b, waits]);
        let bytes = u32::from_ne_bytes(rig.peek(waits));
        rig.tell("bytes of the first", bytes);
        let from = rig.receive_from("peek", one, 3, net::MSG_PEEK);
        rig.tell("from", from == sockaddr(LOCAL, other_port));
        rig.receive_from("all", one, 100, 0);
        rig.receive_from("empty", one, 100, 0);
        let from = rig.receive_from("cut", one, 5, net::MSG_TRUNC);
        rig.tell("from", from == sockaddr(LOCAL, other_port));
        rig.receive_from("no more", one, 5, 0);
        let nobody = rig.fd(c::__NR_socket, &[INET, DGRAM, 0]);
        rig.receive("not bound", nobody, 5, net::MSG_DONTWAIT);
        let unnamed = rig.name(c::__NR_getsockname, nobody);
        rig.tell("no name yet", unnamed);
        let sent = rig.send_to(nobody, "x", &sockaddr(LOCAL, port));
        rig.tell("sent", sent);
        let bound = rig.port(nobody);
        rig.tell("bound by sending", bound != 0);
        let from = rig.receive_from("from anywhere", one, 5, 0);
        rig.tell("its port", from == sockaddr(LOCAL, bound));
    });
}

#[test]
fn udp_refuses_what_it_cannot_do() {
    same(|rig| {
        let (fd, _) = rig.udp();
        let text = rig.put(b"text");
        rig.note("nowhere", c::__NR_sendto, &[fd, text, 4, 0, 0, 0]);
        rig.note("write", c::__NR_write, &[fd, text, 4]);
        for (name, to) in [
            ("port 0", sockaddr(LOCAL, 0)),
            ("short", sockaddr(LOCAL, 9)[..7].to_vec()),
            ("wrong family", loopback6(9)),
        ] {
            let sent = rig.send_to(fd, "x", &to);
            rig.tell(name, sent);
        }
        rig.note("listen", c::__NR_listen, &[fd, 1]);
        rig.note("accept", c::__NR_accept, &[fd, 0, 0]);
        rig.note("shutdown", c::__NR_shutdown, &[fd, 1]);
        rig.note("protocol", c::__NR_socket, &[INET, DGRAM, 6]);
        rig.note("packets", c::__NR_socket, &[INET, u64::from(net::SOCK_SEQPACKET), 0]);
        rig.note("stream of UDP", c::__NR_socket, &[INET, u64::from(net::SOCK_STREAM), 17]);
        for (level, name) in [
            (net::SOL_SOCKET, net::SO_TYPE),
            (net::SOL_SOCKET, net::SO_PROTOCOL),
            (net::SOL_SOCKET, net::SO_ERROR),
            (net::SOL_SOCKET, net::SO_ACCEPTCONN),
            (net::SOL_SOCKET, net::SO_RCVBUF),
        ] {
            rig.get_option(fd, level, name);
        }
        let (other, port) = rig.udp();
        let big = rig.room(65_536);
        let to = rig.put(&sockaddr(LOCAL, port));
        for len in [65_507, 65_508, 65_536] {
            rig.note("long", c::__NR_sendto, &[fd, big, len, 0, to, 16]);
        }
        rig.note("as long as can be", c::__NR_recvfrom, &[other, big, 65_536, DONTWAIT, 0, 0]);
    });
}

#[test]
fn who_is_connected_learns_that_nobody_listens() {
    same(|rig| {
        let (gone, port) = rig.udp();
        let (fd, _) = rig.udp();
        rig.close(gone);
        let sent = rig.send_to(fd, "x", &sockaddr(LOCAL, port));
        rig.tell("not connected", sent);
        rig.receive("nothing", fd, 4, net::MSG_DONTWAIT);
        rig.connect_to("connect", fd, &sockaddr(LOCAL, port));
        let sent = rig.send(fd, "x");
        rig.tell("the first is sent", sent);
        rig.poll(fd, c::POLLERR);
        rig.tell_events("refused", fd);
        let sent = rig.send(fd, "x");
        rig.tell("the second is told", sent);
        let sent = rig.send(fd, "x");
        rig.tell("sent again", sent);
        rig.receive("receiving is told", fd, 4, net::MSG_DONTWAIT);
        rig.receive("once", fd, 4, net::MSG_DONTWAIT);
        let sent = rig.send(fd, "x");
        rig.tell("sent again", sent);
        rig.get_option(fd, net::SOL_SOCKET, net::SO_ERROR);
        rig.get_option(fd, net::SOL_SOCKET, net::SO_ERROR);
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    same(|rig| {
        let ((one, port), (peer, peer_port), (stranger, _)) = (rig.udp(), rig.udp(), rig.udp());
        let (name, len) = (rig.room(16), rig.put(&16u32.to_ne_bytes()));
        rig.note("no peer", c::__NR_getpeername, &[one, name, len]);
        rig.connect_to("connect", one, &sockaddr(LOCAL, peer_port));
        let told = rig.name(c::__NR_getpeername, one);
        rig.tell("peer", told == sockaddr(LOCAL, peer_port));
        for (name, from) in [("stranger", stranger), ("peer", peer)] {
            let sent = rig.send_to(from, name, &sockaddr(LOCAL, port));
            rig.tell(name, sent);
        }
        rig.receive_from("from the peer", one, 20, 0);
        rig.receive_from("nothing from the stranger", one, 20, 0);
        let sent = rig.send(one, "to the peer");
        rig.tell("sent", sent);
        rig.receive_from("to the peer", peer, 20, 0);
        rig.connect_to("another peer", one, &sockaddr(LOCAL, port));
        let sent = rig.send(one, "to itself");
        rig.tell("sent", sent);
        rig.receive_from("to itself", one, 20, 0);
        rig.connect_to("no peer any more", one, &[0; 16]);
        rig.note("no peer", c::__NR_getpeername, &[one, name, len]);
        let kept = rig.port(one);
        rig.tell("keeps its port", kept == port);
        let fd = rig.fd(c::__NR_socket, &[INET, DGRAM, 0]);
        rig.connect_to("bound by connecting", fd, &sockaddr(LOCAL, port));
        let name = rig.name(c::__NR_getsockname, fd);
        rig.tell("address", name[4..8].to_vec());
        rig.connect_to("not bound any more", fd, &[0; 16]);
        let name = rig.name(c::__NR_getsockname, fd);
        rig.tell("address", name);
    });
}

#[test]
fn a_closed_direction_of_udp_is_closed() {
    same(|rig| {
        let ((one, port), (peer, peer_port)) = (rig.udp(), rig.udp());
        rig.connect_to("connect", one, &sockaddr(LOCAL, peer_port));
        rig.note("no more sending", c::__NR_shutdown, &[one, 1]);
        let text = rig.put(b"text");
        rig.note("closed", c::__NR_sendto, &[one, text, 4, 0, 0, 0]);
        rig.tell_events("half closed", one);
        let sent = rig.send_to(peer, "x", &sockaddr(LOCAL, port));
        rig.tell("sent", sent);
        rig.receive("still open", one, 4, net::MSG_DONTWAIT);
        rig.note("no more receiving", c::__NR_shutdown, &[one, 0]);
        rig.tell_events("closed", one);
        rig.receive("the end", one, 4, 0);
    });
}

#[test]
fn udp_ports_are_shared_by_those_who_want_to() {
    // An address at which no other test has connections, whose ports could be this one.
    const HERE: [u8; 4] = [127, 0, 0, 9];
    same(|rig| {
        let sockets: Vec<u64> = (0..3).map(|_| rig.fd(c::__NR_socket, &[INET, DGRAM, 0])).collect();
        for &fd in &sockets[..2] {
            rig.set_flag(fd, net::SOL_SOCKET, net::SO_REUSEADDR, 1);
        }
        let addr = rig.put(&sockaddr(HERE, 0));
        rig.note("first", c::__NR_bind, &[sockets[0], addr, 16]);
        let port = rig.port(sockets[0]);
        let addr = rig.put(&sockaddr(HERE, port));
        rig.note("second", c::__NR_bind, &[sockets[1], addr, 16]);
        rig.note("third, which does not share", c::__NR_bind, &[sockets[2], addr, 16]);
        let elsewhere = rig.put(&sockaddr([127, 0, 0, 2], port));
        rig.note("at another address", c::__NR_bind, &[sockets[2], elsewhere, 16]);
        let stream = rig.fd(c::__NR_socket, &[INET, u64::from(net::SOCK_STREAM), 0]);
        rig.note("TCP has ports of its own", c::__NR_bind, &[stream, addr, 16]);
        let (from, _) = rig.udp();
        let sent = rig.send_to(from, "for the last", &sockaddr(HERE, port));
        rig.tell("sent", sent);
        rig.receive_from("first", sockets[0], 20, 0);
        rig.receive_from("second", sockets[1], 20, 0);
    });
}

#[test]
fn an_ipv6_socket_hears_ipv4_unless_told_not_to() {
    same(|rig| {
        for only_v6 in [0, 1] {
            let fd = rig.fd(c::__NR_socket, &[INET6, DGRAM, 0]);
            rig.set_flag(fd, net::SOL_IPV6, net::IPV6_V6ONLY, only_v6);
            let addr = rig.put(&sockaddr6([0; 16], 0));
            rig.note("bind", c::__NR_bind, &[fd, addr, 28]);
            let port = rig.port(fd);
            let (v4, v4_port) = rig.udp();
            let sent = rig.send_to(v4, "over IPv4", &sockaddr(LOCAL, port));
            rig.tell("sent", sent);
            let from = rig.receive_from("over IPv4", fd, 20, 0);
            rig.tell("mapped", from.get(8..24).map(<[u8]>::to_vec));
            if only_v6 == 0 {
                let mut mapped = [0; 16];
                mapped[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
                let sent = rig.send_to(fd, "back", &sockaddr6(mapped, v4_port));
                rig.tell("sent", sent);
                let from = rig.receive_from("back", v4, 20, 0);
                rig.tell("from IPv4", from == sockaddr(LOCAL, port));
            }
            let v6 = rig.fd(c::__NR_socket, &[INET6, DGRAM, 0]);
            let sent = rig.send_to(v6, "over IPv6", &loopback6(port));
            rig.tell("sent", sent);
            let from = rig.receive_from("over IPv6", fd, 20, 0);
            let sender = rig.port(v6);
            rig.tell("from", from == loopback6(sender));
        }
    });
}

#[test]
fn what_a_full_socket_is_sent_is_lost() {
    same(|rig| {
        let (one, port) = rig.udp();
        let (other, _) = rig.udp();
        rig.set_flag(one, net::SOL_SOCKET, net::SO_RCVBUF, 20_000);
        let (block, to) = (rig.put(&[7; 8000]), rig.put(&sockaddr(LOCAL, port)));
        let sent: Vec<i64> =
            (0..100).map(|_| rig.call(c::__NR_sendto, &[other, block, 8000, 0, to, 16])).collect();
        rig.tell("all are sent", sent.iter().all(|&sent| sent == 8000));
        let mut came = 0;
        while rig.call(c::__NR_recvfrom, &[one, block, 8000, DONTWAIT, 0, 0]) == 8000 {
            came += 1;
        }
        rig.tell("some came", (1..10).contains(&came));
        let timeout = rig.put(&[0i64, 20_000].map(i64::to_ne_bytes).concat());
        let option = [net::SOL_SOCKET, net::SO_RCVTIMEO].map(u64::from);
        rig.note("timeout", c::__NR_setsockopt, &[one, option[0], option[1], timeout, 16]);
        rig.note("nothing comes", c::__NR_recvfrom, &[one, block, 8000, 0, 0, 0]);
    });
}

#[test]
fn many_messages_go_in_one_call() {
    same(|rig| {
        let ((one, port), (other, _)) = (rig.udp(), rig.udp());
        let to = rig.put(&sockaddr(LOCAL, port));
        let mut headers = Vec::new();
        for text in [&b"one"[..], b"two", b"three"] {
            let base = rig.put(text);
            let list = rig.put(&[base, text.len() as u64].map(u64::to_ne_bytes).concat());
            headers.extend([to, 16, list, 1, 0, 0, 0, 0]);
        }
        let headers = rig.put(&headers.iter().flat_map(|field| field.to_ne_bytes()).collect::<Vec<u8>>());
        rig.note("send", c::__NR_sendmmsg, &[other, headers, 3, 0]);
        let lens: Vec<[u8; 4]> = (0..3).map(|index| rig.peek(headers + 56 + 64 * index)).collect();
        rig.tell("lengths", lens);
        rig.note("receive", c::__NR_recvmmsg, &[one, headers, 2, DONTWAIT, 0]);
        rig.note("receive the rest", c::__NR_recvmmsg, &[one, headers, 3, 0x10000, 0]);
        rig.note("nothing", c::__NR_recvmmsg, &[one, headers, 3, DONTWAIT, 0]);
        let bad = rig.put(&[0i64, -1].map(i64::to_ne_bytes).concat());
        rig.note("bad timeout", c::__NR_recvmmsg, &[one, headers, 3, DONTWAIT, bad]);
        rig.note("none", c::__NR_sendmmsg, &[other, headers, 0, 0]);
        rig.note("nowhere", c::__NR_sendmmsg, &[other, 16, 3, 0]);
    });
}

#[test]
fn udp_lite_has_ports_and_options_of_its_own() {
    let mut rig = Rig::pico();
    let kind = net::SOCK_DGRAM.into();
    let [lite, sender] = [0, 1].map(|_| rig.fd(c::__NR_socket, &[INET, kind, 136]));
    let udp = rig.fd(c::__NR_socket, &[INET, kind, 0]);
    let any = rig.put(&sockaddr(LOCAL, 0));
    assert_eq!(rig.call(c::__NR_bind, &[lite, any, 16]), 0);
    let port = rig.port(lite);
    let addr = rig.put(&sockaddr(LOCAL, port));
    assert_eq!(rig.call(c::__NR_bind, &[udp, addr, 16]), 0, "the port is free for UDP");
    for from in [udp, sender] {
        assert_eq!(rig.call(c::__NR_sendto, &[from, addr, 3, 0, addr, 16]), 3);
    }
    let (value, len) = (rig.put(&5u32.to_ne_bytes()), rig.put(&4u32.to_ne_bytes()));
    assert_eq!(rig.call(c::__NR_setsockopt, &[lite, 136, 10, value, 4]), 0);
    assert_eq!(rig.call(c::__NR_getsockopt, &[lite, 136, 10, value, len]), 0);
    assert_eq!(u32::from_ne_bytes(rig.peek(value)), 8, "the head is covered at least");
    assert_eq!(
        rig.call(c::__NR_setsockopt, &[udp, 136, 10, value, 4]),
        -i64::from(linux_raw_sys::errno::ENOPROTOOPT)
    );
    let buf = rig.room(8);
    let receive = |rig: &mut Rig| rig.call(c::__NR_recvfrom, &[lite, buf, 8, DONTWAIT, 0, 0]);
    assert_eq!([receive(&mut rig), receive(&mut rig)], [3, -i64::from(linux_raw_sys::errno::EAGAIN)]);
}
