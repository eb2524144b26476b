//! The result document of the handler contract: `{"result": ...}` or `{"error": {"type", "message"}}`.
//!
//! A result with `statusCode` is a whole HTTP response, as with AWS Lambda function URLs; any other result is
//! the body of a 200 as JSON.

use super::fields::Fields;
use super::{Answer, final_status, invalid, is_bodiless};
use crate::error::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Deepest nesting of a JSON value that is handed to a client.
const DEPTH_MAX: usize = 128;
/// Most bytes of an error's type or message that are handed to a client.
const ERROR_TEXT_MAX: usize = 16 << 10;

/// Maps a result document.
pub(crate) fn answer(payload: &Bytes) -> Result<Answer, Failure> {
    let envelope: Envelope<'_> = serde_json::from_slice(payload)
        .map_err(|error| invalid(format!("it is not a result document: {error}")))?;
    match (envelope.result, envelope.error) {
        (Some(result), None) => map_result(payload, result.get()),
        (None, Some(error)) => Err(function_error(error.get())),
        _ => Err(invalid("it needs exactly one of `result` and `error`")),
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A key that is there, even if its value is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn function_error(raw: &str) -> Failure {
    #[derive(Deserialize)]
    struct Raised {
        #[serde(rename = "type", default)]
        kind: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_str::<Raised>(raw) {
        Ok(raised) => Failure::FunctionError { kind: shorten(raised.kind), message: shorten(raised.message) },
        Err(error) => invalid(format!("its `error` is not an object of texts: {error}")),
    }
}

pub(super) fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ERROR_TEXT_MAX));
    text
}

/// The keys of a result that is an HTTP response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    status_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Option<&'a RawValue>,
    #[serde(borrow, default)]
    multi_value_headers: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cookies: Option<&'a RawValue>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "isBase64Encoded")]
    is_base64_encoded: Option<&'a RawValue>,
}

/// Maps a result: valid JSON that is part of `payload`.
pub(super) fn map_result(payload: &Bytes, raw: &str) -> Result<Answer, Failure> {
    if raw.starts_with('{') {
        let shape: Shape<'_> = serde_json::from_str(raw).map_err(|error| invalid(error.to_string()))?;
        if let Some(status) = shape.status_code {
            return map_response(payload, status.get(), &shape);
        }
    }
    if is_deeper_than(raw.as_bytes(), DEPTH_MAX) {
        return Err(invalid(format!("it is nested deeper than {DEPTH_MAX} levels")));
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Answer { status: StatusCode::OK, headers, body: payload.slice_ref(raw.as_bytes()) })
}

fn map_response(payload: &Bytes, status: &str, shape: &Shape<'_>) -> Result<Answer, Failure> {
    let body = match shape.body {
        Some(body) => decode_body(payload, body.get(), is_base64(shape.is_base64_encoded)?)?,
        None => Bytes::new(),
    };
    finish(Some(status), shape, body, "application/json", false)
}

/// Maps a response whose status and header fields are told by `prelude` (a JSON object) and whose body is `body`, as far as
/// it is known if it `goes_on`.
pub(super) fn map_stream(prelude: &[u8], body: Bytes, goes_on: bool) -> Result<Answer, Failure> {
    let shape: Shape<'_> = serde_json::from_slice(prelude)
        .map_err(|error| invalid(format!("what its stream begins with is not JSON: {error}")))?;
    finish(shape.status_code.map(RawValue::get), &shape, body, "application/octet-stream", goes_on)
}

fn finish(
    status: Option<&str>,
    shape: &Shape<'_>,
    body: Bytes,
    content_type: &'static str,
    goes_on: bool,
) -> Result<Answer, Failure> {
    let status = status.map_or(Ok(StatusCode::OK), status_code)?;
    let mut headers = fields(shape)?.end_to_end();
    let body = if is_bodiless(status) { Bytes::new() } else { body };
    let has_body = !body.is_empty() || (goes_on && !is_bodiless(status));
    if has_body && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    Ok(Answer { status, headers, body })
}

fn fields(shape: &Shape<'_>) -> Result<Fields, Failure> {
    let mut fields = Fields::default();
    if let Some(headers) = shape.headers {
        single_headers(&mut fields, headers)?;
    }
    if let Some(headers) = shape.multi_value_headers {
        multi_headers(&mut fields, headers)?;
    }
    if let Some(cookies) = shape.cookies {
        let cookies: Vec<String> = serde_json::from_str(cookies.get())
            .map_err(|_| invalid("`cookies` must be a list of strings"))?;
        for cookie in cookies {
            fields.append(SET_COOKIE.as_str().as_bytes(), cookie.as_bytes())?;
        }
    }
    Ok(fields)
}

/// A whole number, written as a number or as a string.
fn status_code(raw: &str) -> Result<StatusCode, Failure> {
    let text = raw.trim_matches('"');
    let number = match text.parse::<u16>() {
        Ok(number) => Some(number),
        Err(_) if !raw.starts_with('"') => raw.parse::<f64>().ok().and_then(whole),
        Err(_) => None,
    };
    number.and_then(final_status).ok_or_else(|| {
        let shown: String = raw.chars().take(64).collect();
        invalid(format!("statusCode {shown} is not a number from 200 to 599"))
    })
}

fn whole(number: f64) -> Option<u16> {
    (200..600u16).find(|candidate| f64::from(*candidate) == number)
}

/// The value of one header field in a result.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Truth(bool),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Scalar),
    Many(Vec<Scalar>),
}

fn single_headers(fields: &mut Fields, raw: &RawValue) -> Result<(), Failure> {
    let headers: BTreeMap<String, Option<OneOrMany>> = serde_json::from_str(raw.get())
        .map_err(|_| invalid("`headers` must be an object of strings, numbers, booleans or lists of them"))?;
    for (name, value) in headers {
        match value {
            Some(OneOrMany::One(value)) => fields.insert(name.as_bytes(), value.into_text().as_bytes())?,
            Some(OneOrMany::Many(values)) => {
                for value in values {
                    fields.append(name.as_bytes(), value.into_text().as_bytes())?;
                }
            }
            None => {}
        }
    }
    Ok(())
}

fn multi_headers(fields: &mut Fields, raw: &RawValue) -> Result<(), Failure> {
    let headers: BTreeMap<String, Option<Vec<Scalar>>> = serde_json::from_str(raw.get()).map_err(|_| {
        invalid("`multiValueHeaders` must be an object of lists of strings, numbers or booleans")
    })?;
    for (name, values) in headers {
        for value in values.unwrap_or_default() {
            let value = value.into_text();
            if !fields.contains(&name, &value) {
                fields.append(name.as_bytes(), value.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn is_base64(raw: Option<&RawValue>) -> Result<bool, Failure> {
    match raw.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid("`isBase64Encoded` must be true or false")),
    }
}

fn decode_body(payload: &Bytes, raw: &str, base64: bool) -> Result<Bytes, Failure> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let Text(text) =
        serde_json::from_str(raw).map_err(|_| invalid("`body` must be a string of Unicode text"))?;
    if base64 {
        let decoded = STANDARD.decode(text.as_bytes());
        return decoded
            .map(Bytes::from)
            .map_err(|error| invalid(format!("`body` is said to be base64 but is not: {error}")));
    }
    Ok(match text {
        Cow::Borrowed(text) => payload.slice_ref(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    })
}

/// Whether valid JSON nests deeper than `limit`.
fn is_deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
#[path = "lambda_tests.rs"]
mod tests;
