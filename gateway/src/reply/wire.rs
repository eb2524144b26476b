//! The HTTP/1.1 response of the HTTP contract: raw bytes of one response, parsed strictly.

use super::fields::Fields;
use super::{Answer, final_status, invalid, is_bodiless};
use crate::error::Failure;
use crate::headers::RESPONSE_FIELDS_MAX;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};

/// Most interim (1xx) responses before the final one.
const INTERIM_MAX: usize = 8;
/// Most bytes of a line that announces a chunk.
const CHUNK_LINE_MAX: usize = 1024;

/// Maps the response to a request with `method`.
pub(crate) fn answer(payload: &Bytes, method: &Method) -> Result<Answer, Failure> {
    let mut rest = payload.clone();
    for _ in 0..=INTERIM_MAX {
        let head = parse_head(&rest)?;
        rest = rest.slice(head.bytes..);
        if (100..200).contains(&head.status) {
            continue;
        }
        let status = final_status(head.status)
            .ok_or_else(|| invalid(format!("status {} is not from 200 to 599", head.status)))?;
        let body = read_body(&head, status, method, rest)?;
        let mut headers = head.fields.end_to_end();
        if let (true, Framing::Length(length)) = (keeps_length(status, method), head.framing) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        return Ok(Answer { status, headers, body });
    }
    Err(invalid(format!("it has more than {INTERIM_MAX} interim responses")))
}

/// Responses whose `Content-Length` speaks of a body that is not sent.
fn keeps_length(status: StatusCode, method: &Method) -> bool {
    method == Method::HEAD && !is_bodiless(status)
}

/// How a message says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

struct Head {
    status: u16,
    fields: Fields,
    framing: Framing,
    bytes: usize,
}

fn parse_head(bytes: &[u8]) -> Result<Head, Failure> {
    let mut slots = [httparse::EMPTY_HEADER; RESPONSE_FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut slots);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err(invalid("it ends before its header fields do")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(invalid(format!("it has more than {RESPONSE_FIELDS_MAX} header fields")));
        }
        Err(error) => return Err(invalid(format!("it is not HTTP/1.1: {error}"))),
    };
    let status = parsed.code.ok_or_else(|| invalid("it has no status"))?;
    let framing = framing(parsed.headers)?;
    let mut fields = Fields::default();
    for field in parsed.headers.iter() {
        fields.append(field.name.as_bytes(), field.value)?;
    }
    Ok(Head { status, fields, framing, bytes: length })
}

fn framing(fields: &[httparse::Header<'_>]) -> Result<Framing, Failure> {
    let mut framing = Framing::UntilEnd;
    for field in fields {
        let new = if field.name.eq_ignore_ascii_case("content-length") {
            Framing::Length(content_length(field.value)?)
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(invalid("its Transfer-Encoding is not `chunked`"));
            }
            Framing::Chunked
        } else {
            continue;
        };
        if framing != Framing::UntilEnd && (framing != new || new == Framing::Chunked) {
            return Err(invalid("it says in two ways where its body ends"));
        }
        framing = new;
    }
    Ok(framing)
}

fn content_length(value: &[u8]) -> Result<u64, Failure> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| invalid("its Content-Length is not a number"))
}

fn read_body(head: &Head, status: StatusCode, method: &Method, rest: Bytes) -> Result<Bytes, Failure> {
    if method == Method::HEAD || is_bodiless(status) {
        return Ok(Bytes::new());
    }
    match head.framing {
        Framing::UntilEnd => Ok(rest),
        Framing::Chunked => decode_chunks(&rest),
        Framing::Length(length) if length == rest.len() as u64 => Ok(rest),
        Framing::Length(length) => {
            Err(invalid(format!("its Content-Length is {length} but its body has {} bytes", rest.len())))
        }
    }
}

/// Decodes `Transfer-Encoding: chunked`; extensions and trailers are dropped.
fn decode_chunks(mut rest: &[u8]) -> Result<Bytes, Failure> {
    let mut body = BytesMut::with_capacity(rest.len());
    loop {
        let size = chunk_size(take_line(&mut rest)?)?;
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at_checked(size).ok_or_else(truncated)?;
        body.extend_from_slice(chunk);
        rest =
            after.strip_prefix(b"\r\n").ok_or_else(|| invalid("a chunk of it is longer than announced"))?;
    }
    let mut trailers = 0;
    while !take_line(&mut rest)?.is_empty() {
        trailers += 1;
        if trailers > RESPONSE_FIELDS_MAX {
            return Err(invalid("it has too many trailers"));
        }
    }
    match rest.is_empty() {
        true => Ok(body.freeze()),
        false => Err(invalid(format!("{} bytes follow its last chunk", rest.len()))),
    }
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Failure> {
    let window = &rest[..rest.len().min(CHUNK_LINE_MAX)];
    let end = window.windows(2).position(|pair| pair == b"\r\n").ok_or_else(truncated)?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Ok(line)
}

fn chunk_size(line: &[u8]) -> Result<usize, Failure> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let valid = !digits.is_empty() && digits.len() <= 8 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| valid);
    text.and_then(|text| usize::from_str_radix(text, 16).ok())
        .ok_or_else(|| invalid("the size of a chunk of it is not a hexadecimal number"))
}

fn truncated() -> Failure {
    invalid("it ends inside its chunked body")
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
