//! What hyper answers by itself when it cannot read a request is a bare status. This puts an error document
//! in its place, on the way to the socket.
//!
//! Every response of the gateway carries `x-request-id`; hyper's own do not. That tells them apart, but not from what a function
//! puts into a body: so nothing is replaced while a response of the gateway is under way ([`Turn`]).

use crate::api::{ErrorBody, ErrorDetail};
use crate::config::{FIELDS_MAX, HEAD_MAX_BYTES};
use crate::turn::Turn;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Start of a response that may have to be replaced.
const CLIENT_ERROR: &[u8] = b"HTTP/1.1 4";

/// A connection whose bare error responses get a body.
pub(crate) struct Edge<S> {
    inner: S,
    turn: Turn,
    replacement: Vec<u8>,
    sent: usize,
}

impl<S> Edge<S> {
    pub(crate) fn new(inner: S, turn: Turn) -> Self {
        Self { inner, turn, replacement: Vec::new(), sent: 0 }
    }

    /// The connection itself.
    pub(crate) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Write + Unpin> Edge<S> {
    /// Writes what is left of the replacement.
    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.replacement.len() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.replacement[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Read + Unpin> Read for Edge<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: Write + Unpin> Write for Edge<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_replacement(cx))?;
        match self.turn.is_nobodys().then(|| replacement(bytes)).flatten() {
            Some(replacement) => {
                self.replacement = replacement;
                self.sent = 0;
                // Not written yet: whatever comes next, hyper's flush at the latest, writes it first.
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut self.inner).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.turn.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_replacement(cx))?;
        match slices {
            [first, ..] if first.starts_with(CLIENT_ERROR) && self.turn.is_nobodys() => {
                self.poll_write(cx, first)
            }
            _ => Pin::new(&mut self.inner).poll_write_vectored(cx, slices),
        }
    }
}

/// The error document for a bare response of hyper; none if `bytes` are anything else.
fn replacement(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(CLIENT_ERROR) || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let mut slots = [httparse::EMPTY_HEADER; 8];
    let mut head = httparse::Response::new(&mut slots);
    let is_whole =
        matches!(head.parse(bytes), Ok(httparse::Status::Complete(length)) if length == bytes.len());
    let has_id = head.headers.iter().any(|field| field.name.eq_ignore_ascii_case(crate::names::REQUEST_ID));
    let (status, reason) = (head.code?, head.reason?);
    if !is_whole || has_id {
        return None;
    }
    let id = uuid::Uuid::now_v7().to_string();
    let body = serde_json::to_vec(&ErrorBody { error: detail(status, &id) }).expect("strings always encode");
    let mut response = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         {}: {id}\r\nserver-timing: total;dur=0.000\r\n\r\n",
        body.len(),
        crate::names::REQUEST_ID
    )
    .into_bytes();
    response.extend_from_slice(&body);
    Some(response)
}

fn detail(status: u16, request_id: &str) -> ErrorDetail {
    let (code, message, hint) = match status {
        431 => (
            "HeadersTooLarge",
            format!(
                "the request's head is larger than {HEAD_MAX_BYTES} bytes or has more than {FIELDS_MAX} fields"
            ),
            "Send fewer or shorter header fields; large data belongs in the body.",
        ),
        414 => ("UriTooLong", "the request's URI is too long".to_owned(), "Send the data in the body."),
        _ => (
            "BadRequest",
            "the request is not valid HTTP/1.1".to_owned(),
            "Correct the request; sending it again unchanged will fail again.",
        ),
    };
    ErrorDetail {
        code: code.to_owned(),
        message,
        hint: hint.to_owned(),
        error_type: String::new(),
        output: String::new(),
        request_id: request_id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_client_errors_are_replaced() {
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let text = String::from_utf8(replacement(bare).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        let body: ErrorBody = serde_json::from_str(body).unwrap();
        assert_eq!(body.error.code, "BadRequest");
        assert!(head.contains(&body.error.request_id));
        for own in [
            &b"HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\nbody",
            b"HTTP/1.1 400 Bad Request\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(replacement(own), None);
        }
    }
}
