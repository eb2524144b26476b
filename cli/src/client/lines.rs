//! A streamed body, line by line.

use crate::failure::Failure;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Longest line that is accepted, in bytes.
const LINE_MAX: usize = 1 << 20;

/// Splits a streamed body into lines.
pub(crate) struct Lines {
    body: Incoming,
    splitter: Splitter,
}

impl Lines {
    /// The lines of this body.
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, splitter: Splitter::default() }
    }

    /// The next line without its end; `None` at the end of the body.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(line) = self.splitter.line() {
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(self.splitter.rest());
            };
            let frame = frame.map_err(|e| Failure::new(format!("the platform ended the stream: {e}")))?;
            if let Some(data) = frame.data_ref() {
                self.splitter.push(data)?;
            }
        }
    }
}

/// The bytes that are not yet a full line.
#[derive(Default)]
struct Splitter {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already given out.
    taken: usize,
    /// Bytes of `buffer` known to hold no line end beyond `taken`.
    searched: usize,
}

impl Splitter {
    fn push(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.buffer.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        self.buffer.extend_from_slice(data);
        if self.searched > LINE_MAX {
            return Err(Failure::new(format!("the platform sent a line longer than {LINE_MAX} bytes")));
        }
        Ok(())
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let Some(at) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + at;
        let line = self.buffer[self.taken..end].to_vec();
        self.taken = end + 1;
        self.searched = self.taken;
        Some(line)
    }

    fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.split_off(self.taken);
        *self = Self::default();
        if rest.is_empty() { None } else { Some(rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk.as_bytes()).expect("short");
            lines.extend(std::iter::from_fn(|| splitter.line()));
        }
        lines.extend(splitter.rest());
        lines.into_iter().map(|l| String::from_utf8(l).expect("text")).collect()
    }

    #[test]
    fn lines_survive_any_chunking() {
        assert_eq!(lines(&["a\nbc", "d\n", "\n", "e"]), ["a", "bcd", "", "e"]);
        assert_eq!(lines(&["", "x", "", "y\nz\n"]), ["xy", "z"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut splitter = Splitter::default();
        let chunk = vec![b'x'; LINE_MAX];
        splitter.push(&chunk).expect("at the limit");
        assert!(splitter.line().is_none());
        splitter.push(b"x").expect("not yet searched");
        assert!(splitter.line().is_none());
        assert!(splitter.push(b"x").is_err());
    }
}
