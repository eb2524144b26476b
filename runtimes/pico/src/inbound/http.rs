//! Where an HTTP/1.1 response ends: a state machine over the bytes a program writes.
//!
//! It looks at every byte once, whatever the sizes of the writes, and needs no memory of its own. Offsets are those in the
//! response area, which begins anew when a part of the response was handed over. It does not judge the response: the host parses it again. What cannot be understood simply lasts until the connection
//! is closed.

use alloc::vec;

/// Most header fields of a response head that is understood.
const HEADERS_MAX: usize = 256;
/// Header fields there is room for on the stack: a fork should not touch fresh memory for an ordinary response.
const HEADERS_USUAL: usize = 48;

/// What is known after looking at the bytes written so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The response goes on, or lasts until the connection is closed.
    More,
    /// The response is the bytes `start..end`; what lies before are interim (1xx) responses.
    Complete {
        /// Offset of its first byte.
        start: usize,
        /// Offset behind its last byte.
        end: usize,
    },
}

/// Follows one response.
#[derive(Clone, Debug)]
pub struct ResponseWatch {
    /// The request was a `HEAD`: the response has no body.
    head_only: bool,
    /// What follows a response with status 101 is another protocol.
    may_upgrade: bool,
    /// It has begun.
    upgraded: bool,
    /// Offset of the first byte of the current head.
    start: usize,
    /// Offset of the first byte not looked at yet.
    position: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head(HeadLine),
    /// The body ends at this offset.
    Fixed(u64),
    Chunked(Chunk),
    UntilClose,
}

/// Where in a head the next byte lies.
#[derive(Clone, Copy, Debug)]
enum HeadLine {
    /// Before the status line, where empty lines are skipped.
    Before,
    Inside,
    Start,
    /// Behind a CR that began a line.
    AfterCr,
}

/// Where in the chunked coding the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In the size; nothing before its first digit.
    Size(Option<u64>),
    /// Between the size and the end of its line: blanks and extensions.
    Extension(u64),
    /// Behind the CR of the size line.
    SizeLf(u64),
    /// In the data, which has this many bytes left.
    Data(u64),
    /// Behind the data.
    DataCr,
    /// Behind the CR that follows the data.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// In a trailer line.
    Trailer,
    /// Behind a CR that began a trailer line.
    LastLf,
    /// Behind everything.
    Done,
}

impl ResponseWatch {
    /// A watch for the response to `request`.
    pub fn new(request: &[u8]) -> Self {
        Self {
            head_only: request.starts_with(b"HEAD "),
            may_upgrade: false,
            upgraded: false,
            start: 0,
            position: 0,
            state: State::Head(HeadLine::Before),
        }
    }

    /// A watch for what goes on in chunked coding at offset `start`. What lies before is as good as a head.
    pub fn in_chunks(start: usize) -> Self {
        Self { position: start, state: State::Chunked(Chunk::Size(None)), ..Self::new(b"") }
    }

    /// Looks at what was added to `response`, which is everything written so far (since [`ResponseWatch::restart`]).
    pub fn advance(&mut self, response: &[u8]) -> Progress {
        while self.position < response.len() {
            match self.state {
                State::Head(line) => self.head_byte(line, response),
                State::Chunked(Chunk::Done) => break,
                State::Chunked(chunk) => self.chunk(chunk, response),
                State::Fixed(end) if end <= self.position as u64 => break,
                State::Fixed(_) | State::UntilClose => self.position = response.len(),
            }
        }
        match self.state {
            State::Fixed(end) if end <= self.position as u64 => Progress::Complete {
                start: self.start,
                end: usize::try_from(end).expect("it is not beyond the position"),
            },
            State::Chunked(Chunk::Done) => Progress::Complete { start: self.start, end: self.position },
            _ => Progress::More,
        }
    }

    /// A response with status 101 is not the end: the connection goes on in another protocol.
    pub fn allow_upgrade(&mut self) {
        self.may_upgrade = true;
    }

    /// Whether the connection goes on in another protocol.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Whether only the end of the connection can end the response.
    pub fn lasts_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Whether the head is complete, so that its bytes and those that follow can be handed over.
    pub fn is_past_head(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// The bytes looked at so far are gone: the response goes on at offset 0. To be called past the head, when nothing is
    /// complete.
    pub fn restart(&mut self) {
        if let State::Fixed(end) = &mut self.state {
            *end = end.saturating_sub(self.position as u64);
        }
        self.start = 0;
        self.position = 0;
    }

    /// Offset of the response in what was written: what lies before are interim responses.
    pub fn start(&self) -> usize {
        self.start
    }

    fn head_byte(&mut self, line: HeadLine, response: &[u8]) {
        let byte = response[self.position];
        self.position += 1;
        let next = match (line, byte) {
            (HeadLine::Before, b'\r' | b'\n') => HeadLine::Before,
            (HeadLine::Start, b'\r') => HeadLine::AfterCr,
            (HeadLine::Start | HeadLine::AfterCr, b'\n') => {
                self.head_ended(&response[self.start..self.position]);
                return;
            }
            (_, b'\n') => HeadLine::Start,
            _ => HeadLine::Inside,
        };
        self.state = State::Head(next);
    }

    fn head_ended(&mut self, head: &[u8]) {
        match framing(head, self.head_only) {
            Some(Framing::Interim) => {
                self.start = self.position;
                self.state = State::Head(HeadLine::Before);
            }
            Some(Framing::Upgrade) if self.may_upgrade => {
                self.upgraded = true;
                self.state = State::UntilClose;
            }
            Some(Framing::Upgrade) => self.state = State::Fixed(self.position as u64),
            Some(Framing::Length(len)) => {
                self.state = State::Fixed((self.position as u64).saturating_add(len))
            }
            Some(Framing::Chunked) => self.state = State::Chunked(Chunk::Size(None)),
            Some(Framing::UntilClose) | None => self.state = State::UntilClose,
        }
    }

    fn chunk(&mut self, chunk: Chunk, response: &[u8]) {
        if let Chunk::Data(left) = chunk {
            let here = (response.len() - self.position) as u64;
            let taken = left.min(here);
            self.position += usize::try_from(taken).expect("it is not more than what is here");
            self.state =
                State::Chunked(if taken == left { Chunk::DataCr } else { Chunk::Data(left - taken) });
            return;
        }
        let byte = response[self.position];
        self.position += 1;
        self.state = chunk.next(byte).map_or(State::UntilClose, State::Chunked);
    }
}

impl Chunk {
    /// The state behind `byte`; nothing if the coding is broken.
    pub fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size(Some(size)) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::Size(Some(size)), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), _) => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size(Some(size.unwrap_or(0).checked_mul(16)?.checked_add(u64::from(digit))?))
            }
            (Self::Extension(_), b'\n') => return None,
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeLf(0), b'\n') => Self::TrailerStart,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(None),
            (Self::TrailerStart, b'\r') => Self::LastLf,
            (Self::Trailer, b'\n') => Self::TrailerStart,
            (Self::TrailerStart, b'\n') => return None,
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            (Self::LastLf, b'\n') => Self::Done,
            _ => return None,
        })
    }
}

/// How the end of a response is told (RFC 9112, 6.3).
enum Framing {
    /// A 1xx response: the real one follows.
    Interim,
    /// Another protocol follows.
    Upgrade,
    /// This many bytes of body.
    Length(u64),
    Chunked,
    UntilClose,
}

/// The framing a complete head announces; nothing if the head is malformed.
fn framing(head: &[u8], head_only: bool) -> Option<Framing> {
    let mut usual = [httparse::EMPTY_HEADER; HEADERS_USUAL];
    let mut response = httparse::Response::new(&mut usual);
    match response.parse(head) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut response = httparse::Response::new(&mut many);
            let complete = response.parse(head).ok()?.is_complete();
            complete.then(|| announced(&response, head_only)).flatten()
        }
        Ok(status) if status.is_complete() => announced(&response, head_only),
        _ => None,
    }
}

/// The framing a parsed head announces; nothing if its lengths contradict each other.
fn announced(response: &httparse::Response<'_, '_>, head_only: bool) -> Option<Framing> {
    let code = response.code?;
    match code {
        101 => return Some(Framing::Upgrade),
        100..200 => return Some(Framing::Interim),
        _ => {}
    }
    if head_only || matches!(code, 204 | 304) {
        return Some(Framing::Length(0));
    }
    let mut coding = None;
    let mut length = None;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            coding = Some(header.value);
        } else if header.name.eq_ignore_ascii_case("content-length") {
            let value = content_length(header.value)?;
            if length.is_some_and(|other| other != value) {
                return None;
            }
            length = Some(value);
        }
    }
    Some(match (coding, length) {
        (Some(coding), _) if is_chunked(coding) => Framing::Chunked,
        (Some(_), _) | (None, None) => Framing::UntilClose,
        (None, Some(length)) => Framing::Length(length),
    })
}

/// The value of a `Content-Length` field: decimal digits only.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Whether the last transfer coding is `chunked`.
fn is_chunked(value: &[u8]) -> bool {
    let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
