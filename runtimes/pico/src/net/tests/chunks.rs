//! Answers of the handler contract that go out as they come.

use super::rig::Rig;
use abi::mailbox::Doorbell;
use alloc::vec::Vec;
use linux_raw_sys::errno::EINVAL;
use linux_raw_sys::general as c;

const LINE: &[u8] = b"chunks text/x\n";

/// A program that has read its invocation and can answer on this descriptor.
fn asked(area: usize) -> (Rig, u64) {
    let mut rig = Rig::pico();
    rig.fake.set_response_area(area);
    let path = rig.put(b"/dev/invocation\0");
    let device = rig.fd(c::__NR_openat, &[i64::from(c::AT_FDCWD).cast_unsigned(), path, c::O_RDWR.into(), 0]);
    rig.expect_request(b"1\n");
    let buf = rig.room(100);
    assert_eq!(rig.call(c::__NR_read, &[device, buf, 100]), 2);
    (rig, device)
}

impl Rig {
    /// Writes everything, as programs do.
    fn write_all(&mut self, fd: u64, bytes: &[u8]) {
        let (addr, mut done) = (self.put(bytes), 0);
        while done < bytes.len() as u64 {
            let written = self.call(c::__NR_write, &[fd, addr + done, bytes.len() as u64 - done]);
            assert!(written > 0, "{written}");
            done += written.cast_unsigned();
        }
    }
}

#[test]
fn it_goes_out_when_the_program_waits_and_ends_with_its_coding() {
    let (mut rig, device) = asked(1000);
    rig.write_all(device, LINE);
    rig.write_all(device, b"3\r\none\r\n");
    rig.pause();
    rig.write_all(device, b"1\r\n\n\r\n");
    rig.write_all(device, b"0\r\n\r\nmore");
    assert_eq!(rig.parts(), [[LINE, b"3\r\none\r\n"].concat()]);
    assert_eq!(rig.fake.response_bytes(), b"1\r\n\n\r\n0\r\n\r\n");
    assert!(rig.fake.doorbells().contains(&Doorbell::Response));
}

#[test]
fn one_that_is_complete_at_once_leaves_the_vm_once() {
    let (mut rig, device) = asked(1000);
    let whole = [LINE, b"3\r\none\r\n0\r\nX: y\r\n\r\n"].concat();
    rig.write_all(device, &whole);
    assert_eq!(rig.fake.doorbells()[..2], [Doorbell::Ready, Doorbell::Response]);
    assert_eq!(rig.fake.response_bytes(), whole);
}

#[test]
fn it_may_be_longer_than_the_area() {
    let (mut rig, device) = asked(1000);
    let body = std::vec![b'x'; 10_000];
    let head = [LINE, b"2710\r\n"].concat();
    let whole: Vec<u8> = [&head, &body[..], b"\r\n0\r\n\r\n"].concat();
    rig.write_all(device, &whole);
    let parts = rig.parts();
    assert!(parts.len() >= 9 && parts.iter().all(|part| part.len() == 1000));
    assert!([parts.concat(), rig.fake.response_bytes()].concat() == whole);
}

#[test]
fn what_only_looks_like_one_is_a_line() {
    let (mut rig, device) = asked(1000);
    let addr = rig.put(b"chunks without an end");
    assert_eq!(rig.call(c::__NR_write, &[device, addr, 21]), -i64::from(EINVAL));
    rig.write_all(device, b"{\"result\":");
    rig.pause();
    assert!(rig.parts().is_empty());
    rig.write_all(device, b"\"chunks a\"}\n");
    assert_eq!(rig.fake.response_bytes(), b"{\"result\":\"chunks a\"}\n");
}
