//! HTTP/1.1 responses (RFC 9112), read as they come. Only what load needs: status, two headers, and the body.

use crate::failure::Failure;
use bytes::Buf;
use std::mem::MaybeUninit;

/// Bytes of a head that are read before it is given up.
pub(crate) const HEAD_MAX: usize = 64 << 10;
/// Headers of a head.
const HEADERS_MAX: usize = 128;
/// Informational answers (1xx) before the real one.
const INFORMATIONAL_MAX: u8 = 32;
/// Bytes of a line that begins a chunk, or of a trailer.
const LINE_MAX: usize = 8 << 10;

/// Where in a response the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    /// So many bytes are left.
    Sized(u64),
    /// So many bytes of the chunk are left.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    ChunkSize,
    Trailers,
    /// The end of the connection is the end of the body.
    ToEnd,
    Done,
}

/// How the VM that answered came to be, as `x-spore-start` says.
pub(crate) type Start = [u8; 12];

/// Reads one response.
#[derive(Debug)]
pub(crate) struct Decoder {
    stage: Stage,
    /// To a `HEAD`, which has no body whatever its headers say.
    to_head: bool,
    pub(crate) status: u16,
    /// Whether the connection can be used again.
    pub(crate) keep: bool,
    pub(crate) start: Start,
    /// Bytes of the body so far, without framing.
    pub(crate) body_bytes: u64,
    /// Heads of 1xx so far.
    informational: u8,
}

impl Decoder {
    pub(crate) fn new(to_head: bool) -> Decoder {
        Decoder {
            stage: Stage::Head,
            to_head,
            status: 0,
            keep: true,
            start: [0; 12],
            body_bytes: 0,
            informational: 0,
        }
    }

    /// Takes from `input` what belongs to this response; true when it is complete. `body` gets the contents.
    pub(crate) fn take(&mut self, input: &mut &[u8], body: &mut impl FnMut(&[u8])) -> Result<bool, Failure> {
        loop {
            let moved = match self.stage {
                Stage::Done => return Ok(true),
                Stage::Head => self.head(input)?,
                Stage::Sized(left) => self.content(input, left, body, Stage::Sized, Stage::Done),
                Stage::Chunk(left) => self.content(input, left, body, Stage::Chunk, Stage::ChunkEnd),
                Stage::ToEnd => self.content(input, u64::MAX, body, |_| Stage::ToEnd, Stage::Done),
                Stage::ChunkSize => self.chunk_size(input)?,
                Stage::ChunkEnd => self.chunk_end(input)?,
                Stage::Trailers => self.trailer(input)?,
            };
            if !moved {
                return Ok(false);
            }
        }
    }

    /// The connection ended. A body without a length is complete then; anything else is cut short.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        let complete = matches!(self.stage, Stage::ToEnd | Stage::Done);
        complete.then(|| self.stage = Stage::Done).ok_or(Failure::Truncated)
    }

    fn head(&mut self, input: &mut &[u8]) -> Result<bool, Failure> {
        // Not filled first: that would be 4 KiB for each answer.
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, input, &mut headers)
            .map_err(|_| Failure::Protocol)?;
        let httparse::Status::Complete(len) = parsed else {
            return if input.len() < HEAD_MAX { Ok(false) } else { Err(Failure::Protocol) };
        };
        let status = response.code.ok_or(Failure::Protocol)?;
        if (100..200).contains(&status) {
            self.informational += 1;
            if status == 101 || self.informational > INFORMATIONAL_MAX {
                return Err(Failure::Protocol);
            }
            input.advance(len);
            return Ok(true);
        }
        self.status = status;
        self.keep = response.version == Some(1);
        self.stage = self.framing(response.headers)?;
        input.advance(len);
        Ok(true)
    }

    /// How the body is delimited (RFC 9112, 6.3).
    fn framing(&mut self, headers: &[httparse::Header<'_>]) -> Result<Stage, Failure> {
        let (mut length, mut chunked, mut coded) = (None, false, false);
        for header in headers {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                let number = number(value).ok_or(Failure::Protocol)?;
                if length.replace(number).is_some_and(|before| before != number) {
                    return Err(Failure::Protocol);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                coded = true;
                chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if header.name.eq_ignore_ascii_case("connection") {
                self.connection(value);
            } else if header.name.eq_ignore_ascii_case("x-spore-start") {
                let len = value.len().min(self.start.len());
                self.start[..len].copy_from_slice(&value[..len]);
            }
        }
        if self.to_head || self.status == 204 || self.status == 304 {
            return Ok(Stage::Done);
        }
        match (coded, chunked, length) {
            (true, _, Some(_)) => Err(Failure::Protocol),
            (true, true, None) => Ok(Stage::ChunkSize),
            (false, _, Some(0)) => Ok(Stage::Done),
            (false, _, Some(length)) => Ok(Stage::Sized(length)),
            (_, false, None) => {
                self.keep = false;
                Ok(Stage::ToEnd)
            }
            (false, true, None) => Err(Failure::Protocol),
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for word in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if word.eq_ignore_ascii_case(b"close") {
                self.keep = false;
            } else if word.eq_ignore_ascii_case(b"keep-alive") {
                self.keep = true;
            }
        }
    }

    /// Passes on at most `left` bytes; with the last of them `after` is next.
    fn content(
        &mut self,
        input: &mut &[u8],
        left: u64,
        body: &mut impl FnMut(&[u8]),
        more: impl Fn(u64) -> Stage,
        after: Stage,
    ) -> bool {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        body(&input[..count]);
        input.advance(count);
        self.body_bytes += count as u64;
        let left = left - count as u64;
        self.stage = if left == 0 { after } else { more(left) };
        left == 0
    }

    fn chunk_size(&mut self, input: &mut &[u8]) -> Result<bool, Failure> {
        match httparse::parse_chunk_size(input).map_err(|_| Failure::Protocol)? {
            httparse::Status::Partial if input.len() < LINE_MAX => Ok(false),
            httparse::Status::Partial => Err(Failure::Protocol),
            httparse::Status::Complete((len, size)) => {
                input.advance(len);
                self.stage = if size == 0 { Stage::Trailers } else { Stage::Chunk(size) };
                Ok(true)
            }
        }
    }

    fn chunk_end(&mut self, input: &mut &[u8]) -> Result<bool, Failure> {
        if input.len() < 2 {
            return Ok(false);
        }
        if &input[..2] != b"\r\n" {
            return Err(Failure::Protocol);
        }
        input.advance(2);
        self.stage = Stage::ChunkSize;
        Ok(true)
    }

    fn trailer(&mut self, input: &mut &[u8]) -> Result<bool, Failure> {
        let Some(at) = input.windows(2).position(|pair| pair == b"\r\n") else {
            return if input.len() < LINE_MAX { Ok(false) } else { Err(Failure::Protocol) };
        };
        input.advance(at + 2);
        if at == 0 {
            self.stage = Stage::Done;
        }
        Ok(true)
    }
}

/// A decimal number, digits only.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` in parts of `step`; the status, the body, and what is left over.
    fn read(bytes: &[u8], step: usize, to_head: bool) -> Result<(u16, Vec<u8>, usize, bool), Failure> {
        let mut decoder = Decoder::new(to_head);
        let (mut input, mut body) = (Vec::new(), Vec::new());
        let mut parts = bytes.chunks(step);
        loop {
            let mut rest = &input[..];
            let complete = decoder.take(&mut rest, &mut |part| body.extend_from_slice(part))?;
            input = rest.to_vec();
            if complete {
                break;
            }
            match parts.next() {
                Some(part) => input.extend_from_slice(part),
                None => {
                    decoder.end()?;
                    break;
                }
            }
        }
        let left = input.len() + parts.map(<[u8]>::len).sum::<usize>();
        Ok((decoder.status, body, left, decoder.keep))
    }

    #[test]
    fn bodies_are_delimited_as_their_heads_say_however_they_arrive() {
        type Read<'a> = (u16, &'a [u8], usize, bool);
        let cases: [(&[u8], bool, Read<'_>); 8] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloX", false, (200, b"hello", 1, true)),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n", false, (200, b"hello", 0, true)),
            (b"HTTP/1.1 200 OK\r\n\r\nto the end", false, (200, b"to the end", 0, false)),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\ncontent-length:0\r\n\r\n", false, (404, b"", 0, true)),
            (b"HTTP/1.1 204 No\r\nConnection: x, Close\r\n\r\n", false, (204, b"", 0, false)),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, (200, b"x", 0, false)),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", false, (200, b"x", 0, true)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, (200, b"", 0, true)),
        ];
        for (bytes, to_head, (status, body, left, keep)) in cases {
            for step in [1, 2, 7, 1000] {
                let found = read(bytes, step, to_head).unwrap();
                assert_eq!(
                    (found.0, &found.1[..], found.3),
                    (status, body, keep),
                    "{}",
                    bytes.escape_ascii()
                );
                assert_eq!(found.2, left, "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn lies_are_found() {
        for (bytes, failure) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..], Failure::Truncated),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", Failure::Truncated),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello", Failure::Protocol),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Failure::Protocol),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Failure::Protocol),
            (b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", Failure::Protocol),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Failure::Protocol,
            ),
            (b"HTTP/1.1 200 OK\r\nContent-", Failure::Truncated),
            (b"", Failure::Truncated),
            (b"HTTP/1.1 101 Switching\r\n\r\n", Failure::Protocol),
            (b"SSH-2.0-x\r\n", Failure::Protocol),
        ] {
            assert_eq!(read(bytes, 3, false).unwrap_err(), failure, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_does_not_end_is_given_up() {
        let head = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; HEAD_MAX]].concat();
        assert_eq!(read(&head, 4096, false).unwrap_err(), Failure::Protocol);
        let start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".to_vec();
        let trailer = [start, vec![b'a'; LINE_MAX]].concat();
        assert_eq!(read(&trailer, 4096, false).unwrap_err(), Failure::Protocol);
    }
}
