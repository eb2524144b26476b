//! The HTTP/1.1 request of the HTTP contract, rebuilt from its parts so that nothing of the client's framing
//! reaches the function.

use super::{Incoming, Rest};
use crate::headers::{is_hop_by_hop, listed_in_connection};
use http::Method;
use http::header::{CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName};
use std::io::Write;
use std::net::IpAddr;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Encodes the request. `function` is the host name used when the client gave none.
pub(crate) fn request(request: &Incoming<'_>, function: &str) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(1024 + request.body.len());
    let host = request.headers.get(HOST).map_or(function.as_bytes(), |value| value.as_bytes());
    let query_mark = if request.query.is_empty() { "" } else { "?" };
    put(
        &mut buffer,
        format_args!("{} {}{query_mark}{} HTTP/1.1\r\n", request.method, request.path, request.query),
    );
    field(&mut buffer, "host", host);
    let dropped = listed_in_connection(request.headers);
    for (name, value) in request.headers {
        if !is_own(name) && !is_hop_by_hop(name) && !dropped.iter().any(|listed| listed == name.as_str()) {
            field(&mut buffer, name.as_str(), value.as_bytes());
        }
    }
    match &request.rest {
        Rest::Chunked => field(&mut buffer, "transfer-encoding", b"chunked"),
        Rest::Length(length) => put(&mut buffer, format_args!("content-length: {length}\r\n")),
        Rest::Upgrade(protocol) => {
            field(&mut buffer, "connection", b"Upgrade");
            field(&mut buffer, "upgrade", protocol.as_bytes());
        }
        Rest::Nothing if request.body.is_empty() && has_no_body_by_nature(request.method) => {}
        Rest::Nothing => put(&mut buffer, format_args!("content-length: {}\r\n", request.body.len())),
    }
    forwarding(&mut buffer, request.headers, request.source, host);
    field(&mut buffer, crate::names::REQUEST_ID, request.request_id.as_bytes());
    buffer.extend_from_slice(b"\r\n");
    buffer.extend_from_slice(request.body);
    buffer
}

/// `Forwarded` and its older relatives: what came with the request, then this hop.
fn forwarding(buffer: &mut Vec<u8>, headers: &HeaderMap, source: IpAddr, host: &[u8]) {
    let source_text = source.to_string();
    let chain = |name: &str, hop: &[u8]| {
        let mut values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        values.push(hop);
        values.join(&b", "[..])
    };
    field(buffer, FORWARDED_FOR, &chain(FORWARDED_FOR, source_text.as_bytes()));
    field(buffer, FORWARDED_HOST, host);
    field(buffer, FORWARDED_PROTO, b"http");
    let mut hop = match source {
        IpAddr::V4(_) => format!("for={source_text};host=\"").into_bytes(),
        IpAddr::V6(_) => format!("for=\"[{source_text}]\";host=\"").into_bytes(),
    };
    hop.extend(host.iter().filter(|byte| !matches!(byte, b'"' | b'\\')));
    hop.extend_from_slice(b"\";proto=http");
    field(buffer, "forwarded", &chain("forwarded", &hop));
}

/// Fields that this module writes itself, or that concern only the client and the gateway.
fn is_own(name: &HeaderName) -> bool {
    *name == HOST
        || *name == CONTENT_LENGTH
        || *name == EXPECT
        || *name == FORWARDED
        || name == FORWARDED_FOR
        || name == FORWARDED_HOST
        || name == FORWARDED_PROTO
        || name == crate::names::REQUEST_ID
}

/// Methods whose requests say nothing about a length when they have no body (RFC 9110, 8.6).
fn has_no_body_by_nature(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE)
}

fn field(buffer: &mut Vec<u8>, name: &str, value: &[u8]) {
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(b": ");
    buffer.extend_from_slice(value);
    buffer.extend_from_slice(b"\r\n");
}

fn put(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    buffer.write_fmt(text).expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::Parts;
    use proptest::prelude::*;

    fn encode(parts: &Parts) -> String {
        String::from_utf8(request(&parts.incoming(), "hello")).unwrap()
    }

    #[test]
    fn a_request_is_rebuilt() {
        let parts = Parts::new(Method::POST, "/p%20q", "x=1")
            .header("host", b"example.test:8080")
            .header("accept", b"*/*")
            .header("connection", b"close, x-hop")
            .header("x-hop", b"1")
            .header("transfer-encoding", b"chunked")
            .header("expect", b"100-continue")
            .header("x-request-id", b"spoofed id")
            .header("content-length", b"999")
            .body(b"abc");
        let expected = "POST /p%20q?x=1 HTTP/1.1\r\n\
            host: example.test:8080\r\n\
            accept: */*\r\n\
            content-length: 3\r\n\
            x-forwarded-for: 192.0.2.7\r\n\
            x-forwarded-host: example.test:8080\r\n\
            x-forwarded-proto: http\r\n\
            forwarded: for=192.0.2.7;host=\"example.test:8080\";proto=http\r\n\
            x-request-id: req-1\r\n\
            \r\nabc";
        assert_eq!(encode(&parts), expected);
    }

    #[test]
    fn earlier_hops_are_kept_in_order() {
        let parts = Parts::new(Method::GET, "/", "")
            .header("x-forwarded-for", b"198.51.100.1")
            .header("x-forwarded-for", b"203.0.113.2")
            .header("forwarded", b"for=198.51.100.1");
        let text = encode(&parts);
        assert!(text.contains("x-forwarded-for: 198.51.100.1, 203.0.113.2, 192.0.2.7\r\n"), "{text}");
        assert!(
            text.contains("forwarded: for=198.51.100.1, for=192.0.2.7;host=\"hello\";proto=http\r\n"),
            "{text}"
        );
    }

    #[test]
    fn what_follows_is_announced() {
        let announced = |rest: Rest| {
            let mut parts = Parts::new(Method::POST, "/", "")
                .header("connection", b"upgrade, x-hop")
                .header("x-hop", b"1")
                .header("upgrade", b"websocket")
                .header("content-length", b"1");
            parts.rest = rest;
            let text = encode(&parts);
            let fields = ["content-length", "transfer-encoding", "connection", "upgrade", "x-hop"];
            let is_one = |line: &&str| fields.iter().any(|field| line.starts_with(&format!("{field}:")));
            text.lines().filter(is_one).map(str::to_owned).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(announced(Rest::Nothing), "content-length: 0");
        assert_eq!(announced(Rest::Length(7_000_000)), "content-length: 7000000");
        assert_eq!(announced(Rest::Chunked), "transfer-encoding: chunked");
        let websocket = Rest::Upgrade(http::HeaderValue::from_static("websocket"));
        assert_eq!(announced(websocket), "connection: Upgrade, upgrade: websocket");
    }

    #[test]
    fn a_length_is_given_exactly_when_it_means_something() {
        let length = |method: Method, body: &[u8]| {
            let text = encode(&Parts::new(method, "/", "").body(body));
            text.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned))
        };
        assert_eq!(length(Method::GET, b""), None);
        assert_eq!(length(Method::HEAD, b""), None);
        assert_eq!(length(Method::GET, b"x").as_deref(), Some("1"));
        assert_eq!(length(Method::POST, b"").as_deref(), Some("0"));
    }

    proptest! {
        #[test]
        fn any_request_parses_back(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..32), 0..8), body in proptest::collection::vec(any::<u8>(), 0..128)) {
            let mut parts = Parts::new(Method::PUT, "/x", "y").body(&body);
            for value in &values {
                if let Ok(value) = http::HeaderValue::from_bytes(value) {
                    parts.headers.append("x-any", value);
                }
            }
            let bytes = request(&parts.incoming(), "hello");
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut parsed = httparse::Request::new(&mut fields);
            let head = parsed.parse(&bytes).unwrap().unwrap();
            prop_assert_eq!(parsed.path, Some("/x?y"));
            let any = parsed.headers.iter().filter(|field| field.name == "x-any").count();
            prop_assert_eq!(any, parts.headers.get_all("x-any").iter().count());
            prop_assert_eq!(&bytes[head..], &body[..]);
        }
    }
}
