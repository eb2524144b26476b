//! The invocation document of the handler contract: one line `{"event":...,"context":{...}}`. The event is the
//! payload of an AWS Lambda function URL, version 2.0. It is encoded straight into one buffer.
//!
//! As AWS does, `cookies`, `queryStringParameters` and `body` are absent when the request has none, and the
//! `cookie` header appears as `cookies` only.

use super::runtime_api::trace_id;
use super::{About, Incoming, query};
use crate::headers::value_text;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, USER_AGENT};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The region in names that look like AWS names.
const REGION: &str = "local";
/// The only version of a function there is.
const LATEST: &str = "$LATEST";
/// The account of function URLs without authentication.
const ACCOUNT: &str = "anonymous";
/// Content types other than `text/*`, `*+json` and `*+xml` whose body is given as text.
const TEXT_TYPES: [&str; 9] = [
    "application/json",
    "application/xml",
    "application/javascript",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
    "application/yaml",
    "application/toml",
    "application/graphql",
    "application/sql",
];

/// Encodes the invocation document.
pub(crate) fn document(request: &Incoming<'_>, about: &About<'_>) -> Vec<u8> {
    let mut buffer = buffer(request);
    with_event(request, about, |event| {
        let context = Context {
            request_id: request.request_id,
            deadline_ms: deadline_ms(request, about),
            function_name: about.name,
            function_version: LATEST,
            memory_mb: about.memory_bytes >> 20,
            invoked_function_arn: Arn(about.name),
            trace_id: trace_id(request.headers),
        };
        encode(&mut buffer, &Document { event, context });
    });
    buffer.push(b'\n');
    buffer
}

/// Encodes the event alone.
pub(super) fn event(request: &Incoming<'_>, about: &About<'_>) -> Vec<u8> {
    let mut buffer = buffer(request);
    with_event(request, about, |event| encode(&mut buffer, event));
    buffer
}

/// When the invocation is stopped, in milliseconds since 1970.
pub(super) fn deadline_ms(request: &Incoming<'_>, about: &About<'_>) -> u64 {
    millis(request.now + about.timeout)
}

fn buffer(request: &Incoming<'_>) -> Vec<u8> {
    Vec::with_capacity(1024 + request.body.len() + request.body.len() / 2)
}

fn encode(buffer: &mut Vec<u8>, what: &impl Serialize) {
    serde_json::to_writer(buffer, what).expect("a document of strings always encodes");
}

fn with_event(request: &Incoming<'_>, about: &About<'_>, encode: impl FnOnce(&Event<'_>)) {
    let host = request.headers.get(HOST).map_or(Cow::Borrowed(""), |value| value_text(value.as_bytes()));
    let agent =
        request.headers.get(USER_AGENT).map_or(Cow::Borrowed(""), |value| value_text(value.as_bytes()));
    let text = body_text(request);
    encode(&Event {
        version: "2.0",
        route_key: "$default",
        raw_path: request.path,
        raw_query_string: request.query,
        cookies: cookies(request.headers),
        headers: Headers(request.headers),
        query_string_parameters: Pairs(query::parameters(request.query)),
        request_context: request_context(request, about, &host, &agent),
        body: body(request, text),
        is_base64_encoded: text.is_none() && !request.body.is_empty(),
    });
}

fn request_context<'a>(
    request: &Incoming<'a>,
    about: &About<'a>,
    host: &'a str,
    agent: &'a str,
) -> RequestContext<'a> {
    RequestContext {
        account_id: ACCOUNT,
        api_id: about.name,
        domain_name: host,
        domain_prefix: about.name,
        http: Http {
            method: request.method.as_str(),
            path: request.path,
            protocol: if request.version == http::Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
            source_ip: request.source,
            user_agent: agent,
        },
        request_id: request.request_id,
        route_key: "$default",
        stage: "$default",
        time: access_log_time(request.now),
        time_epoch: millis(request.now),
    }
}

fn body<'a>(request: &Incoming<'a>, text: Option<&'a str>) -> Option<Body<'a>> {
    match text {
        _ if request.body.is_empty() => None,
        Some(text) => Some(Body::Text(text)),
        None => Some(Body::Binary(request.body)),
    }
}

/// The body as text, if it is UTF-8 of a textual type.
fn body_text<'a>(request: &Incoming<'a>) -> Option<&'a str> {
    let encoded = request.headers.contains_key(CONTENT_ENCODING);
    if encoded || !is_textual(request.headers.get(CONTENT_TYPE).map(|value| value.as_bytes())) {
        return None;
    }
    std::str::from_utf8(request.body).ok()
}

/// Whether a content type means text. No content type at all counts as text: whether it is decides its UTF-8.
fn is_textual(content_type: Option<&[u8]>) -> bool {
    let Some(content_type) = content_type else { return true };
    let Ok(content_type) = std::str::from_utf8(content_type) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || TEXT_TYPES.contains(&essence.as_str())
}

fn cookies(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let mut found = Vec::new();
    for value in headers.get_all(COOKIE) {
        match value_text(value.as_bytes()) {
            Cow::Borrowed(text) => found.extend(cookie_pairs(text).map(Cow::Borrowed)),
            Cow::Owned(text) => found.extend(cookie_pairs(&text).map(|pair| Cow::Owned(pair.to_owned()))),
        }
    }
    found
}

fn cookie_pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|pair| !pair.is_empty())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `12/Mar/2020:19:03:58 +0000`.
fn access_log_time(now: Duration) -> String {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

#[derive(Serialize)]
struct Document<'a> {
    event: &'a Event<'a>,
    context: Context<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: Headers<'a>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    query_string_parameters: Pairs<'a>,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body<'a>>,
    #[serde(rename = "isBase64Encoded")]
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    account_id: &'static str,
    api_id: &'a str,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: &'a str,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: std::net::IpAddr,
    user_agent: &'a str,
}

#[derive(Serialize)]
struct Context<'a> {
    request_id: &'a str,
    deadline_ms: u64,
    function_name: &'a str,
    function_version: &'static str,
    memory_mb: u64,
    invoked_function_arn: Arn<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// The name of a function as AWS would write it.
pub(super) struct Arn<'a>(pub(super) &'a str);

impl fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", self.0)
    }
}

impl Serialize for Arn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Header fields by lower-case name, values joined by commas; without `cookie`.
struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in self.0.keys().filter(|name| **name != COOKIE) {
            map.serialize_entry(name.as_str(), &joined(self.0, name))?;
        }
        map.end()
    }
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    let mut values = headers.get_all(name).iter().map(|value| value_text(value.as_bytes()));
    let mut joined = values.next().unwrap_or_default();
    for value in values {
        let text = joined.to_mut();
        text.push(',');
        text.push_str(&value);
    }
    joined
}

struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Pairs<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

enum Body<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Binary(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
        }
    }
}

#[cfg(test)]
#[path = "lambda_tests.rs"]
mod tests;
