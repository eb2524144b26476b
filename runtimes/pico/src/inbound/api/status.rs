//! What a call is answered with: a status and a small JSON document.

use alloc::format;
use alloc::vec::Vec;

/// An answer without an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What was posted was taken.
    Accepted,
    /// This is a fork now.
    Restored,
    /// The request is no HTTP/1.1, or a strict reader cannot be sure what it is.
    Malformed(&'static str),
    /// Its head is too long.
    HeadTooLarge,
    /// There is no such path.
    NotFound,
    /// The path has another method.
    MethodNotAllowed(&'static str),
    /// There is no such invocation.
    InvalidRequestId,
    /// The mode of the response is unknown.
    InvalidResponseMode,
    /// Not now.
    InvalidStateTransition,
    /// The answer is too long.
    TooLarge {
        /// Most bytes of one.
        limit: usize,
    },
    /// What the host delivered is no event.
    Internal,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Accepted => "202 Accepted",
            Self::Restored => "200 OK",
            Self::Malformed(_) | Self::InvalidRequestId | Self::InvalidResponseMode => "400 Bad Request",
            Self::InvalidStateTransition => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed(_) => "405 Method Not Allowed",
            Self::TooLarge { .. } => "413 Content Too Large",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Internal => "500 Internal Server Error",
        }
    }

    /// Type and message of the error; nothing if it is none.
    fn error(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Accepted | Self::Restored => return None,
            Self::Malformed(what) => ("InvalidHTTPRequest", what),
            Self::HeadTooLarge => ("InvalidHTTPRequest", "The header fields are too long"),
            Self::NotFound => ("NotFound", "There is no such path in the Runtime API"),
            Self::MethodNotAllowed(_) => ("MethodNotAllowed", "The path has another method"),
            Self::InvalidRequestId => ("InvalidRequestID", "Invalid request ID"),
            Self::InvalidResponseMode => ("InvalidFunctionResponseMode", "Invalid function response mode"),
            Self::InvalidStateTransition => {
                ("InvalidStateTransition", "The call is not allowed in this state of the runtime")
            }
            Self::TooLarge { .. } => ("RequestEntityTooLarge", "Exceeded maximum allowed payload size"),
            Self::Internal => ("InternalServerError", "What the host delivered is not an event"),
        })
    }

    /// Appends the HTTP/1.1 response; `close` says that the connection ends with it.
    pub fn write(self, out: &mut Vec<u8>, close: bool) {
        let limit = match self {
            Self::TooLarge { limit } => format!(" ({limit} bytes)"),
            _ => Default::default(),
        };
        let body = match self.error() {
            None => "{\"status\":\"OK\"}\n".into(),
            Some((kind, message)) => {
                format!("{{\"errorMessage\":\"{message}{limit}\",\"errorType\":\"{kind}\"}}\n")
            }
        };
        let allow = match self {
            Self::MethodNotAllowed(method) => format!("Allow: {method}\r\n"),
            _ => Default::default(),
        };
        let close = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{allow}{close}\r\n",
            self.line(),
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body.as_bytes());
    }
}
