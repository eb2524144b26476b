//! `spore invoke`.

use super::Context;
use crate::args::Output;
use crate::failure::{Exit, Failure};
use crate::units::millis;
use crate::{client, print, timing};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use gateway::api::ErrorBody;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::time::{Duration, Instant};

/// Longest request body, in bytes; the platform's own limit is lower.
const DATA_MAX: u64 = 64 << 20;

/// Options of `spore invoke`.
#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// The function
    name: String,
    /// Request body: text, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,
    /// Path below the function's URL, with a query if wanted
    #[arg(long, default_value = "/", value_name = "/PATH")]
    path: String,
    /// HTTP method [default: POST with data, else GET]
    #[arg(long, short = 'X', value_name = "METHOD", value_parser = parse_method)]
    method: Option<Method>,
    /// Show status and timing on stderr
    #[arg(long, short)]
    verbose: bool,
}

/// Calls a function and prints its answer as it comes.
pub(crate) async fn run(args: InvokeArgs, context: &Context) -> Result<(), Failure> {
    let data = args.data.as_deref().map(read_data).transpose()?;
    let usual = if data.is_some() { Method::POST } else { Method::GET };
    let method = args.method.unwrap_or(usual);
    let path = client::invocation_path(&args.name, &args.path);
    let headers = data.as_deref().map(headers_for).unwrap_or_default();
    let begun = Instant::now();
    let response = context.client.send(method, &path, headers, data.unwrap_or_default()).await?;
    if args.verbose {
        let timing = timing::render(&timing::parse(response.headers()));
        let took = millis(begun.elapsed().as_secs_f64() * 1e3);
        print::note(&format!("{} in {took} ({timing})", response.status()));
    }
    if response.status().is_client_error() || response.status().is_server_error() {
        return failed(response, begun, context).await;
    }
    match context.output {
        Output::Table => pass_on(response.into_body()).await,
        Output::Json => whole(response, begun, context).await,
    }
}

/// An error status: of the platform, which explains itself, or of the function, whose answer it is.
async fn failed(response: Response<Incoming>, begun: Instant, context: &Context) -> Result<(), Failure> {
    let (head, body) = response.into_parts();
    let body = context.client.collect(body).await?;
    if context.output == Output::Json {
        print::json(&document(head.status, &head.headers, &body, begun.elapsed()))?;
    }
    if is_platform_error(&head.headers, &body) {
        return Err(Failure::from_response(head.status, &body));
    }
    if context.output == Output::Table {
        print::raw(&body)?;
    }
    Err(Failure::new(format!("the function answered {}", head.status)).exit(Exit::Function))
}

/// The platform's own errors are error documents that name the request they answer.
fn is_platform_error(headers: &HeaderMap, body: &[u8]) -> bool {
    let id = headers.get("x-request-id").map(HeaderValue::as_bytes);
    serde_json::from_slice::<ErrorBody>(body).is_ok_and(|e| id == Some(e.error.request_id.as_bytes()))
}

/// Copies a body to stdout piece by piece.
async fn pass_on(mut body: Incoming) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::new(format!("the answer broke off: {e}")))?;
        if let Some(data) = frame.data_ref() {
            print::raw(data)?;
        }
    }
    Ok(())
}

async fn whole(response: Response<Incoming>, begun: Instant, context: &Context) -> Result<(), Failure> {
    let (head, body) = response.into_parts();
    let body = context.client.collect(body).await?;
    print::json(&document(head.status, &head.headers, &body, begun.elapsed()))
}

/// The answer as one JSON document.
fn document(status: StatusCode, headers: &HeaderMap, body: &[u8], took: Duration) -> Value {
    let mut fields: Map<String, Value> = Map::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match fields.get_mut(name.as_str()) {
            Some(Value::String(first)) => first.push_str(&format!(", {value}")),
            _ => {
                fields.insert(name.to_string(), Value::String(value.into_owned()));
            }
        }
    }
    let (body, encoding) = match (serde_json::from_slice(body), std::str::from_utf8(body)) {
        (Ok(value), _) if is_json(headers) => (value, "json"),
        (_, Ok(text)) => (Value::String(text.to_owned()), "text"),
        _ => (Value::String(STANDARD.encode(body)), "base64"),
    };
    let mut timing: Map<String, Value> =
        timing::parse(headers).into_iter().map(|(name, ms)| (name, json!(ms))).collect();
    timing.insert("client".to_owned(), json!(took.as_secs_f64() * 1e3));
    json!({
        "status": status.as_u16(), "headers": fields, "body": body, "body_encoding": encoding, "timing_ms": timing,
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

fn headers_for(data: &[u8]) -> HeaderMap {
    let kind = if serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok() {
        "application/json"
    } else if std::str::from_utf8(data).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    };
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))])
}

fn read_data(data: &str) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let read = match data.strip_prefix('@') {
        _ if data == "-" => std::io::stdin().lock().take(DATA_MAX + 1).read_to_end(&mut bytes),
        Some(file) => std::fs::File::open(file).and_then(|f| f.take(DATA_MAX + 1).read_to_end(&mut bytes)),
        None => return Ok(Bytes::copy_from_slice(data.as_bytes())),
    };
    read.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::new(format!("cannot read {data}: {e}")).exit(Exit::NotFound),
        _ => Failure::new(format!("cannot read {data}: {e}")),
    })?;
    if bytes.len() as u64 > DATA_MAX {
        return Err(Failure::new(format!("the request body is larger than {DATA_MAX} bytes")));
    }
    Ok(Bytes::from(bytes))
}

fn parse_method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.to_ascii_uppercase().as_bytes())
        .map_err(|_| "it is not an HTTP method".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_content_type_follows_the_data() {
        let kind = |data: &[u8]| headers_for(data)[CONTENT_TYPE].clone();
        assert_eq!(kind(b"{\"a\":1}"), "application/json");
        assert_eq!(kind(b"hello there"), "text/plain; charset=utf-8");
        assert_eq!(kind(b"\xff\xfe"), "application/octet-stream");
    }

    #[test]
    fn answers_become_documents() {
        let fields = headers(&[
            ("content-type", "application/json; charset=utf-8"),
            ("server-timing", "run;dur=1.5"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ]);
        let value = document(StatusCode::OK, &fields, b"{\"n\":1}", Duration::from_millis(2));
        assert_eq!(value["body"], json!({"n": 1}));
        assert_eq!(value["headers"]["set-cookie"], "a, b");
        assert_eq!(value["timing_ms"], json!({"run": 1.5, "client": 2.0}));
        let text = document(StatusCode::OK, &HeaderMap::new(), b"1", Duration::ZERO);
        assert_eq!((&text["body"], &text["body_encoding"]), (&json!("1"), &json!("text")));
        let binary = document(StatusCode::OK, &HeaderMap::new(), b"\xff", Duration::ZERO);
        assert_eq!((&binary["body"], &binary["body_encoding"]), (&json!("/w=="), &json!("base64")));
    }

    #[test]
    fn only_documents_that_name_the_request_are_the_platforms() {
        let body = br#"{"error":{"code":"X","message":"m","request_id":"r1"}}"#;
        assert!(is_platform_error(&headers(&[("x-request-id", "r1")]), body));
        assert!(!is_platform_error(&headers(&[("x-request-id", "r2")]), body));
        assert!(!is_platform_error(&HeaderMap::new(), b"{}"));
    }

    #[test]
    fn data_comes_from_text_or_files() {
        assert_eq!(read_data("{}").expect("text"), "{}");
        assert_eq!(read_data("@/nonexistent").expect_err("absent").exit, Exit::NotFound);
        assert_eq!(parse_method("put"), Ok(Method::PUT));
        assert!(parse_method("a b").is_err());
    }
}
