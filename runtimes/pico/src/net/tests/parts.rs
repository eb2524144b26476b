//! A response that goes out in parts.

use super::requests::{ANSWERED, PORT, REQUEST};
use super::rig::Rig;
use abi::mailbox::Doorbell;
use alloc::vec::Vec;
use linux_raw_sys::general as c;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Bytes of the response area.
const AREA: usize = 20_000;

/// A program that has read its request and can answer on this descriptor.
fn asked() -> (Rig, u64) {
    let mut rig = Rig::pico();
    rig.fake.set_response_area(AREA);
    let listener = rig.server(PORT, 0);
    rig.expect_request(REQUEST);
    let connection = rig.fd(c::__NR_accept, &[listener, 0, 0]);
    assert_eq!(rig.read_text(connection, 100), REQUEST);
    (rig, connection)
}

impl Rig {
    /// Sleeps for a microsecond: nothing can run meanwhile.
    pub(super) fn pause(&mut self) {
        let time = self.put(&[0u64.to_ne_bytes(), 1000u64.to_ne_bytes()].concat());
        assert_eq!(self.call(c::__NR_nanosleep, &[time, 0]), 0);
    }

    /// The parts that were handed over so far, and those only.
    pub(super) fn parts(&self) -> Vec<Vec<u8>> {
        self.fake.parts.borrow().clone()
    }
}

#[test]
fn what_was_written_goes_out_when_the_program_waits() {
    let (mut rig, connection) = asked();
    rig.send_bytes(connection, HEAD);
    assert!(rig.parts().is_empty(), "it does not wait yet");
    rig.pause();
    assert_eq!(rig.fake.doorbells(), [Doorbell::Ready, Doorbell::Part, Doorbell::Sleep]);
    rig.send_bytes(connection, b"5\r\nfirst\r\n");
    rig.pause();
    rig.pause();
    rig.send_bytes(connection, b"4\r\nla");
    rig.pause();
    rig.send_bytes(connection, b"st\r\n0\r\n\r\nmore");
    assert_eq!(rig.parts(), [HEAD, b"5\r\nfirst\r\n", b"4\r\nla"]);
    assert_eq!(rig.fake.response_bytes(), b"st\r\n0\r\n\r\n");
    let sleeps = rig.fake.doorbells().iter().filter(|bell| **bell == Doorbell::Sleep).count();
    assert_eq!((sleeps, &rig.fake.doorbells()[8..]), (4, &ANSWERED[1..]));
}

#[test]
fn a_length_counts_across_parts() {
    let (mut rig, connection) = asked();
    rig.send_bytes(
        connection,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab",
    );
    rig.pause();
    rig.send_bytes(connection, b"cd");
    rig.pause();
    assert_eq!(rig.parts(), [&b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab"[..], b"cd"]);
    rig.send_bytes(connection, b"efgh");
    assert_eq!(rig.fake.response_bytes(), b"ef");
}

#[test]
fn a_part_may_be_all_but_the_end() {
    let (mut rig, connection) = asked();
    rig.send_bytes(connection, b"HTTP/1.1 200 OK\r\n\r\nhello");
    rig.pause();
    assert_eq!(rig.close(connection), 0);
    assert_eq!(rig.parts(), [b"HTTP/1.1 200 OK\r\n\r\nhello"]);
    assert_eq!((rig.fake.response_len.get(), rig.fake.doorbells().last()), (0, Some(&Doorbell::Panic)));
}

#[test]
fn nothing_goes_out_before_the_head_is_complete() {
    let (mut rig, connection) = asked();
    rig.send_bytes(connection, &HEAD[..HEAD.len() - 1]);
    rig.pause();
    assert_eq!(rig.fake.doorbells(), [Doorbell::Ready, Doorbell::Sleep]);
    rig.send_bytes(connection, &HEAD[HEAD.len() - 1..]);
    rig.pause();
    assert_eq!(rig.parts(), [HEAD]);
}

#[test]
fn a_response_may_be_longer_than_the_area() {
    for call in [c::__NR_sendto, c::__NR_write] {
        let (mut rig, connection) = asked();
        let body: Vec<u8> = (0..70_017u32).map(|at| (at / 64).to_le_bytes()[0]).collect();
        let head = alloc::format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let whole = [head.as_bytes(), &body].concat();
        // One write is taken whole, however long it is; so is one that comes when there is a little room left.
        for piece in [&whole[..head.len() + 5], &whole[head.len() + 5..]] {
            let addr = rig.put(piece);
            let sent = rig.call(call, &[connection, addr, piece.len() as u64, 0, 0, 0]);
            assert_eq!(sent, i64::try_from(piece.len()).expect("small"));
        }
        let parts = rig.parts();
        assert!(parts.len() >= 3 && parts.iter().all(|part| part.len() == AREA));
        let answered = [parts.concat(), rig.fake.response_bytes()].concat();
        assert!(answered == whole, "{} of {} bytes", answered.len(), whole.len());
        assert!(!rig.fake.doorbells().contains(&Doorbell::Sleep));
    }
}

#[test]
fn a_first_write_may_be_longer_than_the_area() {
    let (mut rig, connection) = asked();
    let body = std::vec![b'x'; 2 * AREA];
    let head = alloc::format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    rig.send_bytes(connection, &[head.as_bytes(), &body].concat());
    let answered = [rig.parts().concat(), rig.fake.response_bytes()].concat();
    assert_eq!(answered.len(), head.len() + body.len());
    assert!(rig.fake.doorbells().contains(&Doorbell::Response));
}

#[test]
fn a_program_that_ends_in_the_middle_has_not_answered() {
    let (mut rig, connection) = asked();
    rig.send_bytes(connection, HEAD);
    rig.pause();
    rig.call(c::__NR_exit_group, &[3]);
    let bells = rig.fake.doorbells();
    assert!(bells.contains(&Doorbell::Exit) && !bells.contains(&Doorbell::Response), "{bells:?}");
}
