//! Unix sockets and their names.

use super::rig::{Rig, same};
use super::sockets::UNIX;
use linux_raw_sys::general as c;
use linux_raw_sys::net;
use std::format;
use std::string::String;
use std::vec::Vec;

fn address(name: &[u8]) -> Vec<u8> {
    [&[1, 0], name].concat()
}

/// A path nobody else has.
fn path(name: &str) -> String {
    format!("/tmp/pico-unix-{}-{name}", std::process::id())
}

impl Rig {
    fn unix(&mut self, kind: u32) -> u64 {
        self.fd(c::__NR_socket, &[UNIX, kind.into(), 0])
    }

    fn bind_name(&mut self, name: &str, fd: u64, to: &[u8]) -> i64 {
        let bytes = address(to);
        let addr = self.put(&bytes);
        self.note(name, c::__NR_bind, &[fd, addr, bytes.len() as u64])
    }

    fn connect_name(&mut self, name: &str, fd: u64, to: &[u8]) -> i64 {
        let bytes = address(to);
        let addr = self.put(&bytes);
        self.note(name, c::__NR_connect, &[fd, addr, bytes.len() as u64])
    }

    fn unlink(&mut self, path: &str) -> i64 {
        let path = self.put(format!("{path}\0").as_bytes());
        self.call(c::__NR_unlink, &[path])
    }

    fn long_name(&mut self, call: u32, fd: u64) -> (i64, Vec<u8>) {
        let (addr, len) = (self.room(128), self.put(&128u32.to_ne_bytes()));
        let result = self.call(call, &[fd, addr, len]);
        let len = u32::from_ne_bytes(self.peek(len));
        (result, self.bytes(addr, if result < 0 { 0 } else { len as usize }))
    }

    fn tell_names(&mut self, name: &str, fd: u64) {
        let names = [c::__NR_getsockname, c::__NR_getpeername].map(|call| self.long_name(call, fd));
        self.tell(name, names);
    }
}

#[test]
fn a_connection_at_a_path_lives_and_dies() {
    for (kind, file) in [(net::SOCK_STREAM, "stream"), (net::SOCK_SEQPACKET, "packets")] {
        same(|rig| {
            let path = path(file);
            rig.unlink(&path);
            let (listener, client) = (rig.unix(kind), rig.unix(kind));
            rig.connect_name("nothing there", client, path.as_bytes());
            rig.note("not bound", c::__NR_listen, &[listener, 1]);
            rig.bind_name("bind", listener, path.as_bytes());
            rig.bind_name("twice", listener, b"\0other");
            let other = rig.unix(kind);
            rig.bind_name("taken", other, path.as_bytes());
            rig.connect_name("nobody listens", client, path.as_bytes());
            rig.note("listen", c::__NR_listen, &[listener, 1]);
            let wrong = rig.unix(net::SOCK_DGRAM);
            rig.connect_name("of another type", wrong, path.as_bytes());
            rig.connect_name("connect", client, path.as_bytes());
            rig.connect_name("connect again", client, path.as_bytes());
            rig.tell_events("somebody waits", listener);
            let sent = rig.send(client, "early");
            rig.tell("sent before it is accepted", sent);
            let (name, len) = (rig.room(128), rig.put(&128u32.to_ne_bytes()));
            let server = rig.fd(c::__NR_accept, &[listener, name, len]);
            let len = u32::from_ne_bytes(rig.peek(len));
            rig.tell("a client without a name", len);
            for (name, fd) in [("listener", listener), ("client", client), ("server", server)] {
                rig.tell_names(name, fd);
            }
            rig.get_option(listener, net::SOL_SOCKET, net::SO_ACCEPTCONN);
            rig.receive("early", server, 10, 0);
            rig.tell_events("quiet", server);
            let removed = rig.unlink(&path);
            rig.tell("unlink", removed);
            let late = rig.unix(kind);
            rig.connect_name("the path is gone", late, path.as_bytes());
            let sent = rig.send(server, "still connected");
            rig.tell("sent", sent);
            rig.receive("the connection is not", client, 20, 0);
            rig.note("shutdown", c::__NR_shutdown, &[client, 1]);
            rig.tell_events("half closed", server);
            rig.receive("end", server, 10, 0);
            rig.close(client);
            rig.tell_events("closed", server);
            let text = rig.put(b"x");
            rig.note("nobody there", c::__NR_sendto, &[server, text, 1, 0x4000, 0, 0]);
        });
    }
}

#[test]
fn who_closes_with_something_unread_resets_the_connection() {
    for kind in [net::SOCK_STREAM, net::SOCK_SEQPACKET] {
        for sends in [false, true] {
            same(|rig| {
                let (one, other) = rig.pair(kind);
                let sent = [rig.send(one, "unread"), rig.send(other, "sent")];
                rig.tell("sent", sent);
                rig.close(other);
                rig.tell_events("reset", one);
                let text = rig.put(b"x");
                if sends {
                    rig.note("nobody there", c::__NR_sendto, &[one, text, 1, net::MSG_NOSIGNAL.into(), 0, 0]);
                }
                for name in ["first", "second", "third"] {
                    rig.receive(name, one, 10, 0);
                }
            });
        }
    }
}

#[test]
fn names_are_checked() {
    same(|rig| {
        let fd = rig.unix(net::SOCK_STREAM);
        rig.bind_name("no such directory", fd, b"/tmp/no-such-directory-here/x");
        rig.bind_name("not a directory", fd, b"/dev/null/x");
        rig.bind_name("something else is there", fd, b"/dev/null");
        rig.bind_name("a directory", fd, b"/tmp/");
        let addr = rig.put(&address(&[b'a'; 120]));
        for len in [0, 1, 111, 129, u64::MAX] {
            rig.note("length", c::__NR_bind, &[fd, addr, len]);
            rig.note("length", c::__NR_connect, &[fd, addr, len]);
        }
        rig.connect_name("without a name", fd, b"");
        rig.connect_name("not a socket", fd, b"/dev/null");
        rig.connect_name("nobody has it", fd, b"\0pico nobody has this name");
        let addr = rig.put(&[2, 0, b'x', 0]);
        rig.note("family", c::__NR_bind, &[fd, addr, 4]);
        rig.note("family", c::__NR_connect, &[fd, addr, 4]);
        rig.bind_name("any name", fd, b"");
        let (_, name) = rig.long_name(c::__NR_getsockname, fd);
        rig.tell("five digits", (name.len(), name[2]));
        rig.bind_name("any name once more", fd, b"");
        rig.bind_name("a name of its own", fd, b"\0mine");
        rig.note("shutdown", c::__NR_shutdown, &[fd, 2]);
    });
}

#[test]
fn abstract_names_are_free_again_when_nobody_has_them() {
    same(|rig| {
        let name = format!("\0pico {}\0with a NUL", std::process::id());
        let (one, other) = (rig.unix(net::SOCK_STREAM), rig.unix(net::SOCK_STREAM));
        rig.bind_name("bind", one, name.as_bytes());
        rig.bind_name("taken", other, name.as_bytes());
        rig.tell_names("its name", one);
        rig.close(one);
        rig.bind_name("free", other, name.as_bytes());
    });
}

#[test]
fn a_full_backlog_makes_wait() {
    same(|rig| {
        let name = format!("\0pico backlog {}", std::process::id());
        let listener = rig.unix(net::SOCK_STREAM);
        rig.bind_name("bind", listener, name.as_bytes());
        rig.note("listen", c::__NR_listen, &[listener, 1]);
        let mut clients = Vec::new();
        for _ in 0..3 {
            let fd = rig.unix(net::SOCK_STREAM | c::O_NONBLOCK);
            rig.connect_name("connect", fd, name.as_bytes());
            clients.push(fd);
        }
        let server = rig.fd(c::__NR_accept, &[listener, 0, 0]);
        rig.connect_name("room again", clients[2], name.as_bytes());
        rig.close(listener);
        rig.close(server);
        rig.tell_events("closed", clients[0]);
        let late = rig.unix(net::SOCK_STREAM);
        rig.connect_name("nobody", late, name.as_bytes());
    });
}

#[test]
fn unix_datagrams_go_to_names() {
    same(|rig| {
        let names = ["one", "two"].map(|name| format!("\0pico {name} {}", std::process::id()));
        let (one, two, three) =
            (rig.unix(net::SOCK_DGRAM), rig.unix(net::SOCK_DGRAM), rig.unix(net::SOCK_DGRAM));
        rig.bind_name("bind", one, names[0].as_bytes());
        rig.bind_name("bind", two, names[1].as_bytes());
        rig.tell_events("new", one);
        let sent = rig.send(three, "x");
        rig.tell("nowhere", sent);
        let sent = rig.send_to(two, "hello", &address(names[0].as_bytes()));
        rig.tell("sent", sent);
        let sent = rig.send_to(three, "unnamed", &address(names[0].as_bytes()));
        rig.tell("sent", sent);
        let from = rig.receive_from("hello", one, 3, net::MSG_TRUNC);
        rig.tell("from", from);
        let from = rig.receive_from("unnamed", one, 20, 0);
        rig.tell("from", from);
        rig.connect_name("connect", one, names[1].as_bytes());
        rig.tell_names("connected", one);
        let sent = rig.send_to(three, "x", &address(names[0].as_bytes()));
        rig.tell("it hears its peer only", sent);
        rig.connect_name("nor does it let others connect", three, names[0].as_bytes());
        let sent = rig.send(one, "to the peer");
        rig.tell("sent", sent);
        rig.receive_from("to the peer", two, 20, 0);
        let sent = rig.send_to(one, "elsewhere", &address(b"\0pico nobody has this"));
        rig.tell("nobody", sent);
        let sent = rig.send_to(one, "elsewhere", &address(b"/tmp/pico nothing here"));
        rig.tell("nothing", sent);
        rig.close(two);
        let sent = [rig.send(one, "x"), rig.send(one, "x")];
        rig.tell("the peer is gone", sent);
        rig.tell_events("alone", one);
        let addr = rig.put(&[0; 16]);
        rig.note("disconnect", c::__NR_connect, &[one, addr, 16]);
        let stream = rig.unix(net::SOCK_STREAM);
        let sent = rig.send_to(stream, "x", &address(names[0].as_bytes()));
        rig.tell("streams go nowhere else", sent);
        let (pair, _) = rig.pair(net::SOCK_STREAM);
        let sent = rig.send_to(pair, "x", &address(names[0].as_bytes()));
        rig.tell("connected streams neither", sent);
    });
}

#[test]
fn a_socket_in_a_directory_is_a_file() {
    same(|rig| {
        let path = path("file");
        rig.unlink(&path);
        let fd = rig.unix(net::SOCK_STREAM);
        rig.bind_name("bind", fd, path.as_bytes());
        let (name, stat) = (rig.put(format!("{path}\0").as_bytes()), rig.room(144));
        rig.note("stat", c::__NR_stat, &[name, stat]);
        let mode = u32::from_ne_bytes(rig.peek(stat + 24));
        rig.tell("a socket", mode & c::S_IFMT);
        rig.note("open", c::__NR_open, &[name, c::O_RDWR.into()]);
        rig.note("truncate", c::__NR_truncate, &[name, 0]);
        let node = rig.unlink(&path);
        rig.tell("unlink", node);
    });
}

#[test]
fn who_closes_with_something_unread_resets() {
    same(|rig| {
        let (one, other) = rig.pair(net::SOCK_STREAM);
        let sent = rig.send(one, "unread");
        rig.tell("sent", sent);
        rig.close(other);
        rig.tell_events("reset", one);
        rig.receive("told once", one, 4, 0);
        rig.receive("then it is the end", one, 4, 0);
    });
}
