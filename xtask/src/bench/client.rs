//! A closed-loop HTTP/1.1 client that costs little: one connection, one request at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// One answered request.
pub(super) struct Sample {
    pub(super) elapsed: Duration,
    /// `recycled` or `new`.
    pub(super) start: String,
    pub(super) body: Vec<u8>,
    server_timing: String,
}

impl Sample {
    /// A part of `Server-Timing`.
    pub(super) fn part(&self, name: &str) -> Result<Duration, String> {
        let parts = self.server_timing.split(',');
        let found = parts.filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix(";dur=")).next();
        let value = found.and_then(|text| text.parse::<f64>().ok());
        value
            .map(|ms| Duration::from_secs_f64(ms / 1e3))
            .ok_or_else(|| format!("no `{name}` in {:?}", self.server_timing))
    }
}

pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    pub(super) fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream: BufReader::new(stream), line: String::new() })
    }

    /// Sends a GET and reads the whole answer, which must be a 200.
    pub(super) fn get(&mut self, path: &str) -> Result<Sample, String> {
        let begun = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let mut sample = self.answer()?;
        sample.elapsed = begun.elapsed();
        Ok(sample)
    }

    fn answer(&mut self) -> Result<Sample, String> {
        let status = self.read_line()?.to_owned();
        let (mut length, mut start, mut server_timing) = (0, String::new(), String::new());
        while let Some((name, value)) = self.read_line()?.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    length = value.parse().map_err(|_| format!("content-length {value:?}"))?
                }
                "x-spore-start" => value.clone_into(&mut start),
                "server-timing" => value.clone_into(&mut server_timing),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(|error| error.to_string())?;
        if !status.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
        }
        Ok(Sample { elapsed: Duration::ZERO, start, body, server_timing })
    }

    fn read_line(&mut self) -> Result<&str, String> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).map_err(|error| error.to_string())? == 0 {
            return Err("the platform closed the connection".to_owned());
        }
        Ok(self.line.trim_end())
    }
}
