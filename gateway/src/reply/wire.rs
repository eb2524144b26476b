//! The HTTP/1.1 response of the HTTP contract: raw bytes of one response, parsed strictly.

use super::decoder::{Decoder, Framing};
use super::fields::Fields;
use super::{Answer, final_status, invalid, is_bodiless};
use crate::error::Failure;
use crate::headers::RESPONSE_FIELDS_MAX;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderValue, Method, StatusCode};

/// Most interim (1xx) responses before the final one.
const INTERIM_MAX: usize = 8;

/// Maps the response to a request with `method`.
pub(crate) fn answer(payload: &Bytes, method: &Method) -> Result<Answer, Failure> {
    let (head, status, rest) = final_head(payload)?;
    let body = read_body(&head, status, method, rest)?;
    let mut headers = head.fields.end_to_end();
    if let (true, Framing::Length(length)) = (keeps_length(status, method), head.framing) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    Ok(Answer { status, headers, body })
}

/// Maps a response that goes on after `first`, which must have the whole head. The answer has the body as far as it is
/// known; the decoder is for what follows, unless that is nobody's business.
pub(crate) fn begin(first: &Bytes, method: &Method) -> Result<(Answer, Option<Decoder>), Failure> {
    let (head, status, rest) = final_head(first)?;
    if method == Method::HEAD || is_bodiless(status) {
        return Ok((Answer { status, headers: head.fields.end_to_end(), body: Bytes::new() }, None));
    }
    let mut decoder = Decoder::new(head.framing);
    let body = decoder.decode(rest)?;
    Ok((Answer { status, headers: head.fields.end_to_end(), body }, Some(decoder)))
}

/// The answer to a request to upgrade if that is what the function has done, with the bytes of the new protocol that came with it.
pub(crate) fn upgrade(first: &Bytes) -> Result<Option<(Answer, Bytes)>, Failure> {
    let mut rest = first.clone();
    for _ in 0..=INTERIM_MAX {
        let head = parse_head(&rest)?;
        rest = rest.slice(head.bytes..);
        match head.status {
            101 => {
                let protocol = head.fields.only(&UPGRADE);
                let protocol =
                    protocol.ok_or_else(|| invalid("it has status 101 but not one Upgrade field"))?;
                let mut headers = head.fields.end_to_end();
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, protocol);
                let status = StatusCode::SWITCHING_PROTOCOLS;
                return Ok(Some((Answer { status, headers, body: Bytes::new() }, rest)));
            }
            100..200 => {}
            _ => return Ok(None),
        }
    }
    Err(invalid(format!("it has more than {INTERIM_MAX} interim responses")))
}

/// The head of the final response, its status, and what follows it.
fn final_head(payload: &Bytes) -> Result<(Head, StatusCode, Bytes), Failure> {
    let mut rest = payload.clone();
    for _ in 0..=INTERIM_MAX {
        let head = parse_head(&rest)?;
        rest = rest.slice(head.bytes..);
        if (100..200).contains(&head.status) {
            continue;
        }
        let status = final_status(head.status)
            .ok_or_else(|| invalid(format!("status {} is not from 200 to 599", head.status)))?;
        return Ok((head, status, rest));
    }
    Err(invalid(format!("it has more than {INTERIM_MAX} interim responses")))
}

/// Responses whose `Content-Length` speaks of a body that is not sent.
fn keeps_length(status: StatusCode, method: &Method) -> bool {
    method == Method::HEAD && !is_bodiless(status)
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
    let mut decoder = Decoder::new(head.framing);
    let body = decoder.decode(rest)?;
    decoder.finish()?;
    Ok(body)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
