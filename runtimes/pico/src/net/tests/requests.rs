//! The request: as a connection, and as a document.

use super::rig::Rig;
use crate::errno::Errno;
use crate::file::{File, Ready};
use crate::inbound::device::InvocationDevice;
use crate::inbound::{Inbound, State};
use crate::net::anonymous_stat;
use abi::mailbox::Doorbell;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use linux_raw_sys::general as c;
use linux_raw_sys::net;
use std::boxed::Box;

pub(super) const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// What a test sees when the response was rung: the fake machine returns from what is final.
pub(super) const ANSWERED: [Doorbell; 3] = [Doorbell::Ready, Doorbell::Response, Doorbell::Panic];
const EAGAIN: i64 = -(linux_raw_sys::errno::EAGAIN as i64);
/// The port the request arrives on, as `Kernel::for_tests` says.
pub(super) const PORT: u16 = 8080;

impl Rig {
    pub(super) fn server(&mut self, port: u16, flags: u32) -> u64 {
        let kind = u64::from(net::SOCK_STREAM | flags);
        let fd = self.fd(c::__NR_socket, &[net::AF_INET.into(), kind, 0]);
        let mut address = std::vec![2, 0];
        address.extend(port.to_be_bytes());
        address.extend([0; 12]);
        let address = self.put(&address);
        assert_eq!(self.call(c::__NR_bind, &[fd, address, 16]), 0);
        assert_eq!(self.call(c::__NR_listen, &[fd, 128]), 0);
        fd
    }

    pub(super) fn expect_request(&self, request: &[u8]) {
        self.fake.requests.borrow_mut().push_back(request.to_vec());
    }

    pub(super) fn read_text(&mut self, fd: u64, len: usize) -> Vec<u8> {
        let addr = self.room(len);
        let read = self.call(c::__NR_recvfrom, &[fd, addr, len as u64, 0, 0, 0]);
        self.bytes(addr, usize::try_from(read).expect("success"))
    }

    pub(super) fn send_bytes(&mut self, fd: u64, bytes: &[u8]) -> i64 {
        let addr = self.put(bytes);
        self.call(c::__NR_sendto, &[fd, addr, bytes.len() as u64, net::MSG_NOSIGNAL.into(), 0, 0])
    }
}

#[test]
fn a_blocking_server_is_caught_in_accept_and_answers() {
    let mut rig = Rig::pico();
    let listener = rig.server(PORT, 0);
    rig.expect_request(REQUEST);
    let (name, len) = (rig.room(16), rig.put(&16u32.to_ne_bytes()));
    let connection = rig.fd(c::__NR_accept4, &[listener, name, len, c::O_CLOEXEC.into()]);
    assert_eq!(rig.fake.doorbells(), [Doorbell::Ready]);
    assert_eq!(rig.bytes(name, 8), [2, 0, 0xee, 0x48, 127, 0, 0, 1]);
    assert_eq!(rig.read_text(connection, 8), b"GET /hel");
    assert_eq!(rig.read_text(connection, 100), &REQUEST[8..]);
    let rest = rig.room(8);
    let dont_wait = net::MSG_DONTWAIT.into();
    assert_eq!(
        rig.call(c::__NR_recvfrom, &[connection, rest, 8, dont_wait, 0, 0]),
        EAGAIN,
        "it is no end of file"
    );
    assert_eq!(rig.send_bytes(connection, &RESPONSE[..40]), 40);
    assert_eq!(rig.fake.doorbells(), [Doorbell::Ready]);
    rig.send_bytes(connection, &RESPONSE[40..]);
    assert_eq!(rig.fake.doorbells(), ANSWERED);
    assert_eq!(rig.fake.response_bytes(), RESPONSE);
}

#[test]
fn a_server_with_an_event_loop_is_caught_in_epoll_whatever_its_timeout() {
    for edge in [0, c::EPOLLET] {
        let mut rig = Rig::pico();
        let listener = rig.server(PORT, c::O_NONBLOCK);
        assert_eq!(rig.call(c::__NR_accept, &[listener, 0, 0]), EAGAIN);
        let set = rig.fd(c::__NR_epoll_create1, &[0]);
        let event = rig.put(&[(c::EPOLLIN | edge).to_ne_bytes(), [9, 0, 0, 0], [0; 4]].concat());
        assert_eq!(rig.call(c::__NR_epoll_ctl, &[set, c::EPOLL_CTL_ADD.into(), listener, event]), 0);
        let room = rig.room(24);
        assert_eq!(rig.call(c::__NR_epoll_wait, &[set, room, 2, 0]), 0, "a look is no wait");
        assert_eq!(rig.fake.doorbells(), []);
        rig.expect_request(REQUEST);
        assert_eq!(rig.call(c::__NR_epoll_wait, &[set, room, 2, 500]), 1);
        assert_eq!((rig.fake.doorbells(), rig.peek(room + 4)), (std::vec![Doorbell::Ready], [9, 0, 0, 0]));
        let connection = rig.fd(c::__NR_accept4, &[listener, 0, 0, c::O_NONBLOCK.into()]);
        assert_eq!(rig.call(c::__NR_accept, &[listener, 0, 0]), EAGAIN, "there is one request");
        let event =
            rig.put(&[(c::EPOLLIN | c::EPOLLRDHUP | edge).to_ne_bytes(), [8, 0, 0, 0], [0; 4]].concat());
        assert_eq!(rig.call(c::__NR_epoll_ctl, &[set, c::EPOLL_CTL_ADD.into(), connection, event]), 0);
        assert_eq!(rig.call(c::__NR_epoll_wait, &[set, room, 2, 0]), 1);
        assert_eq!((rig.peek(room), rig.peek(room + 4)), ([1, 0, 0, 0], [8, 0, 0, 0]));
        assert_eq!(rig.read_text(connection, 100), REQUEST);
        // The program has timers to wait for before it answers.
        assert_eq!(rig.call(c::__NR_epoll_wait, &[set, room, 2, 10]), 0);
        assert_eq!(rig.fake.doorbells(), [Doorbell::Ready, Doorbell::Sleep]);
        rig.send_bytes(connection, RESPONSE);
        assert_eq!(rig.fake.response_bytes(), RESPONSE);
    }
}

#[test]
fn a_server_is_caught_in_poll_and_select() {
    for call in [c::__NR_poll, c::__NR_select] {
        let mut rig = Rig::pico();
        let listener = rig.server(PORT, c::O_NONBLOCK);
        rig.expect_request(REQUEST);
        let result = if call == c::__NR_poll {
            let array =
                rig.put(&[u32::try_from(listener).expect("small").to_ne_bytes(), [1, 0, 0, 0]].concat());
            rig.call(call, &[array, 1, 500])
        } else {
            let set = rig.put(&(1u64 << listener).to_ne_bytes());
            rig.call(call, &[listener + 1, set, 0, 0, 0])
        };
        assert_eq!((result, rig.fake.doorbells()), (1, std::vec![Doorbell::Ready]));
        rig.fd(c::__NR_accept, &[listener, 0, 0]);
    }
}

#[test]
fn other_ports_are_for_the_program_itself() {
    let mut rig = Rig::pico();
    let listener = rig.server(PORT + 1, c::O_NONBLOCK);
    let array = rig.put(&[u32::try_from(listener).expect("small").to_ne_bytes(), [1, 0, 0, 0]].concat());
    assert_eq!(rig.call(c::__NR_poll, &[array, 1, 20]), 0);
    assert_eq!(rig.fake.doorbells(), [Doorbell::Sleep]);
}

#[test]
fn a_response_without_a_length_ends_with_the_connection() {
    let response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nhello";
    for shut in [false, true] {
        let mut rig = Rig::pico();
        let listener = rig.server(PORT, 0);
        rig.expect_request(REQUEST);
        let connection = rig.fd(c::__NR_accept, &[listener, 0, 0]);
        rig.send_bytes(connection, response);
        assert_eq!(rig.fake.doorbells(), [Doorbell::Ready]);
        if shut {
            assert_eq!(rig.call(c::__NR_shutdown, &[connection, 1]), 0);
        } else {
            assert_eq!(rig.close(connection), 0);
        }
        assert_eq!(rig.fake.doorbells(), ANSWERED);
        assert_eq!(rig.fake.response_bytes(), &response[25..], "interim responses are left out");
    }
}

#[test]
fn a_program_may_end_after_a_response_without_a_length_but_not_in_the_middle_of_one() {
    for (response, last) in [
        ("HTTP/1.0 200 OK\r\n\r\nhello", [Doorbell::Ready, Doorbell::Response]),
        ("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello", [Doorbell::Ready, Doorbell::Exit]),
        ("HTTP/1.0 200", [Doorbell::Ready, Doorbell::Exit]),
        ("", [Doorbell::Ready, Doorbell::Exit]),
    ] {
        let mut rig = Rig::pico();
        let listener = rig.server(PORT, 0);
        rig.expect_request(REQUEST);
        let connection = rig.fd(c::__NR_accept, &[listener, 0, 0]);
        rig.send_bytes(connection, response.as_bytes());
        rig.call(c::__NR_exit_group, &[0]);
        assert_eq!(rig.fake.doorbells()[..2], last, "{response:?}");
    }
}

#[test]
fn a_connection_that_is_closed_without_a_word_is_an_empty_response() {
    let mut rig = Rig::pico();
    let listener = rig.server(PORT, 0);
    rig.expect_request(REQUEST);
    let connection = rig.fd(c::__NR_accept, &[listener, 0, 0]);
    rig.close(connection);
    assert_eq!((rig.fake.doorbells(), rig.fake.response_bytes()), (ANSWERED.to_vec(), Vec::new()));
}

#[test]
fn a_response_larger_than_the_area_is_told() {
    let mut rig = Rig::pico();
    let listener = rig.server(PORT, 0);
    rig.expect_request(REQUEST);
    let connection = rig.fd(c::__NR_accept, &[listener, 0, 0]);
    let block = rig.put(&[b'x'; 1 << 16]);
    let last = loop {
        match rig.call(c::__NR_sendto, &[connection, block, 1 << 16, net::MSG_NOSIGNAL.into(), 0, 0]) {
            0x1_0000 => {}
            other => break other,
        }
    };
    assert_eq!(last, -i64::from(linux_raw_sys::errno::EPIPE));
    assert_eq!(rig.fake.doorbells(), [Doorbell::Ready, Doorbell::ResponseTooLarge, Doorbell::Panic]);
}

#[test]
fn no_descriptor_left_does_not_lose_the_request() {
    let mut rig = Rig::pico();
    let listener = rig.server(PORT, 0);
    rig.expect_request(REQUEST);
    let array = rig.put(&[u32::try_from(listener).expect("small").to_ne_bytes(), [1, 0, 0, 0]].concat());
    assert_eq!(rig.call(c::__NR_poll, &[array, 1, 0xffff_ffff]), 1);
    let mut last = 0;
    while let fd @ 0.. = rig.call(c::__NR_eventfd2, &[0, 0]) {
        last = fd.cast_unsigned();
    }
    assert_eq!(rig.call(c::__NR_accept, &[listener, 0, 0]), -i64::from(linux_raw_sys::errno::EMFILE));
    assert_eq!(rig.call(c::__NR_accept, &[listener, 16, 16]), -i64::from(linux_raw_sys::errno::EMFILE));
    rig.close(last);
    assert_eq!(rig.call(c::__NR_accept, &[listener, 16, 16]), -i64::from(linux_raw_sys::errno::EFAULT));
    let connection = rig.fd(c::__NR_accept, &[listener, 0, 0]);
    assert_eq!(rig.read_text(connection, 100), REQUEST);
}

/// A device with a request to come, and where that is delivered.
fn device() -> (Rc<RefCell<Inbound>>, InvocationDevice) {
    let inbound: Rc<RefCell<Inbound>> = Rc::default();
    (inbound.clone(), InvocationDevice::new(inbound, anonymous_stat(0o600, 1)))
}

fn deliver(inbound: &Rc<RefCell<Inbound>>, request: &str, room: usize) {
    inbound.borrow_mut().deliver(
        alloc::string::String::from(request).leak().as_bytes(),
        Box::leak(std::vec![0; room].into()),
    );
}

#[test]
fn an_invocation_is_read_in_pieces_ends_once_and_is_waited_for_again() {
    let (inbound, device) = device();
    let mut buf = [0; 4];
    assert!(device.takes_request());
    assert_eq!((device.read(0, &mut buf), device.ready()), (Err(Errno::EAGAIN), Ready::OUT));
    deliver(&inbound, "{\"a\":1}\n", 100);
    assert_eq!(device.ready(), Ready::IN | Ready::OUT);
    assert_eq!(device.read(0, &mut []), Ok(0));
    assert_eq!((device.read(0, &mut buf), &buf), (Ok(4), b"{\"a\""));
    assert_eq!((device.read(0, &mut buf), &buf), (Ok(4), b":1}\n"));
    assert_eq!(device.read(0, &mut buf), Ok(0));
    assert_eq!((device.read(0, &mut buf), device.ready()), (Err(Errno::EAGAIN), Ready::OUT));
    deliver(&inbound, "2\n", 100);
    assert_eq!(device.read(0, &mut buf), Ok(2));
}

#[test]
fn an_answer_is_complete_with_its_newline() {
    let (inbound, device) = device();
    assert_eq!(device.write(0, b"too early\n"), Err(Errno::EINVAL));
    deliver(&inbound, "1\n", 100);
    assert_eq!(device.write(0, b"too early\n"), Err(Errno::EINVAL));
    assert_eq!(device.read(0, &mut [0; 10]), Ok(2));
    assert_eq!(device.write(0, b"{\"result\":"), Ok(10));
    assert_eq!(device.write(0, b""), Ok(0));
    assert_eq!(inbound.borrow().state(), State::Responding);
    assert_eq!(device.write(0, b"1}\n"), Ok(3));
    assert_eq!(inbound.borrow().state(), State::Done);
    assert_eq!(device.write(0, b"more\n"), Err(Errno::EPIPE));
}

#[test]
fn an_answer_fills_the_area_to_the_last_byte_and_not_beyond() {
    for (len, fits) in [(10, true), (11, false)] {
        let (inbound, device) = device();
        deliver(&inbound, "1\n", 10);
        assert_eq!(device.read(0, &mut [0; 10]), Ok(2));
        let mut answer = std::vec![b'1'; len];
        answer[len - 1] = b'\n';
        assert_eq!(device.write(0, &answer).is_ok(), fits);
        assert_eq!(inbound.borrow().state(), State::Done);
    }
}

#[test]
fn the_kernel_rings_when_the_answer_is_complete() {
    let mut rig = Rig::pico();
    rig.expect_request(b"{}\n");
    let path = rig.put(b"/dev/invocation\0");
    let fd = rig.fd(c::__NR_open, &[path, c::O_RDWR.into()]);
    let room = rig.room(16);
    assert_eq!(rig.call(c::__NR_read, &[fd, room, 16]), 3);
    assert_eq!(rig.fake.doorbells(), [Doorbell::Ready]);
    let answer = rig.put(b"{\"result\":1}\n");
    rig.call(c::__NR_write, &[fd, answer, 13]);
    assert_eq!(rig.fake.doorbells(), ANSWERED);
    assert_eq!(rig.fake.response_bytes(), b"{\"result\":1}\n");
}
