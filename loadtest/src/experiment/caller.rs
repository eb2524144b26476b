//! Single calls, one at a time, for what has to be prepared before each of them. It blocks, and takes no part in load.

use crate::target::{Address, Target};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of a line of a head.
const LINE_MAX: u64 = 16 << 10;
/// Lines of a head.
const LINES_MAX: usize = 200;
/// Bytes of a body.
const BODY_MAX: u64 = 64 << 20;

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// Status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
    /// From sending to the last byte.
    pub elapsed: Duration,
}

impl Answered {
    /// `x-spore-start`; empty if there is none.
    pub fn start(&self) -> &str {
        self.headers.get("x-spore-start").map_or("", String::as_str)
    }

    /// A part of `Server-Timing`, in milliseconds.
    pub fn timing(&self, name: &str) -> Option<f64> {
        let parts = self.headers.get("server-timing")?.split(',');
        parts.filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix(";dur=")?.parse().ok()).next()
    }
}

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A connection for single calls.
pub struct Caller {
    stream: BufReader<Box<dyn Stream>>,
    authority: String,
}

impl Caller {
    /// Connects.
    pub fn open(target: &Target, timeout: Duration) -> io::Result<Caller> {
        let stream: Box<dyn Stream> = match &target.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                Box::new(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                Box::new(stream)
            }
        };
        Ok(Caller { stream: BufReader::new(stream), authority: target.authority.clone() })
    }

    /// Sends a `GET` and does not wait for its answer. A `Caller` that is dropped then has hung up.
    pub fn send(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.authority);
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// Sends a `GET` and reads the whole answer.
    pub fn get(&mut self, path: &str) -> io::Result<Answered> {
        let begun = Instant::now();
        self.send(path)?;
        let mut answer = self.receive()?;
        answer.elapsed = begun.elapsed();
        Ok(answer)
    }

    /// The answer to what was sent.
    pub fn receive(&mut self) -> io::Result<Answered> {
        let mut answer = Answered::default();
        let status = self.line()?;
        answer.status = status
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| wrong("not an HTTP/1.1 answer"))?;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if answer.headers.len() >= LINES_MAX {
                return Err(wrong("a head without end"));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("not a header"))?;
            answer.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        self.body(&mut answer)?;
        Ok(answer)
    }

    fn body(&mut self, answer: &mut Answered) -> io::Result<()> {
        if answer.headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            loop {
                let line = self.line()?;
                let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                    .map_err(|_| wrong("not a chunk"))?;
                self.take(size, &mut answer.body)?;
                // The line end behind a chunk, or behind the trailers, of which there are none.
                self.line()?;
                if size == 0 {
                    return Ok(());
                }
            }
        }
        let length = answer.headers.get("content-length").map_or(Some(0), |length| length.parse().ok());
        self.take(length.ok_or_else(|| wrong("not a length"))?, &mut answer.body)
    }

    fn take(&mut self, size: u64, body: &mut Vec<u8>) -> io::Result<()> {
        if size > BODY_MAX.saturating_sub(body.len() as u64) {
            return Err(wrong("a body that is too long"));
        }
        let read = (&mut self.stream).take(size).read_to_end(body)? as u64;
        if read == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.stream).take(LINE_MAX).read_line(&mut line)?;
        match line.strip_suffix('\n') {
            Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What is made of an answer of these bytes.
    fn call(bytes: &'static [u8]) -> io::Result<Answered> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
            // Until the client is through.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = io::copy(&mut stream, &mut io::sink());
        });
        let answer = Caller::open(&target, Duration::from_secs(60)).and_then(|mut caller| caller.get("/x"));
        server.join().unwrap();
        answer
    }

    #[test]
    fn answers_are_read_whole_with_what_their_server_says_of_its_time() {
        let answer = call(b"HTTP/1.1 200 OK\r\nServer-Timing: queue;dur=0.001, run;dur=2.5\r\nX-Spore-Start: new\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.start()), (200, &b"hi"[..], "new"));
        assert_eq!((answer.timing("run"), answer.timing("fork")), (Some(2.5), None));
        let chunked =
            call(b"HTTP/1.1 502 Bad\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
                .unwrap();
        assert_eq!((chunked.status, &chunked.body[..]), (502, &b"abc"[..]));
    }

    #[test]
    fn what_is_cut_short_or_no_http_is_an_error() {
        for bytes in [
            &b""[..],
            b"SSH-2.0\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            assert!(call(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
