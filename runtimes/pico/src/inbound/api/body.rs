//! Where the body of a request ends: a state machine that hands on the data and keeps the trailers.

use super::super::http::Chunk;
use alloc::vec::Vec;

/// Most bytes of trailers.
const TRAILERS_MAX: usize = 64 << 10;

/// What is left of a body.
#[derive(Clone, Debug)]
pub enum Body {
    /// This many bytes.
    Length(u64),
    /// Chunks. The trailers so far, as they were sent.
    Chunked(Chunk, Vec<u8>),
}

/// What came of a look at some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The body goes on.
    More,
    /// It ends here.
    End,
    /// It is malformed.
    Broken(&'static str),
}

impl Body {
    /// A body in chunks, before its first byte.
    pub fn chunked() -> Self {
        Self::Chunked(Chunk::Size(None), Vec::new())
    }

    /// Takes bytes from the front of `bytes`: how many, and how long the data at the end of them is.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, usize, Step) {
        match self {
            Self::Length(left) => {
                let taken = within(*left, bytes.len());
                *left -= taken as u64;
                (taken, taken, if *left == 0 { Step::End } else { Step::More })
            }
            Self::Chunked(chunk, trailers) => take_chunked(chunk, trailers, bytes),
        }
    }

    /// The trailers of a body that has ended.
    pub fn trailers(&self) -> &[u8] {
        match self {
            Self::Length(_) => &[],
            Self::Chunked(_, trailers) => trailers,
        }
    }
}

fn within(left: u64, here: usize) -> usize {
    usize::try_from(left).map_or(here, |left| left.min(here))
}

/// Takes coding up to the next data, then data.
fn take_chunked(chunk: &mut Chunk, trailers: &mut Vec<u8>, bytes: &[u8]) -> (usize, usize, Step) {
    let mut at = 0;
    while at < bytes.len() {
        if let Chunk::Data(left) = *chunk {
            let taken = within(left, bytes.len() - at);
            let left = left - taken as u64;
            *chunk = if left == 0 { Chunk::DataCr } else { Chunk::Data(left) };
            return (at + taken, taken, Step::More);
        }
        let byte = bytes[at];
        at += 1;
        if matches!(chunk, Chunk::TrailerStart | Chunk::Trailer | Chunk::LastLf) {
            if trailers.len() == TRAILERS_MAX {
                return (at, 0, Step::Broken("The trailers are too long"));
            }
            trailers.push(byte);
        }
        let Some(next) = chunk.next(byte) else { return (at, 0, Step::Broken("Malformed chunk")) };
        *chunk = next;
        if next == Chunk::Done {
            return (at, 0, Step::End);
        }
    }
    (at, 0, Step::More)
}
