//! Netlink: what is told of the loopback interface, and requests that make no sense.

use super::rig::Rig;
use linux_raw_sys::errno as e;
use linux_raw_sys::general as c;
use linux_raw_sys::net;
use std::vec::Vec;

const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const DUMP: u16 = 0x301;
const DONTWAIT: u64 = net::MSG_DONTWAIT as u64;

fn request(kind: u16, flags: u16, family: u8) -> Vec<u8> {
    let mut bytes = 20u32.to_ne_bytes().to_vec();
    bytes.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
    bytes.extend([7u32.to_ne_bytes(), 0u32.to_ne_bytes()].concat());
    bytes.extend([family, 0, 0, 0]);
    bytes
}

impl Rig {
    fn netlink(&mut self) -> u64 {
        self.fd(c::__NR_socket, &[net::AF_NETLINK.into(), net::SOCK_RAW.into(), 0])
    }

    fn ask(&mut self, fd: u64, bytes: &[u8]) -> i64 {
        let addr = self.put(bytes);
        self.call(c::__NR_sendto, &[fd, addr, bytes.len() as u64, 0, 0, 0])
    }

    /// The types of the messages in the next answer, and the first number behind the head of the first of them.
    fn answer(&mut self, fd: u64) -> (Vec<u16>, i32) {
        let addr = self.room(1024);
        let len = self.call(c::__NR_recvfrom, &[fd, addr, 1024, DONTWAIT, 0, 0]);
        let bytes = self.bytes(addr, usize::try_from(len).expect("an answer"));
        let mut kinds = Vec::new();
        let mut rest = &bytes[..];
        while let Some(head) = rest.first_chunk::<16>() {
            kinds.push(u16::from_ne_bytes([head[4], head[5]]));
            assert_eq!(head[8..12], 7u32.to_ne_bytes(), "the sequence number is that of the request");
            let len = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
            rest = &rest[len as usize..];
        }
        assert!(rest.is_empty(), "messages end where the answer ends");
        (kinds, i32::from_ne_bytes(*bytes[16..].first_chunk().expect("a body")))
    }
}

#[test]
fn the_interface_and_its_addresses_are_listed() {
    let mut rig = Rig::pico();
    let fd = rig.netlink();
    rig.ask(fd, &request(GET_LINK, DUMP, 0));
    assert_eq!(rig.answer(fd).0, [16]);
    assert_eq!(rig.answer(fd), ([3].into(), 0));
    for (family, count) in [(net::AF_UNSPEC, 2), (net::AF_INET, 1), (net::AF_INET6, 1), (net::AF_UNIX, 0)] {
        rig.ask(fd, &request(GET_ADDRESS, DUMP, u8::try_from(family).expect("small")));
        if count > 0 {
            assert_eq!(rig.answer(fd).0, std::vec![20; count]);
        }
        assert_eq!(rig.answer(fd), ([3].into(), 0));
    }
}

#[test]
fn what_is_not_known_is_refused_and_nonsense_is_not_answered() {
    let mut rig = Rig::pico();
    let fd = rig.netlink();
    let refused = -i32::try_from(e::EOPNOTSUPP).expect("small");
    for (kind, flags) in [(GET_LINK, 1), (16, 1), (99, DUMP)] {
        rig.ask(fd, &request(kind, flags, 0));
        assert_eq!(rig.answer(fd), ([2].into(), refused), "{kind}");
    }
    let mut long = request(GET_LINK, DUMP, 0);
    long[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    for nonsense in [&request(GET_LINK, 0, 0)[..], &request(1, DUMP, 0), &long, &long[..7], &[]] {
        assert_eq!(rig.ask(fd, nonsense), i64::try_from(nonsense.len()).expect("small"));
        let addr = rig.room(16);
        let result = rig.call(c::__NR_recvfrom, &[fd, addr, 16, DONTWAIT, 0, 0]);
        assert_eq!(result, -i64::from(e::EAGAIN));
    }
    let name = rig.put(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(rig.call(c::__NR_bind, &[fd, name, 12]), -i64::from(e::EINVAL));
    assert_eq!(rig.call(c::__NR_connect, &[fd, name, 12]), -i64::from(e::EOPNOTSUPP));
    assert_eq!(rig.call(c::__NR_listen, &[fd, 1]), -i64::from(e::EOPNOTSUPP));
}

#[test]
fn answers_that_nobody_receives_are_bounded() {
    let mut rig = Rig::pico();
    let fd = rig.netlink();
    let asked = request(GET_LINK, DUMP, 0);
    let addr = rig.put(&asked);
    let result = (0..10_000)
        .map(|_| rig.call(c::__NR_sendto, &[fd, addr, asked.len() as u64, 0, 0, 0]))
        .find(|&result| result < 0);
    assert_eq!(result, Some(-i64::from(e::ENOBUFS)));
    assert_eq!(rig.answer(fd).0, [16], "what was answered can be received");
}
