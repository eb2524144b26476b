//! Where the body of a call goes.

use super::head::Call;
use super::status::Status;
use super::{FIELDS_MAX, REPORT_MAX, Shared, Wait, field, one_line};
use abi::runtime_api::{ERROR_BODY, ERROR_TYPE, Kind};
use alloc::vec::Vec;

/// Where a body goes.
pub enum Sink {
    /// Into the answer to the invocation.
    Answer,
    /// Into the answer as it was sent, coding and trailers included: it may go out before it is complete.
    Chunks,
    /// Into the log: the program cannot start. Type of the error, and its document so far.
    Report(Vec<u8>, Vec<u8>),
    /// It is not wanted. What the call is answered with.
    Nowhere(Status),
    /// A call that waits once its body has ended.
    Wait(Wait),
}

/// What comes of a body that has ended.
pub enum Ended {
    /// The call is answered with this.
    Answered(Status),
    /// The call waits.
    Waits(Wait),
}

impl Sink {
    /// What happens with the body of a call.
    pub fn of(call: Call, server: &Shared) -> Self {
        let mut server = server.borrow_mut();
        let mut sink = Self::Answer;
        let begun = match call {
            Call::Next(wait) => return server.wait(wait).map_or_else(Self::Nowhere, |()| Self::Wait(wait)),
            Call::Refused(status) => return Self::Nowhere(status),
            Call::Answer { id, kind, detail } => {
                if kind == Kind::Chunks {
                    sink = Self::Chunks;
                }
                server.begin(&id, kind, &detail)
            }
            Call::RestoreError(kind) if server.may_fail().is_err() => server.begin_restore_error(&kind),
            Call::InitError(kind) | Call::RestoreError(kind) => {
                let allowed = server.may_fail();
                return allowed.map_or_else(Self::Nowhere, |()| Self::Report(kind, Vec::new()));
            }
        };
        begun.map_or_else(Self::Nowhere, |()| sink)
    }

    /// Whether it is the answer to the invocation.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Answer | Self::Chunks)
    }

    /// Bytes there is room for now.
    pub fn room(&self, server: &Shared) -> usize {
        if matches!(self, Self::Chunks) { server.borrow().room() } else { usize::MAX }
    }

    /// Takes bytes of a body that end in `data` of it; says what the call is answered with if it is not wanted.
    pub fn take(&mut self, server: &Shared, bytes: &[u8], data: usize) -> Option<Status> {
        let content = &bytes[bytes.len() - data..];
        match self {
            Self::Chunks => {
                let mut server = server.borrow_mut();
                (!server.extend(bytes)).then(|| server.refuse_large())
            }
            Self::Answer => {
                let mut server = server.borrow_mut();
                (!server.extend(content)).then(|| server.refuse_large())
            }
            Self::Report(_, document) => {
                let room = REPORT_MAX - document.len();
                document.extend_from_slice(&content[..data.min(room)]);
                None
            }
            Self::Nowhere(_) | Self::Wait(_) => None,
        }
    }

    /// The body has ended.
    pub fn end(self, server: &Shared, trailers: &[u8]) -> Ended {
        let mut server = server.borrow_mut();
        Ended::Answered(match self {
            Self::Wait(wait) => return Ended::Waits(wait),
            Self::Nowhere(status) => status,
            Self::Report(kind, document) => {
                server.fail(&kind, &document);
                Status::Accepted
            }
            Self::Chunks => {
                server.finish();
                Status::Accepted
            }
            Self::Answer => match broken_stream(trailers) {
                Ok(None) => {
                    server.finish();
                    Status::Accepted
                }
                Ok(Some(Broken { kind, document })) => {
                    server.finish_broken(&kind, &document).err().unwrap_or(Status::Accepted)
                }
                Err(status) => {
                    server.abandon();
                    status
                }
            },
        })
    }
}

/// The error that the trailers of a body tell of.
struct Broken {
    kind: Vec<u8>,
    /// In base64.
    document: Vec<u8>,
}

/// The error, if there is one.
fn broken_stream(trailers: &[u8]) -> Result<Option<Broken>, Status> {
    if trailers.is_empty() {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(trailers, &mut fields) else {
        return Err(Status::Malformed("Malformed trailers"));
    };
    let kind = field(fields, ERROR_TYPE);
    let document = one_line(field(fields, ERROR_BODY));
    Ok(kind.map(|kind| Broken { kind: one_line(Some(kind)), document }))
}
