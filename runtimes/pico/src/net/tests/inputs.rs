//! A request that goes on after it was delivered.

use super::requests::{ANSWERED, PORT, REQUEST};
use super::rig::Rig;
use abi::console::{Console, INPUT_BODY, INPUT_CONNECTION, INPUT_ERROR};
use abi::mailbox::Doorbell;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general as c;
use linux_raw_sys::net;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\n\r\n";
const EAGAIN: i64 = -(linux_raw_sys::errno::EAGAIN as i64);
const ECONNRESET: i64 = -(linux_raw_sys::errno::ECONNRESET as i64);
/// What rings for input look like: the host comes back when there is some, or at once.
const WAITS: (Doorbell, [u64; 4]) = (Doorbell::Sleep, [u64::MAX, 1, 0, 0]);
const LOOKS: (Doorbell, [u64; 4]) = (Doorbell::Sleep, [0, 1, 0, 0]);

/// A program that has read its request, of which this is to follow; an empty piece is the end.
fn asked(kind: u32, flags: u32, pieces: &[&'static [u8]]) -> (Rig, u64) {
    let mut rig = Rig::pico();
    let listener = rig.server(PORT, 0);
    rig.expect_request(REQUEST);
    rig.fake.console.set(Console { input: kind, ..Console::default() });
    rig.fake.inputs.borrow_mut().extend(pieces);
    let connection = rig.fd(c::__NR_accept4, &[listener, 0, 0, flags.into()]);
    assert_eq!(rig.read_text(connection, 1000), REQUEST);
    (rig, connection)
}

impl Rig {
    fn rung(&self, ring: (Doorbell, [u64; 4])) -> usize {
        self.fake.rings.borrow().iter().filter(|rung| **rung == ring).count()
    }

    fn take_some(&mut self, fd: u64, flags: u32) -> i64 {
        let addr = self.room(16);
        self.call(c::__NR_recvfrom, &[fd, addr, 16, flags.into(), 0, 0])
    }

    /// The events of a descriptor at this moment.
    fn events(&mut self, fd: u64) -> u16 {
        let entry = [u32::try_from(fd).unwrap().to_ne_bytes(), [0xff, 0x20, 0, 0]].concat();
        let addr = self.put(&entry);
        assert!(self.call(c::__NR_poll, &[addr, 1, 0]) >= 0);
        let bytes = self.bytes(addr + 6, 2);
        u16::from_ne_bytes([bytes[0], bytes[1]])
    }
}

#[test]
fn who_reads_gets_one_piece_after_the_other() {
    let (mut rig, connection) = asked(INPUT_BODY, 0, &[b"first", b"second", b""]);
    assert_eq!(rig.rung(WAITS), 0, "nothing is asked for before it is wanted");
    assert_eq!(rig.read_text(connection, 3), b"fir");
    assert_eq!(rig.read_text(connection, 100), b"st");
    assert_eq!((rig.rung(WAITS), rig.read_text(connection, 100).as_slice()), (1, &b"second"[..]));
    // Behind the end of the body the connection is open: who does not wait is told so, and the host is not asked.
    let peek = net::MSG_DONTWAIT;
    assert_eq!(rig.take_some(connection, peek), EAGAIN);
    rig.send_bytes(connection, ANSWER);
    assert_eq!(rig.fake.response_bytes(), ANSWER);
    assert_eq!((rig.rung(WAITS), rig.fake.doorbells()[3..].to_vec()), (2, ANSWERED[1..].to_vec()));
}

#[test]
fn a_request_that_is_whole_asks_for_nothing() {
    let (mut rig, connection) = asked(0, c::O_NONBLOCK, &[b"never"]);
    for _ in 0..100 {
        assert_eq!(rig.take_some(connection, 0), EAGAIN);
        assert_eq!(u32::from(rig.events(connection)) & c::POLLIN, 0);
    }
    rig.send_bytes(connection, ANSWER);
    assert_eq!(rig.fake.doorbells(), ANSWERED);
}

#[test]
fn who_never_waits_is_given_input_all_the_same() {
    let (mut rig, connection) = asked(INPUT_BODY, c::O_NONBLOCK, &[b"reader", b"poller"]);
    let reads = (0..).position(|_| rig.take_some(connection, 0) == 6).unwrap();
    let polls = (0..).position(|_| u32::from(rig.events(connection)) & c::POLLIN != 0).unwrap();
    assert!((10..=20).contains(&reads) && (10..=20).contains(&polls), "{reads} {polls}");
    assert_eq!((rig.rung(LOOKS), rig.rung(WAITS)), (2, 0));
    assert_eq!(rig.read_text(connection, 100), b"poller");
}

#[test]
fn who_looks_for_more_without_reading_gets_it_behind_what_is_there() {
    const FIONREAD: u64 = linux_raw_sys::ioctl::FIONREAD as u64;
    let (mut rig, connection) = asked(INPUT_BODY, c::O_NONBLOCK, &[b"one ", b"two ", b"three ", b"four"]);
    let count = |rig: &mut Rig| {
        let addr = rig.put(&[0; 4]);
        assert_eq!(rig.call(c::__NR_ioctl, &[connection, FIONREAD, addr]), 0);
        rig.bytes(addr, 1)[0]
    };
    for expected in [4, 8] {
        let looks = (0..).position(|_| count(&mut rig) == expected).unwrap();
        assert!((10..=20).contains(&looks), "{looks}");
    }
    // One byte is read, and the rest is looked at.
    assert_eq!(rig.read_text(connection, 1), b"o");
    let looks = (0..).position(|_| rig.take_some(connection, net::MSG_PEEK) == 13).unwrap();
    assert!((10..=20).contains(&looks), "{looks}");
    // Who looks for no more than there is does not have the host asked.
    let rings = rig.fake.rings.borrow().len();
    for _ in 0..100 {
        let addr = rig.room(16);
        assert_eq!(rig.call(c::__NR_recvfrom, &[connection, addr, 13, net::MSG_PEEK.into(), 0, 0]), 13);
    }
    assert_eq!(rig.fake.rings.borrow().len(), rings);
    assert_eq!(rig.read_text(connection, 100), b"ne two three ");
    let reads = (0..).position(|_| rig.take_some(connection, 0) == 4).unwrap();
    assert!((10..=20).contains(&reads), "{reads}");
}

#[test]
fn what_is_not_read_is_limited() {
    let piece: &'static [u8] = vec![b'x'; abi::console::STREAM_MAX].leak();
    let (mut rig, connection) = asked(INPUT_CONNECTION, c::O_NONBLOCK, &[piece, piece, piece]);
    let addr = rig.put(&[0; 4]);
    let mut most = 0;
    for _ in 0..200 {
        let command = linux_raw_sys::ioctl::FIONREAD.into();
        assert_eq!(rig.call(c::__NR_ioctl, &[connection, command, addr]), 0);
        let bytes = rig.bytes(addr, 4);
        most = most.max(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize);
    }
    assert_eq!(most, 2 * piece.len());
}

#[test]
fn a_client_that_is_gone_is_told_once() {
    let (mut rig, connection) = asked(INPUT_BODY, c::O_NONBLOCK, &[]);
    rig.fake.console.set(Console { input: INPUT_ERROR, input_len: 104, ..Console::default() });
    // The next look finds it.
    let reads = (0..).position(|_| rig.take_some(connection, 0) != EAGAIN).unwrap();
    assert!(reads <= 20, "{reads}");
    assert_eq!(rig.take_some(connection, 0), 0);
    assert_ne!(u32::from(rig.events(connection)) & (c::POLLIN | c::POLLRDHUP), 0);
    assert!(rig.send_bytes(connection, ANSWER) > 0);
    assert_eq!(rig.fake.doorbells().last(), Some(&Doorbell::Panic), "it was answered");
}

#[test]
fn hostile_input_is_cut_or_an_error() {
    for (input, expected) in [(3, ECONNRESET), (4, ECONNRESET), (u32::MAX, ECONNRESET)] {
        let (mut rig, connection) = asked(INPUT_CONNECTION, c::O_NONBLOCK, &[]);
        rig.fake.console.set(Console { input, input_len: u32::MAX, ..Console::default() });
        let result = (0..20).map(|_| rig.take_some(connection, 0)).find(|result| *result != EAGAIN);
        assert_eq!(result, Some(expected), "{input}");
    }
}

#[test]
fn an_upgraded_connection_goes_both_ways_until_both_ends_close() {
    let (mut rig, connection) = asked(INPUT_CONNECTION, 0, &[b"one", b"two", b""]);
    rig.send_bytes(connection, SWITCH);
    rig.send_bytes(connection, b"welcome");
    assert_eq!(rig.read_text(connection, 100), b"one");
    rig.send_bytes(connection, b"1");
    assert_eq!(rig.read_text(connection, 100), b"two");
    let parts: Vec<Vec<u8>> = rig.fake.parts.borrow().clone();
    assert_eq!(parts, [[SWITCH, b"welcome"].concat(), b"1".to_vec()]);
    // The client closes its direction; this one is still open.
    assert_eq!(rig.take_some(connection, 0), 0);
    assert_eq!(rig.take_some(connection, 0), 0);
    rig.send_bytes(connection, b"bye");
    assert!(!rig.fake.doorbells().contains(&Doorbell::Response));
    assert_eq!(rig.close(connection), 0);
    assert_eq!(rig.fake.response_bytes(), b"bye");
    assert!(rig.fake.doorbells().contains(&Doorbell::Response));
}

#[test]
fn the_program_may_close_its_direction_first() {
    let (mut rig, connection) = asked(INPUT_CONNECTION, 0, &[b"last words", b""]);
    rig.send_bytes(connection, SWITCH);
    assert_eq!(rig.call(c::__NR_shutdown, &[connection, net::SHUT_WR.into()]), 0);
    assert!(rig.send_bytes(connection, b"more") < 0);
    assert_eq!(rig.read_text(connection, 100), b"last words");
    let last: Vec<[u64; 4]> = rig
        .fake
        .rings
        .borrow()
        .iter()
        .filter(|(bell, _)| *bell == Doorbell::Part)
        .map(|ring| ring.1)
        .collect();
    assert_eq!(last, [[1, 0, 0, 0]], "told with the part, and once");
    assert_eq!(rig.take_some(connection, 0), 0);
    assert!(!rig.fake.doorbells().contains(&Doorbell::Response));
    assert_eq!(rig.close(connection), 0);
    assert!(rig.fake.doorbells().contains(&Doorbell::Response));
}

#[test]
fn without_being_asked_nobody_upgrades() {
    for kind in [0, INPUT_BODY] {
        let (mut rig, connection) = asked(kind, 0, &[]);
        rig.send_bytes(connection, SWITCH);
        assert_eq!((rig.fake.response_bytes().as_slice(), rig.fake.doorbells()), (SWITCH, ANSWERED.to_vec()));
    }
}
