//! The Runtime API as a peer on the loopback interface.

use crate::errno::Errno;
use crate::file::{File, Ready};
use crate::inbound;
use crate::net::Net;
use crate::net::address::{Address, Family, Host, LOCALHOST};
use crate::net::socket::{Kind, Socket};
use abi::boot::Contract;

const PORT: u16 = 9001;
const HERE: Address = Address { host: LOCALHOST, port: PORT };

fn net(contract: Contract) -> Net {
    Net::new(contract, PORT, inbound::Shared::default())
}

fn socket() -> Socket {
    Socket::new(&net(Contract::Handler), Family::Inet, Kind::Stream)
}

#[test]
fn only_programs_of_that_contract_reach_it_and_only_at_its_address() {
    for contract in [Contract::Handler, Contract::Http] {
        assert_eq!(socket().connect(&mut net(contract), HERE), Err(Errno::ECONNREFUSED));
    }
    let mut net = net(Contract::RuntimeApi);
    let elsewhere = Address { host: Host::LoopbackV4([127, 0, 0, 2]), port: PORT };
    for other in [elsewhere, Address { host: LOCALHOST, port: PORT + 1 }] {
        assert_eq!(socket().connect(&mut net, other), Err(Errno::ECONNREFUSED));
    }
    assert_eq!(socket().connect(&mut net, HERE), Ok(()));
    assert_eq!(socket().connect(&mut net, Address { host: Host::AnyV4, port: PORT }), Ok(()));
}

#[test]
fn nobody_else_can_have_its_address() {
    let mut net = net(Contract::RuntimeApi);
    for host in [LOCALHOST, Host::AnyV4] {
        assert_eq!(socket().bind(&mut net, Address { host, port: PORT }), Err(Errno::EADDRINUSE));
    }
    let listener = socket();
    listener.bind(&mut net, Address { host: LOCALHOST, port: 8080 }).unwrap();
    listener.listen(&mut net, 1).unwrap();
    assert!(!listener.takes_request(), "requests do not arrive as connections");
}

#[test]
fn a_connection_is_ready_for_what_it_can_do() {
    let mut net = net(Contract::RuntimeApi);
    let socket = socket();
    socket.connect(&mut net, HERE).unwrap();
    assert_eq!((socket.ready(), socket.takes_request()), (Ready::OUT, false));
    let before = socket.activity();
    let request = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n";
    assert_eq!(socket.write(0, request), Ok(request.len()));
    assert_eq!((socket.ready(), socket.takes_request()), (Ready::empty(), true));
    assert!(socket.activity() != before);
    assert_eq!(socket.write(0, b"more"), Err(Errno::EAGAIN));
    assert_eq!(socket.read(0, &mut [0; 9]).err(), Some(Errno::EAGAIN));
}

#[test]
fn both_sides_can_end_a_connection() {
    let mut net = net(Contract::RuntimeApi);
    let one = socket();
    one.connect(&mut net, HERE).unwrap();
    one.shutdown(false, true).unwrap();
    assert_eq!(one.write(0, b"x"), Err(Errno::EPIPE));
    assert_eq!(one.read(0, &mut [0; 9]).unwrap(), 0);
    assert!(one.ready().contains(Ready::IN | Ready::RDHUP | Ready::HUP));
    let other = socket();
    other.connect(&mut net, HERE).unwrap();
    other.write(0, b"nonsense\r\n\r\n").unwrap();
    let mut answer = [0; 4096];
    let len = other.read(0, &mut answer).unwrap();
    assert!(answer[..len].starts_with(b"HTTP/1.1 400 "));
    assert_eq!(other.read(0, &mut answer).unwrap(), 0);
    assert_eq!(other.write(0, b"x"), Err(Errno::EPIPE));
}
