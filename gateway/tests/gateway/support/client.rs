//! An HTTP/1.1 client that sends exactly the bytes it is given.

use super::PATIENCE;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a field, empty if there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error's code, after checking that the whole document is as promised.
    pub(crate) fn code(&self) -> String {
        let error = self.json()["error"].take();
        assert!(!error["message"].as_str().unwrap().is_empty(), "{self:?}");
        assert_eq!(error["request_id"].as_str().unwrap(), self.field("x-request-id"), "{self:?}");
        assert_eq!(self.field("content-type"), "application/json");
        assert!(self.timing("total").is_some(), "{self:?}");
        error["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    /// A part of `Server-Timing` in milliseconds.
    pub(crate) fn timing(&self, part: &str) -> Option<f64> {
        self.all("server-timing")
            .join(", ")
            .split(", ")
            .find_map(|metric| metric.strip_prefix(part)?.strip_prefix(";dur=")?.parse().ok())
    }
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send(&request(method, path, fields, body)).await;
        self.response(method).await
    }

    /// The next response to a request with `method`.
    pub(crate) async fn response(&mut self, method: &str) -> Response {
        tokio::time::timeout(PATIENCE, self.read_response(method)).await.expect("no response in time")
    }

    async fn read_response(&mut self, method: &str) -> Response {
        let mut response = self.head().await;
        if method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304) {
            return response;
        }
        if response.field("transfer-encoding") == "chunked" {
            while let Some(chunk) = self.chunk().await {
                response.body.extend(chunk);
            }
        } else {
            let length: usize = response.field("content-length").parse().unwrap();
            response.body = self.take(length).await;
        }
        response
    }

    /// The head of the next response.
    pub(crate) async fn head(&mut self) -> Response {
        loop {
            if let Some(head) = self.take_head() {
                return head;
            }
            assert!(self.more().await, "the connection ended before a response: {:?}", self.buffered());
        }
    }

    /// All that comes until the connection ends.
    pub(crate) async fn rest(&mut self) -> String {
        let all = async { while matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {} };
        tokio::time::timeout(PATIENCE, all).await.expect("the connection stayed open");
        self.buffered()
    }

    fn buffered(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    fn take_head(&mut self) -> Option<Response> {
        let mut slots = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut slots);
        let httparse::Status::Complete(length) = head.parse(&self.buffer).unwrap() else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = head.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
        let response = Response { status: head.code.unwrap(), fields, body: Vec::new() };
        self.buffer.drain(..length);
        Some(response)
    }

    /// The next chunk of a chunked body; none at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                break usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
            }
            assert!(self.more().await, "the connection ended inside a chunked body");
        };
        let mut data = self.take(size + 2).await;
        data.truncate(size);
        (size > 0).then_some(data)
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.more().await, "the connection ended inside a body");
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.unwrap() > 0
    }

    /// Whether the server closes the connection without sending anything more.
    pub(crate) async fn ends(&mut self) -> bool {
        let ended = async { matches!(self.stream.read_buf(&mut self.buffer).await, Ok(0) | Err(_)) };
        tokio::time::timeout(PATIENCE, ended).await.expect("the connection stayed open")
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: spore.test\r\n").into_bytes();
    for (name, value) in fields {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}
