//! The body of an HTTP/1.1 response, taken out of its framing as it comes.

use super::{invalid, runtime_api};
use crate::error::Failure;
use crate::headers::RESPONSE_FIELDS_MAX;
use bytes::{Bytes, BytesMut};

/// Most bytes of a line of the chunked coding.
const LINE_MAX: usize = 1024;
/// Most bytes of trailers that are kept.
const TRAILERS_MAX: usize = 64 << 10;

/// How a message says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// Takes a body out of its framing.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// This many bytes are to come.
    Length {
        length: u64,
        left: u64,
    },
    Chunked(Chunks),
    UntilEnd,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length { length, left: length },
            Framing::Chunked => Self::Chunked(Chunks::default()),
            Framing::UntilEnd => Self::UntilEnd,
        }
    }

    /// For the chunked coding of a streamed answer, whose trailers can say that it ended in an error.
    pub(super) fn stream() -> Self {
        Self::Chunked(Chunks { kept: Some(Vec::new()), ..Chunks::default() })
    }

    /// The bytes of the body among those that came.
    pub(crate) fn decode(&mut self, bytes: Bytes) -> Result<Bytes, Failure> {
        match self {
            Self::UntilEnd => Ok(bytes),
            Self::Chunked(chunks) => chunks.decode(&bytes),
            Self::Length { length, left } => match left.checked_sub(bytes.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    Ok(bytes)
                }
                None => Err(invalid(format!("its Content-Length is {length} but its body is longer"))),
            },
        }
    }

    /// Nothing more comes: whether that is the end of the body.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match self {
            Self::UntilEnd | Self::Length { left: 0, .. } => Ok(()),
            Self::Chunked(chunks) if chunks.state == State::Done => {
                chunks.kept.as_deref().map_or(Ok(()), runtime_api::stream_ended)
            }
            Self::Chunked(_) => Err(invalid("it ends inside its chunked body")),
            Self::Length { length, left } => Err(invalid(format!(
                "its Content-Length is {length} but its body has {} bytes",
                length - left
            ))),
        }
    }

    /// Whether the framing says that nothing can follow.
    pub(crate) fn is_complete(&self) -> bool {
        !matches!(self, Self::UntilEnd) && self.finish().is_ok()
    }

    /// Bytes that are to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Length { left, .. } => Some(*left),
            Self::Chunked(_) | Self::UntilEnd => None,
        }
    }
}

/// Decodes `Transfer-Encoding: chunked`; extensions are dropped, trailers too unless they are kept.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// The line that has begun.
    line: Vec<u8>,
    trailers: usize,
    /// The trailers as they came, if they are wanted.
    kept: Option<Vec<u8>>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// The line with the size of a chunk.
    #[default]
    Size,
    /// This much of the chunk.
    Data(usize),
    /// The end of the line behind a chunk.
    DataEnd,
    /// A trailer, or the empty line behind all.
    Trailer,
    Done,
}

impl Chunks {
    fn decode(&mut self, mut bytes: &[u8]) -> Result<Bytes, Failure> {
        let mut body = BytesMut::with_capacity(bytes.len());
        while !bytes.is_empty() {
            match self.state {
                State::Data(left) => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    body.extend_from_slice(data);
                    bytes = rest;
                    let left = left - data.len();
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::Done => {
                    return Err(invalid(format!("{} bytes follow its last chunk", bytes.len())));
                }
                State::Size | State::DataEnd | State::Trailer => {
                    if self.take_line(&mut bytes)? {
                        self.state = self.line_ended()?;
                        self.line.clear();
                    }
                }
            }
        }
        Ok(body.freeze())
    }

    /// Moves the line's bytes, its end included, out of `bytes`; whether it is whole.
    fn take_line(&mut self, bytes: &mut &[u8]) -> Result<bool, Failure> {
        while let [byte, rest @ ..] = bytes {
            *bytes = rest;
            self.line.push(*byte);
            if self.line.ends_with(b"\r\n") {
                return Ok(true);
            }
            if self.line.len() >= self.line_max() {
                return Err(invalid("a line of its chunked body is too long"));
            }
        }
        Ok(false)
    }

    fn line_max(&self) -> usize {
        match (&self.kept, self.state) {
            (Some(kept), State::Trailer) => TRAILERS_MAX - kept.len(),
            _ => LINE_MAX,
        }
    }

    fn line_ended(&mut self) -> Result<State, Failure> {
        if let (Some(kept), State::Trailer) = (&mut self.kept, self.state) {
            kept.extend_from_slice(&self.line);
        }
        let line = self.line.strip_suffix(b"\r\n").unwrap_or_default();
        Ok(match self.state {
            State::Size => match chunk_size(line)? {
                0 => State::Trailer,
                size => State::Data(size),
            },
            State::DataEnd if line.is_empty() => State::Size,
            State::DataEnd => return Err(invalid("a chunk of it is longer than announced")),
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer if self.trailers == RESPONSE_FIELDS_MAX => {
                return Err(invalid("it has too many trailers"));
            }
            State::Trailer => {
                self.trailers += 1;
                State::Trailer
            }
            State::Data(_) | State::Done => self.state,
        })
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, Failure> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let valid = !digits.is_empty() && digits.len() <= 8 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| valid);
    text.and_then(|text| usize::from_str_radix(text, 16).ok())
        .ok_or_else(|| invalid("the size of a chunk of it is not a hexadecimal number"))
}
