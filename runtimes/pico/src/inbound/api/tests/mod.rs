//! The API as a client sees it: bytes in, bytes out.

mod calls;
mod http;
mod streams;

use super::connection::Connection;
use super::{Server, Shared};
use crate::errno::Errno;
use crate::inbound::{self, Inbound, Outcome};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use std::format;
use std::string::String;

/// Bytes there is room for in an answer.
const ROOM: usize = 4096;
const ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
const RESTORE: &str = "GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n";

/// What a host delivers for a request.
fn event() -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLambda-Runtime-Aws-Request-Id: {ID}\r\n\r\n{{}}").into()
}

/// `METHOD /2018-06-01/runtime/PATH` with header fields (each ended by CRLF) and a body.
fn call(method: &str, path: &str, fields: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {len}\r\n\r\n{body}"
    )
}

/// Posts to the running invocation.
fn post(what: &str, fields: &str, body: &str) -> String {
    call("POST", &format!("invocation/{ID}/{what}"), fields, body)
}

/// A VM's API.
struct Vm {
    inbound: inbound::Shared,
    server: Shared,
}

impl Vm {
    fn new() -> Self {
        let inbound = inbound::Shared::new(RefCell::new(Inbound::default()));
        let server = Rc::new(RefCell::new(Server::new(inbound.clone())));
        Self { inbound, server }
    }

    fn connect(&self) -> Client {
        Client { connection: Connection::new(self.server.clone()) }
    }

    /// The host delivers `request` to a fork.
    fn deliver(&self, request: Vec<u8>) {
        self.inbound.borrow_mut().deliver(request.leak(), std::vec![0; ROOM].leak());
    }

    /// A VM whose program has the event, with the connection it was asked for on.
    fn running() -> (Self, Client) {
        let (vm, client) = (Self::new(), Self::connect);
        let mut client = client(&vm);
        client.send(NEXT);
        vm.deliver(event());
        assert_eq!(client.read(), event());
        (vm, client)
    }

    /// The answer the host is given, if there is one by now; `None` in it if it was too long.
    fn answer(&self) -> Option<Option<String>> {
        let inbound = self.inbound.borrow();
        inbound.outcome.map(|outcome| match outcome {
            Outcome::Response(len) => Some(String::from_utf8(inbound.response[..len].to_vec()).unwrap()),
            Outcome::TooLarge => None,
        })
    }

    #[track_caller]
    fn answered(&self, expected: &str) {
        assert_eq!(self.answer(), Some(Some(expected.into())));
    }
}

struct Client {
    connection: Connection,
}

impl Client {
    #[track_caller]
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        assert_eq!(self.connection.send(bytes), Ok(bytes.len()));
    }

    /// Everything there is to read.
    fn read(&mut self) -> Vec<u8> {
        let (mut all, mut buf) = (Vec::new(), [0; 7]);
        while let Ok(len @ 1..) = self.connection.receive(&mut buf, false) {
            all.extend(&buf[..len]);
        }
        all
    }

    fn read_text(&mut self) -> String {
        String::from_utf8(self.read()).unwrap()
    }

    /// Makes a call: status and body.
    #[track_caller]
    fn call(&mut self, request: impl AsRef<[u8]>) -> (u16, String) {
        self.send(request);
        self.reply()
    }

    #[track_caller]
    fn reply(&mut self) -> (u16, String) {
        let text = self.read_text();
        let (head, body) = text.split_once("\r\n\r\n").expect("a response");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(length, Some(format!("{}", body.len()).as_str()), "{text}");
        (status, body.into())
    }

    /// Makes a call that is refused: status and type of the error.
    #[track_caller]
    fn refused(&mut self, request: impl AsRef<[u8]>) -> (u16, String) {
        let (status, body) = self.call(request);
        let kind = body.split("\"errorType\":\"").nth(1).expect("a type").split('"').next().unwrap();
        assert!(body.starts_with("{\"errorMessage\":\""), "{body}");
        (status, kind.into())
    }

    fn is_at_end(&mut self) -> bool {
        self.connection.receive(&mut [0; 1], false) == Ok(0)
            && self.connection.send(b"x") == Err(Errno::EPIPE)
    }
}
