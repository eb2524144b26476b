//! A small HTTP/1.1 client over one kept-alive connection, so that tests see the bytes.

use crate::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A response, whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// First header of this name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// `error.code` of an error document.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// One part of `Server-Timing`, in milliseconds.
    pub(crate) fn timing(&self, part: &str) -> Option<f64> {
        let value = self.header("server-timing")?;
        value
            .split(',')
            .find_map(|metric| metric.trim().strip_prefix(part)?.strip_prefix(";dur=")?.parse().ok())
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the platform listens");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[], b"")
    }

    /// A HEAD request, whose response has no body whatever it says. The connection is used up.
    pub(crate) fn head(mut self, path: &str) -> Response {
        self.send("HEAD", path, &[("connection", "close")], b"");
        self.receive_head()
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send(method, path, headers, body);
        self.receive()
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: spore.test\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes).unwrap();
    }

    /// Exactly these bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// The connection itself, on which nothing was read ahead.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.stream.buffer().is_empty());
        self.stream.into_inner()
    }

    /// The same connection once more, to write to it.
    pub(crate) fn second(&self) -> Self {
        Self { stream: BufReader::new(self.stream.get_ref().try_clone().unwrap()) }
    }

    /// Writes as many bytes as are taken until the connection is ended.
    pub(crate) fn write_until_refused(&mut self, most: usize) -> usize {
        let piece = vec![0; 1 << 16];
        let mut sent = 0;
        while sent < most {
            match self.stream.get_mut().write(&piece) {
                Ok(len) => sent += len,
                Err(_) => break,
            }
        }
        sent
    }

    /// Nothing more will be written.
    pub(crate) fn end(&mut self) {
        self.stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// The next bytes.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The head of the next response.
    pub(crate) fn receive_head(&mut self) -> Response {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).unwrap(), 0, "connection closed in the head");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Response { status, headers, body: Vec::new() }
    }

    pub(crate) fn receive(&mut self) -> Response {
        let mut response = self.receive_head();
        match response.header("content-length").map(|len| len.parse::<usize>().unwrap()) {
            Some(len) => {
                response.body.resize(len, 0);
                self.stream.read_exact(&mut response.body).unwrap();
            }
            None if response.header("transfer-encoding").is_some() => self.chunks(&mut response.body),
            None if matches!(response.status, 204 | 304) => {}
            None => drop(self.stream.read_to_end(&mut response.body).unwrap()),
        }
        response
    }

    fn chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let chunk = self.chunk().expect("the connection ended inside a chunked body");
            if chunk.is_empty() {
                return;
            }
            body.extend(chunk);
        }
    }

    /// The next chunk of a chunked body, empty at its end; nothing if the connection ends first.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        let len = usize::from_str_radix(line.strip_suffix("\r\n")?, 16).expect("a size");
        let mut chunk = vec![0; len + 2];
        self.stream.read_exact(&mut chunk).ok()?;
        chunk.truncate(len);
        Some(chunk)
    }

    /// What comes next, as it comes.
    pub(crate) fn stream(&mut self) -> &mut impl Read {
        &mut self.stream
    }
}
