//! What a program has posted to AWS Lambda's Runtime API, as pico hands it on ([`abi::runtime_api`]).

use super::lambda::{map_result, map_stream, shorten};
use super::{Answer, invalid};
use crate::error::Failure;
use crate::headers::RESPONSE_FIELDS_MAX;
use abi::runtime_api::{Answer as Posted, ERROR_BODY, ERROR_TYPE, HTTP_INTEGRATION, Kind, PRELUDE_END};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Type of an error that has none.
const UNKNOWN: &str = "Unhandled";

/// Maps an answer.
pub(crate) fn answer(payload: &Bytes) -> Result<Answer, Failure> {
    let posted = Posted::parse(payload).ok_or_else(|| invalid("it is not an answer of the Runtime API"))?;
    match posted.kind {
        Kind::Response => response(payload, posted.body),
        Kind::Stream => streamed(posted.detail, payload.slice_ref(posted.body), false),
        Kind::Chunks => Err(invalid("it is a stream where none can be")),
        Kind::Error => Err(function_error(posted.detail, posted.body)),
        Kind::Broken => Err(broken(posted.detail, posted.body)),
    }
}

fn response(payload: &Bytes, body: &[u8]) -> Result<Answer, Failure> {
    let result: &RawValue = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("what was posted as the response is not JSON: {error}")))?;
    map_result(payload, result.get())
}

/// Maps what was posted in streaming mode, as far as it has come; `goes_on` if more may follow.
pub(super) fn streamed(content_type: &[u8], body: Bytes, goes_on: bool) -> Result<Answer, Failure> {
    if content_type.eq_ignore_ascii_case(HTTP_INTEGRATION.as_bytes()) {
        let end = body.windows(PRELUDE_END.len()).position(|window| window == PRELUDE_END);
        let end = end.ok_or_else(|| invalid("its stream has no 8 NUL bytes between prelude and body"))?;
        return map_stream(&body[..end], body.slice(end + PRELUDE_END.len()..), goes_on);
    }
    let given = HeaderValue::from_bytes(content_type).ok().filter(|value| !value.is_empty());
    let mut headers = HeaderMap::new();
    headers
        .insert(CONTENT_TYPE, given.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")));
    Ok(Answer { status: StatusCode::OK, headers, body })
}

/// What the trailers of a stream that has ended say.
pub(super) fn stream_ended(trailers: &[u8]) -> Result<(), Failure> {
    let mut slots = [httparse::EMPTY_HEADER; RESPONSE_FIELDS_MAX];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(trailers, &mut slots) else {
        return Err(invalid("the trailers of its stream are malformed"));
    };
    let field = |name: &str| {
        let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value.trim_ascii())
    };
    let Some(kind) = field(ERROR_TYPE) else { return Ok(()) };
    Err(broken(kind, field(ERROR_BODY).unwrap_or_default()))
}

/// The error that ended a stream; its document is in base64. One that cannot be read leaves the type.
fn broken(kind: &[u8], document: &[u8]) -> Failure {
    function_error(kind, &STANDARD.decode(document).unwrap_or_default())
}

/// The error a program has posted. What its document does not say, `detail` or the document as text does.
fn function_error(detail: &[u8], document: &[u8]) -> Failure {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raised {
        error_type: Option<String>,
        error_message: Option<String>,
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let raised = serde_json::from_slice::<Raised>(document);
    let (kind, message) = match raised {
        Ok(raised) => (raised.error_type, raised.error_message),
        Err(_) => (None, Some(text(document))),
    };
    let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or_else(|| text(detail));
    let kind = if kind.is_empty() { UNKNOWN.to_owned() } else { kind };
    Failure::FunctionError { kind: shorten(kind), message: shorten(message.unwrap_or_default()) }
}

#[cfg(test)]
#[path = "runtime_api_tests.rs"]
mod tests;
