//! Talks to the server over a real connection.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use rust_hello::{Request, Response, serve_on};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |request: &Request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        Response::text(200, format!("{} {} [{body}]", request.head.method, request.head.path))
    };
    std::thread::spawn(move || serve_on(&listener, echo));
    address
}

/// Sends everything in pieces of `size` bytes, closes the sending side and returns all that comes back.
fn talk(address: SocketAddr, bytes: &[u8], size: usize) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(size) {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn requests_on_one_connection_are_answered_in_order_however_they_are_cut() {
    let address = server();
    let requests = b"POST /one HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /two HTTP/1.1\r\n\r\nHEAD /three HTTP/1.1\r\n\r\n";
    for size in [1, 7, 1000] {
        let answer = talk(address, requests, size);
        assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answer}");
        assert!(
            answer.contains("\r\n\r\nPOST /one [abc]HTTP/1.1 200") && answer.contains("GET /two []HTTP/1.1")
        );
        assert!(answer.ends_with("content-length: 14\r\nconnection: keep-alive\r\n\r\n"), "{answer}");
    }
}

#[test]
fn a_refused_or_broken_request_ends_its_connection_only() {
    let address = server();
    assert!(
        talk(address, b"nonsense\r\n\r\nGET / HTTP/1.1\r\n\r\n", 1000)
            .starts_with("HTTP/1.1 400 Bad Request")
    );
    assert_eq!(talk(address, b"GET / HT", 1000), "");
    assert_eq!(talk(address, b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc", 1000), "");
    assert!(talk(address, &[b'x'; 20_000], 20_000).starts_with("HTTP/1.1 431"));
    assert!(
        talk(address, b"GET /after HTTP/1.0\r\n\r\n", 1000)
            .ends_with("connection: close\r\n\r\nGET /after []")
    );
}
