//! An HTTP/1.1 server for examples: one thread, one connection after the other, keep-alive, on `std` alone.

mod request;

pub use request::{BODY_MAX, HEAD_MAX, Head, Request, parse_head};

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// What a handler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// Plain text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into().into_bytes() }
    }

    /// A JSON document.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "application/json", body: body.into().into_bytes() }
    }
}

/// The port in the environment variable `PORT`; 8080 without one.
pub fn port() -> io::Result<u16> {
    match std::env::var("PORT") {
        Ok(text) => {
            text.parse().map_err(|_| io::Error::other(format!("PORT is {text:?}, not a port number")))
        }
        Err(_) => Ok(8080),
    }
}

/// Answers requests on `port` for ever.
pub fn serve(port: u16, handler: impl Fn(&Request) -> Response) -> io::Result<()> {
    serve_on(&TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?, handler)
}

/// Answers requests on a listening socket for ever.
pub fn serve_on(listener: &TcpListener, handler: impl Fn(&Request) -> Response) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A client that breaks its connection is no reason to stop serving the others.
        if let Err(error) = converse(stream, &handler) {
            eprintln!("connection lost: {error}");
        }
    }
}

/// Answers the requests of one connection.
fn converse(mut stream: TcpStream, handler: &impl Fn(&Request) -> Response) -> io::Result<()> {
    let mut received = Vec::new();
    loop {
        let request = match read_request(&mut stream, &mut received)? {
            Some(Ok(request)) => request,
            Some(Err(refusal)) => return send(&mut stream, &refusal, true, false),
            None => return Ok(()),
        };
        let keep = request.head.keep_alive;
        send(&mut stream, &handler(&request), request.head.method != "HEAD", keep)?;
        if !keep {
            return Ok(());
        }
    }
}

/// Reads one request and leaves what follows it in `received`; `None` when the client is done.
fn read_request(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> io::Result<Option<Result<Request, Response>>> {
    let head_bytes = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if received.len() > HEAD_MAX {
            return Ok(Some(Err(Response::text(431, "the request head is too large\n"))));
        }
        if read_more(stream, received)? == 0 {
            let complete = received.is_empty();
            return if complete { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    let head = match parse_head(&received[..head_bytes]) {
        Ok(head) => head,
        Err(refusal) => return Ok(Some(Err(refusal))),
    };
    let total = head_bytes + head.content_length;
    while received.len() < total {
        if read_more(stream, received)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let body = received[head_bytes..total].to_vec();
    received.drain(..total);
    Ok(Some(Ok(Request { head, body })))
}

fn read_more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer)?;
    received.extend_from_slice(&buffer[..count]);
    Ok(count)
}

/// Sends head and body in one write.
fn send(stream: &mut TcpStream, response: &Response, with_body: bool, keep_alive: bool) -> io::Result<()> {
    let reason = match response.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let mut bytes = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: {connection}\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len()
    )
    .into_bytes();
    if with_body {
        bytes.extend_from_slice(&response.body);
    }
    stream.write_all(&bytes)
}
