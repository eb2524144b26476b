//! A platform of canned answers, for tests that need no VM.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A request as the fake platform got it.
#[derive(Debug)]
pub(crate) struct Request {
    /// First line: method, path, version.
    pub(crate) line: String,
    /// Header lines, lower case.
    pub(crate) headers: Vec<String>,
    /// Body.
    pub(crate) body: Vec<u8>,
}

/// A fake platform that answers every connection's first request with the same bytes.
pub(crate) struct Fake {
    /// Its base URL.
    pub(crate) url: String,
    requests: Receiver<Request>,
}

impl Fake {
    /// Answers with a status line's rest (`200 OK`), further header lines and a body.
    pub(crate) fn answering(status: &str, headers: &[&str], body: &str) -> Self {
        let mut head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        Self::raw(format!("{head}\r\n{body}"))
    }

    /// Answers with an error document of the platform.
    pub(crate) fn failing(status: &str, code: &str) -> Self {
        let body = format!(
            r#"{{"error":{{"code":"{code}","message":"it failed","hint":"try this","output":"Traceback\nboom","request_id":"r1"}}}}"#
        );
        Self::answering(status, &["Content-Type: application/json", "x-request-id: r1"], &body)
    }

    fn raw(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let request = read(&stream);
                (&stream).write_all(answer.as_bytes()).expect("the client reads");
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { url, requests }
    }

    /// The next request that came.
    pub(crate) fn request(&self) -> Request {
        self.requests.recv().expect("the server runs")
    }
}

/// Reads a request.
pub(crate) fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request head");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let headers: Vec<String> = lines.drain(1..).map(|l| l.to_ascii_lowercase()).collect();
    let length = headers
        .iter()
        .find_map(|h| h.strip_prefix("content-length: "))
        .map_or(0, |l| l.parse().expect("a number"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the whole body");
    Request { line: lines.remove(0), headers, body }
}
