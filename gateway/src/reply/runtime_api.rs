//! What a program has posted to AWS Lambda's Runtime API, as pico hands it on ([`abi::runtime_api`]).

use super::lambda::{map_result, map_stream, shorten};
use super::{Answer, invalid};
use crate::error::Failure;
use abi::runtime_api::{Answer as Posted, HTTP_INTEGRATION, Kind, PRELUDE_END};
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
        Kind::Stream => stream(posted.detail, payload.slice_ref(posted.body)),
        Kind::Error => Err(function_error(posted.detail, posted.body)),
        Kind::Broken => {
            // A document that cannot be read leaves the type.
            let document = STANDARD.decode(posted.body).unwrap_or_default();
            Err(function_error(posted.detail, &document))
        }
    }
}

fn response(payload: &Bytes, body: &[u8]) -> Result<Answer, Failure> {
    let result: &RawValue = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("what was posted as the response is not JSON: {error}")))?;
    map_result(payload, result.get())
}

fn stream(content_type: &[u8], body: Bytes) -> Result<Answer, Failure> {
    if content_type.eq_ignore_ascii_case(HTTP_INTEGRATION.as_bytes()) {
        let end = body.windows(PRELUDE_END.len()).position(|window| window == PRELUDE_END);
        let end = end.ok_or_else(|| invalid("its stream has no 8 NUL bytes between prelude and body"))?;
        return map_stream(&body[..end], body.slice(end + PRELUDE_END.len()..));
    }
    let given = HeaderValue::from_bytes(content_type).ok().filter(|value| !value.is_empty());
    let mut headers = HeaderMap::new();
    headers
        .insert(CONTENT_TYPE, given.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")));
    Ok(Answer { status: StatusCode::OK, headers, body })
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
