//! The head of a request to the API: which call it is, and how its body ends.

use super::super::http::content_length;
use super::body::Body;
use super::status::Status;
use super::{FIELDS_MAX, Wait, field, one_line};
use abi::runtime_api::{ERROR_TYPE, Kind, VERSION_PATH};
use alloc::vec::Vec;

/// How the names of Amazon's own clients begin.
const OWN_CLIENTS: &[u8] = b"aws-lambda";
const RESPONSE_MODE: &str = "Lambda-Runtime-Function-Response-Mode";

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Waits for the request.
    Next(Wait),
    /// Posts an answer to the invocation `id`. `detail`: type of the error, or of a stream's content.
    Answer {
        /// The invocation.
        id: Vec<u8>,
        /// What is posted.
        kind: Kind,
        /// Its detail.
        detail: Vec<u8>,
    },
    /// Posts why the program cannot start.
    InitError(Vec<u8>),
    /// Posts why the program cannot go on as a fork.
    RestoreError(Vec<u8>),
    /// Cannot be.
    Refused(Status),
}

/// A head that was understood.
#[derive(Clone, Debug)]
pub struct Head {
    /// The call.
    pub call: Call,
    /// The body.
    pub body: Body,
    /// The client closes the connection after this.
    pub close: bool,
    /// The client wants to be told to go on (`Expect: 100-continue`).
    pub expects: bool,
    /// The client is one of Amazon's own, which are made of complete HTTP libraries.
    pub is_own_client: bool,
}

impl Head {
    /// Understands a complete head.
    pub fn parse(bytes: &[u8]) -> Result<Self, Status> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadTooLarge),
            _ => return Err(Status::Malformed("Malformed request")),
        }
        let fields: &[httparse::Header<'_>] = request.headers;
        let (body, path) = (body_of(fields)?, request.path.unwrap_or_default());
        let has = |name, token: &str| {
            let tokens = field(fields, name).unwrap_or_default().split(|&byte| byte == b',');
            tokens.into_iter().any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        Ok(Self {
            call: call_of(request.method.unwrap_or_default(), path, fields, &body),
            body,
            close: has("connection", "close")
                || (request.version == Some(0) && !has("connection", "keep-alive")),
            expects: has("expect", "100-continue"),
            is_own_client: field(fields, "user-agent").is_some_and(|name| {
                name.get(..OWN_CLIENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_CLIENTS))
            }),
        })
    }
}

/// The body that a head announces (RFC 9112, 6.3), strictly: what could be understood in two ways is refused.
fn body_of(fields: &[httparse::Header<'_>]) -> Result<Body, Status> {
    let all = |name: &'static str| {
        fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let mut codings = all("transfer-encoding");
    let coding = codings.next();
    let mut lengths = all("content-length");
    let length = lengths.next();
    match (coding, length) {
        (None, None) => Ok(Body::Length(0)),
        (Some(coding), None) if codings.next().is_none() && is_chunked(coding) => Ok(Body::chunked()),
        (None, Some(length)) if lengths.all(|other| other == length) => {
            content_length(length).map(Body::Length).ok_or(Status::Malformed("Malformed Content-Length"))
        }
        _ => Err(Status::Malformed("It is not clear where the body ends")),
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn call_of(method: &str, path: &str, fields: &[httparse::Header<'_>], body: &Body) -> Call {
    let path = path.split('?').next().unwrap_or_default();
    let Some(path) = path.strip_prefix(VERSION_PATH) else { return Call::Refused(Status::NotFound) };
    let error_type = || one_line(field(fields, ERROR_TYPE));
    let (expected, call) = match path {
        "runtime/invocation/next" => ("GET", Call::Next(Wait::Invocation)),
        "runtime/restore/next" => ("GET", Call::Next(Wait::Restore)),
        "runtime/init/error" => ("POST", Call::InitError(error_type())),
        "runtime/restore/error" => ("POST", Call::RestoreError(error_type())),
        _ => match path.strip_prefix("runtime/invocation/").and_then(|rest| rest.split_once('/')) {
            Some((id, "response")) => ("POST", response(id, fields, body)),
            Some((id, "error")) => {
                let (id, detail) = (id.as_bytes().to_vec(), error_type());
                ("POST", Call::Answer { id, kind: Kind::Error, detail })
            }
            _ => return Call::Refused(Status::NotFound),
        },
    };
    if method == expected { call } else { Call::Refused(Status::MethodNotAllowed(expected)) }
}

fn response(id: &str, fields: &[httparse::Header<'_>], body: &Body) -> Call {
    let id = id.as_bytes().to_vec();
    match field(fields, RESPONSE_MODE) {
        None => Call::Answer { id, kind: Kind::Response, detail: Vec::new() },
        Some(mode) if mode.eq_ignore_ascii_case(b"buffered") => {
            Call::Answer { id, kind: Kind::Response, detail: Vec::new() }
        }
        Some(mode) if mode.eq_ignore_ascii_case(b"streaming") => {
            let kind = if matches!(body, Body::Chunked(..)) { Kind::Chunks } else { Kind::Stream };
            Call::Answer { id, kind, detail: one_line(field(fields, "content-type")) }
        }
        Some(_) => Call::Refused(Status::InvalidResponseMode),
    }
}
