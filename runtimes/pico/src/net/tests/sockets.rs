//! TCP sockets and socket pairs.

use super::rig::{Rig, same};
use linux_raw_sys::general as c;
use linux_raw_sys::net;
use std::format;
use std::vec::Vec;

pub(super) const STREAM: u64 = net::SOCK_STREAM as u64;
pub(super) const INET: u64 = net::AF_INET as u64;
pub(super) const INET6: u64 = net::AF_INET6 as u64;
pub(super) const UNIX: u64 = net::AF_UNIX as u64;
pub(super) const DONTWAIT: u64 = net::MSG_DONTWAIT as u64;
pub(super) const NOSIGNAL: u64 = net::MSG_NOSIGNAL as u64;

pub(super) fn sockaddr(host: [u8; 4], port: u16) -> Vec<u8> {
    let mut bytes = std::vec![2, 0];
    bytes.extend(port.to_be_bytes());
    bytes.extend(host);
    bytes.extend([0; 8]);
    bytes
}

pub(super) fn sockaddr6(host: [u8; 16], port: u16) -> Vec<u8> {
    let mut bytes = std::vec![10, 0];
    bytes.extend(port.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(host);
    bytes.extend([0; 4]);
    bytes
}

pub(super) const LOCAL: [u8; 4] = [127, 0, 0, 1];

impl Rig {
    pub(super) fn name(&mut self, call: u32, fd: u64) -> Vec<u8> {
        let (addr, len) = (self.room(28), self.put(&28u32.to_ne_bytes()));
        assert_eq!(self.call(call, &[fd, addr, len]), 0);
        let len = u32::from_ne_bytes(self.peek(len));
        self.bytes(addr, len as usize)
    }

    pub(super) fn port(&mut self, fd: u64) -> u16 {
        let name = self.name(c::__NR_getsockname, fd);
        u16::from_be_bytes([name[2], name[3]])
    }

    /// A socket listening at `127.0.0.1`, and its port.
    fn listener(&mut self) -> (u64, u16) {
        let fd = self.fd(c::__NR_socket, &[INET, STREAM, 0]);
        let addr = self.put(&sockaddr(LOCAL, 0));
        assert_eq!(self.call(c::__NR_bind, &[fd, addr, 16]), 0);
        assert_eq!(self.call(c::__NR_listen, &[fd, 8]), 0);
        (fd, self.port(fd))
    }

    /// The two ends of a TCP connection.
    fn connection(&mut self) -> (u64, u64) {
        let (listener, port) = self.listener();
        let client = self.fd(c::__NR_socket, &[INET, STREAM, 0]);
        let addr = self.put(&sockaddr(LOCAL, port));
        assert_eq!(self.call(c::__NR_connect, &[client, addr, 16]), 0);
        let server = self.fd(c::__NR_accept, &[listener, 0, 0]);
        (client, server)
    }

    pub(super) fn pair(&mut self, kind: u32) -> (u64, u64) {
        let fds = self.room(8);
        assert_eq!(self.call(c::__NR_socketpair, &[UNIX, kind.into(), 0, fds]), 0);
        self.two_fds(fds)
    }

    pub(super) fn send(&mut self, fd: u64, text: &str) -> i64 {
        let addr = self.put(text.as_bytes());
        self.call(c::__NR_sendto, &[fd, addr, text.len() as u64, NOSIGNAL, 0, 0])
    }

    pub(super) fn receive(&mut self, name: &str, fd: u64, len: usize, flags: u32) {
        let addr = self.room(len);
        let result = self.call(c::__NR_recvfrom, &[fd, addr, len as u64, flags.into(), 0, 0]);
        self.tell(name, result);
        let shown = usize::try_from(result).unwrap_or(0).min(len);
        self.tell_text(name, addr, shown);
    }

    pub(super) fn get_option(&mut self, fd: u64, level: u32, name: u32) {
        let (value, len) = (self.room(16), self.put(&16u32.to_ne_bytes()));
        let result = self.call(c::__NR_getsockopt, &[fd, level.into(), name.into(), value, len]);
        let len = u32::from_ne_bytes(self.peek(len)) as usize;
        let bytes = if result < 0 { Vec::new() } else { self.bytes(value, len) };
        self.tell(&format!("option {level} {name}"), (result, bytes));
    }
}

#[test]
fn a_connection_lives_and_dies() {
    same(|rig| {
        let (listener, port) = rig.listener();
        rig.tell_events("nobody waits", listener);
        let client = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
        rig.tell_events("new socket", client);
        let addr = rig.put(&sockaddr(LOCAL, port));
        rig.note("connect", c::__NR_connect, &[client, addr, 16]);
        rig.note("connect again", c::__NR_connect, &[client, addr, 16]);
        rig.poll(listener, c::POLLIN);
        rig.tell_events("somebody waits", listener);
        let (name, len) = (rig.room(28), rig.put(&28u32.to_ne_bytes()));
        let server = rig.fd(c::__NR_accept4, &[listener, name, len, c::O_CLOEXEC.into()]);
        let local = rig.name(c::__NR_getsockname, client);
        let told = rig.bytes(name, 16);
        rig.tell("accept tells the client's name", told == local);
        let (peer, own) = (rig.name(c::__NR_getpeername, client), rig.name(c::__NR_getsockname, server));
        rig.tell("the peer is who listened", peer == own && own == sockaddr(LOCAL, port));
        rig.tell_events("quiet connection", server);
        rig.receive("nothing yet", server, 8, net::MSG_DONTWAIT);
        let sent = rig.send(client, "hello world");
        rig.tell("sent", sent);
        rig.poll(server, c::POLLIN);
        rig.tell_events("something to read", server);
        rig.receive("peek", server, 5, net::MSG_PEEK);
        rig.receive("read", server, 6, 0);
        rig.receive("all of the rest", server, 5, net::MSG_WAITALL);
        rig.note("shutdown", c::__NR_shutdown, &[client, 1]);
        rig.poll(server, c::POLLRDHUP);
        rig.tell_events("half closed, its peer", server);
        rig.tell_events("half closed itself", client);
        rig.receive("end", server, 5, 0);
        let (after, back) = (rig.send(client, "x"), rig.send(server, "back"));
        rig.tell("the closed half, the open half", (after, back));
        rig.poll(client, c::POLLIN);
        rig.receive("still open", client, 9, 0);
        rig.close(server);
        rig.poll(client, c::POLLHUP);
        rig.tell_events("closed both ways", client);
        rig.receive("the end", client, 9, 0);
    });
}

#[test]
fn sockets_refuse_what_they_cannot_do() {
    same(|rig| {
        rig.note("family", c::__NR_socket, &[999, STREAM, 0]);
        rig.note("type", c::__NR_socket, &[INET, 99, 0]);
        rig.note("protocol", c::__NR_socket, &[INET, STREAM, 17]);
        let fds = rig.room(8);
        rig.note("pair of inet", c::__NR_socketpair, &[INET, STREAM, 0, fds]);
        let fd = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
        rig.receive("not connected", fd, 4, 0);
        let sent = rig.send(fd, "x");
        rig.tell("not connected", sent);
        rig.note("accept", c::__NR_accept, &[fd, 0, 0]);
        rig.note("bad flags", c::__NR_accept4, &[fd, 0, 0, 1]);
        let (name, len) = (rig.room(16), rig.put(&16u32.to_ne_bytes()));
        rig.note("no peer", c::__NR_getpeername, &[fd, name, len]);
        rig.note("shutdown", c::__NR_shutdown, &[fd, 2]);
        let any = rig.name(c::__NR_getsockname, fd);
        rig.tell("no name", any);
        rig.note("bad descriptor", c::__NR_listen, &[9999, 1]);
        let fds = rig.room(8);
        rig.note("pipe", c::__NR_pipe, &[fds]);
        let (pipe, _) = rig.two_fds(fds);
        rig.note("not a socket", c::__NR_listen, &[pipe, 1]);
        let (pair, _) = rig.pair(net::SOCK_DGRAM);
        rig.note("datagrams do not listen", c::__NR_listen, &[pair, 1]);
        rig.note("nor accept", c::__NR_accept, &[pair, 0, 0]);
        let (connected, _) = rig.connection();
        rig.note("a connection does not listen", c::__NR_listen, &[connected, 1]);
        rig.note("bad how", c::__NR_shutdown, &[connected, 3]);
        let addr = rig.put(b"x");
        rig.note("out-of-band", c::__NR_recvfrom, &[pair, addr, 1, DONTWAIT, 0, 0]);
    });
}

#[test]
fn addresses_are_checked() {
    same(|rig| {
        let fd = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
        for (name, bytes, len) in [
            ("short", sockaddr(LOCAL, 0), 15),
            ("far too long", sockaddr(LOCAL, 0), 129),
            ("negative", sockaddr(LOCAL, 0), u64::MAX),
            ("not here", sockaddr([8, 8, 8, 8], 0), 16),
            ("other family", sockaddr6([0; 16], 0), 28),
            ("fine", sockaddr([127, 9, 9, 9], 0), 16),
            ("twice", sockaddr(LOCAL, 0), 16),
        ] {
            let addr = rig.put(&bytes);
            rig.note(name, c::__NR_bind, &[fd, addr, len]);
        }
        rig.note("nowhere", c::__NR_bind, &[fd, 16, 16]);
        let (_, port) = rig.listener();
        let other = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
        let addr = rig.put(&sockaddr(LOCAL, port));
        rig.note("in use", c::__NR_bind, &[other, addr, 16]);
        let addr = rig.put(&sockaddr([0; 4], port));
        rig.note("in use everywhere", c::__NR_bind, &[other, addr, 16]);
        let addr = rig.put(&sockaddr([127, 0, 0, 2], port));
        rig.note("free elsewhere", c::__NR_bind, &[other, addr, 16]);
        let client = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
        rig.note("bound, but does not listen", c::__NR_connect, &[client, addr, 16]);
        let addr = rig.put(&sockaddr6([0; 16], port));
        rig.note("other family", c::__NR_connect, &[client, addr, 28]);
    });
}

#[test]
fn a_port_can_be_shared_before_somebody_listens() {
    same(|rig| {
        let one = 1u32.to_ne_bytes();
        let sockets: Vec<u64> = (0..3).map(|_| rig.fd(c::__NR_socket, &[INET, STREAM, 0])).collect();
        let value = rig.put(&one);
        for &fd in &sockets[..2] {
            let (level, name) = (net::SOL_SOCKET.into(), net::SO_REUSEADDR.into());
            rig.note("reuse", c::__NR_setsockopt, &[fd, level, name, value, 4]);
        }
        let addr = rig.put(&sockaddr(LOCAL, 0));
        rig.note("first", c::__NR_bind, &[sockets[0], addr, 16]);
        let port = rig.port(sockets[0]);
        let addr = rig.put(&sockaddr(LOCAL, port));
        rig.note("second", c::__NR_bind, &[sockets[1], addr, 16]);
        rig.note("third, which does not share", c::__NR_bind, &[sockets[2], addr, 16]);
        rig.note("first listens", c::__NR_listen, &[sockets[0], 1]);
        rig.note("second listens", c::__NR_listen, &[sockets[1], 1]);
        rig.close(sockets[0]);
        rig.note("second listens now", c::__NR_listen, &[sockets[1], 1]);
    });
}

#[test]
fn an_ipv6_socket_takes_ipv4_unless_told_not_to() {
    same(|rig| {
        for only_v6 in [0u32, 1] {
            let listener = rig.fd(c::__NR_socket, &[INET6, STREAM, 0]);
            let value = rig.put(&only_v6.to_ne_bytes());
            let (level, name) = (net::SOL_IPV6.into(), net::IPV6_V6ONLY.into());
            rig.note("only IPv6", c::__NR_setsockopt, &[listener, level, name, value, 4]);
            let addr = rig.put(&sockaddr6([0; 16], 0));
            rig.note("bind", c::__NR_bind, &[listener, addr, 28]);
            rig.note("too late", c::__NR_setsockopt, &[listener, level, name, value, 4]);
            rig.note("listen", c::__NR_listen, &[listener, 1]);
            let port = rig.port(listener);
            let client = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
            let addr = rig.put(&sockaddr(LOCAL, port));
            if rig.note("connect over IPv4", c::__NR_connect, &[client, addr, 16]) == 0 {
                let server = rig.fd(c::__NR_accept, &[listener, 0, 0]);
                let names = [c::__NR_getsockname, c::__NR_getpeername]
                    .map(|call| rig.name(call, server)[8..].to_vec());
                rig.tell("mapped", names);
            }
            let client = rig.fd(c::__NR_socket, &[INET6, STREAM, 0]);
            let mut loopback = [0; 16];
            loopback[15] = 1;
            let addr = rig.put(&sockaddr6(loopback, port));
            rig.note("connect over IPv6", c::__NR_connect, &[client, addr, 28]);
            let server = rig.fd(c::__NR_accept, &[listener, 0, 0]);
            let name = rig.name(c::__NR_getsockname, server);
            rig.tell("its own", name == sockaddr6(loopback, port));
        }
    });
}

#[test]
fn options_are_kept_and_shown() {
    same(|rig| {
        let (fd, _) = rig.listener();
        for (level, name) in [
            (net::SOL_SOCKET, net::SO_TYPE),
            (net::SOL_SOCKET, net::SO_DOMAIN),
            (net::SOL_SOCKET, net::SO_PROTOCOL),
            (net::SOL_SOCKET, net::SO_ACCEPTCONN),
            (net::SOL_SOCKET, net::SO_ERROR),
            (net::SOL_SOCKET, net::SO_LINGER),
            (net::SOL_SOCKET, net::SO_RCVTIMEO),
            (net::SOL_TCP, net::TCP_NODELAY),
            (net::SOL_TCP, net::TCP_KEEPIDLE),
            (net::SOL_TCP, 9999),
            (9999, 1),
        ] {
            rig.get_option(fd, level, name);
        }
        for (level, name, value) in [
            (net::SOL_SOCKET, net::SO_REUSEADDR, 5u32),
            (net::SOL_SOCKET, net::SO_KEEPALIVE, 1),
            (net::SOL_SOCKET, net::SO_RCVBUF, 10_000),
            (net::SOL_SOCKET, net::SO_TYPE, 1),
            (net::SOL_TCP, net::TCP_NODELAY, 1),
            (net::SOL_TCP, net::TCP_KEEPCNT, 0),
            (net::SOL_TCP, net::TCP_KEEPCNT, 4),
            (net::SOL_TCP, 9999, 1),
            (net::SOL_IP, 1, 16),
        ] {
            let addr = rig.put(&value.to_ne_bytes());
            rig.note("set", c::__NR_setsockopt, &[fd, level.into(), name.into(), addr, 4]);
            rig.get_option(fd, level, name);
        }
        let addr = rig.put(&[2i64, 500_000].map(i64::to_ne_bytes).concat());
        let (level, name) = (net::SOL_SOCKET, net::SO_RCVTIMEO);
        rig.note("timeout", c::__NR_setsockopt, &[fd, level.into(), name.into(), addr, 16]);
        rig.get_option(fd, level, name);
        rig.note("short", c::__NR_setsockopt, &[fd, level.into(), net::SO_REUSEADDR.into(), addr, 3]);
        rig.note(
            "negative",
            c::__NR_setsockopt,
            &[fd, level.into(), net::SO_REUSEADDR.into(), addr, u64::MAX],
        );
    });
}

#[test]
fn receiving_gives_up_at_its_timeout() {
    same(|rig| {
        let (one, _) = rig.pair(net::SOCK_STREAM);
        let addr = rig.put(&[0i64, 20_000].map(i64::to_ne_bytes).concat());
        let option = [net::SOL_SOCKET, net::SO_RCVTIMEO].map(u64::from);
        rig.note("timeout", c::__NR_setsockopt, &[one, option[0], option[1], addr, 16]);
        rig.receive("nothing comes", one, 4, 0);
        let text = rig.room(4);
        rig.note("nor to read", c::__NR_read, &[one, text, 4]);
    });
}

#[test]
fn stream_pairs_know_the_end() {
    same(|rig| {
        let (one, other) = rig.pair(net::SOCK_STREAM);
        rig.tell_events("new", one);
        let sent = [rig.send(one, "abc"), rig.send(one, "def")];
        rig.tell("sent", sent);
        rig.receive("run together", other, 10, 0);
        let text = rig.put(b"last words");
        rig.note("write", c::__NR_write, &[one, text, 10]);
        rig.close(one);
        rig.tell_events("peer closed", other);
        rig.receive("what was left", other, 4, 0);
        let text = rig.room(20);
        rig.note("the rest", c::__NR_read, &[other, text, 20]);
        rig.note("end", c::__NR_read, &[other, text, 20]);
        let sent = rig.send(other, "x");
        rig.tell("nobody listens", sent);
    });
}

#[test]
fn message_pairs_keep_messages_whole() {
    for kind in [net::SOCK_DGRAM, net::SOCK_SEQPACKET] {
        same(|rig| {
            let (one, other) = rig.pair(kind);
            rig.tell_events("new", other);
            let sent = [rig.send(one, "first"), rig.send(one, "second"), rig.send(one, "")];
            rig.tell("sent", sent);
            rig.receive("peek", other, 3, net::MSG_PEEK);
            rig.receive("cut, with its length", other, 3, net::MSG_TRUNC);
            rig.receive("second", other, 10, net::MSG_WAITALL);
            rig.receive("empty", other, 10, 0);
            rig.receive("none", other, 10, net::MSG_DONTWAIT);
            rig.close(one);
            rig.tell_events("peer closed", other);
            rig.receive("end", other, 10, net::MSG_DONTWAIT);
            let sent = rig.send(other, "x");
            rig.tell("nobody listens", sent);
        });
    }
}

#[test]
fn messages_are_gathered_and_scattered() {
    for kind in [net::SOCK_STREAM, net::SOCK_SEQPACKET] {
        same(|rig| {
            let (one, other) = rig.pair(kind);
            let header = |rig: &mut Rig, parts: &[(u64, u64)]| {
                let list: Vec<u8> =
                    parts.iter().flat_map(|p| [p.0.to_ne_bytes(), p.1.to_ne_bytes()]).flatten().collect();
                let list = rig.put(&list);
                let fields = [0, 0, list, parts.len() as u64, 0, 0, 0];
                rig.put(&fields.map(u64::to_ne_bytes).concat())
            };
            let text = rig.put(b"hello world");
            let message = header(rig, &[(text, 6), (text, 0), (text + 6, 5)]);
            rig.note("send", c::__NR_sendmsg, &[one, message, NOSIGNAL]);
            let target = rig.room(16);
            let message = header(rig, &[(target, 2), (target + 8, 5)]);
            for flags in [net::MSG_PEEK, 0] {
                rig.note("receive", c::__NR_recvmsg, &[other, message, flags.into()]);
                rig.tell_text("first", target, 2);
                rig.tell_text("second", target + 8, 5);
                let flags = u32::from_ne_bytes(rig.peek(message + 48));
                rig.tell("flags", flags);
            }
            let many = header(rig, &[(text, 1)]);
            rig.poke(many + 24, &1025u64.to_ne_bytes());
            rig.note("too many parts", c::__NR_sendmsg, &[one, many, NOSIGNAL]);
            let huge = header(rig, &[(text, u64::MAX)]);
            rig.note("too long", c::__NR_sendmsg, &[one, huge, NOSIGNAL]);
        });
    }
}

#[test]
fn what_pico_has_not_is_refused() {
    let mut rig = Rig::pico();
    let errno = |errno: u32| -i64::from(errno);
    let (dgram, raw) = (net::SOCK_DGRAM.into(), net::SOCK_RAW.into());
    assert_eq!(rig.call(c::__NR_socket, &[INET, raw, 0]), errno(linux_raw_sys::errno::EPROTONOSUPPORT));
    let netlink = net::AF_NETLINK.into();
    let diagnosis = rig.call(c::__NR_socket, &[netlink, dgram, 4]);
    assert_eq!(diagnosis, errno(linux_raw_sys::errno::EPROTONOSUPPORT));
    let fd = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
    let addr = rig.put(&sockaddr([8, 8, 8, 8], 53));
    assert_eq!(rig.call(c::__NR_connect, &[fd, addr, 16]), errno(linux_raw_sys::errno::ENETUNREACH));
    let udp = rig.fd(c::__NR_socket, &[INET, dgram, 0]);
    assert_eq!(rig.call(c::__NR_connect, &[udp, addr, 16]), errno(linux_raw_sys::errno::ENETUNREACH));
    let unreachable = rig.call(c::__NR_sendto, &[udp, addr, 1, 0, addr, 16]);
    assert_eq!(unreachable, errno(linux_raw_sys::errno::ENETUNREACH));
    let unix = rig.fd(c::__NR_socket, &[UNIX, STREAM, 0]);
    let addr = rig.put(b"\x01\0/dev/log\0");
    assert_eq!(rig.call(c::__NR_connect, &[unix, addr, 11]), errno(linux_raw_sys::errno::ENOENT));
    let addr = rig.put(b"\x01\0\0abstract");
    assert_eq!(rig.call(c::__NR_connect, &[unix, addr, 11]), errno(linux_raw_sys::errno::ECONNREFUSED));
}

#[test]
fn a_full_backlog_and_full_buffers_refuse() {
    let mut rig = Rig::pico();
    let (listener, port) = rig.listener();
    assert_eq!(rig.call(c::__NR_listen, &[listener, 1]), 0);
    let addr = rig.put(&sockaddr(LOCAL, port));
    let results: Vec<i64> = (0..3)
        .map(|_| {
            let fd = rig.fd(c::__NR_socket, &[INET, STREAM, 0]);
            rig.call(c::__NR_connect, &[fd, addr, 16])
        })
        .collect();
    assert_eq!(results, [0, 0, -i64::from(linux_raw_sys::errno::ETIMEDOUT)]);
    let block = rig.put(&[7; 65536]);
    let mut total = 0;
    let refused = loop {
        let (one, _) = rig.pair(net::SOCK_STREAM);
        let sent = loop {
            match rig.call(c::__NR_sendto, &[one, block, 65536, DONTWAIT, 0, 0]) {
                sent if sent > 0 => total += sent,
                refused => break refused,
            }
        };
        if sent != -i64::from(linux_raw_sys::errno::EAGAIN) {
            break sent;
        }
    };
    assert_eq!(refused, -i64::from(linux_raw_sys::errno::ENOBUFS));
    assert_eq!(total, 1 << 20);
}
