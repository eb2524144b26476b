use super::*;
use crate::event::testing::Parts;
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

fn about() -> About<'static> {
    About { name: "hello", memory_bytes: 128 << 20, timeout: Duration::from_secs(3) }
}

fn decode(parts: &Parts) -> Value {
    let bytes = document(&parts.incoming(), &about());
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    assert_eq!(bytes.last(), Some(&b'\n'));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_full_request_becomes_the_event_of_a_function_url() {
    let parts = Parts::new(Method::POST, "/a%20b", "x=1&y=%C3%A9&x=2")
        .header("host", b"example.test:8080")
        .header("user-agent", b"curl/8")
        .header("content-type", b"application/json; charset=utf-8")
        .header("x-multi", b"1")
        .header("x-multi", b"2")
        .header("cookie", b"a=1; b=2")
        .header("cookie", b"c=3")
        .body(br#"{"k":"v"}"#);
    let expected = json!({
        "event": {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/a%20b",
            "rawQueryString": "x=1&y=%C3%A9&x=2",
            "cookies": ["a=1", "b=2", "c=3"],
            "headers": {
                "host": "example.test:8080",
                "user-agent": "curl/8",
                "content-type": "application/json; charset=utf-8",
                "x-multi": "1,2",
            },
            "queryStringParameters": {"x": "1,2", "y": "é"},
            "requestContext": {
                "accountId": "anonymous",
                "apiId": "hello",
                "domainName": "example.test:8080",
                "domainPrefix": "hello",
                "http": {
                    "method": "POST",
                    "path": "/a%20b",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.7",
                    "userAgent": "curl/8",
                },
                "requestId": "req-1",
                "routeKey": "$default",
                "stage": "$default",
                "time": "04/Mar/2020:19:03:58 +0000",
                "timeEpoch": 1_583_348_638_390_u64,
            },
            "body": r#"{"k":"v"}"#,
            "isBase64Encoded": false,
        },
        "context": {
            "request_id": "req-1",
            "deadline_ms": 1_583_348_641_390_u64,
            "function_name": "hello",
            "function_version": "$LATEST",
            "memory_mb": 128,
            "invoked_function_arn": "arn:aws:lambda:local:anonymous:function:hello",
        },
    });
    assert_eq!(decode(&parts), expected);
}

#[test]
fn the_trace_of_a_request_is_part_of_its_context() {
    let traced = decode(&Parts::new(Method::GET, "/", "").header("x-amzn-trace-id", b"Root=1-2-3"));
    assert_eq!(traced["context"]["trace_id"], json!("Root=1-2-3"));
}

#[test]
fn what_a_request_lacks_is_absent() {
    let event = &decode(&Parts::new(Method::GET, "/", ""))["event"];
    for key in ["body", "cookies", "queryStringParameters"] {
        assert_eq!(event.get(key), None, "{key}");
    }
    assert_eq!(event["isBase64Encoded"], json!(false));
    assert_eq!(event["rawQueryString"], json!(""));
    assert_eq!(event["headers"], json!({}));
}

#[test]
fn bodies_are_text_only_if_type_and_bytes_say_so() {
    let body = |kind: Option<&[u8]>, bytes: &[u8]| {
        let parts = Parts::new(Method::POST, "/", "").body(bytes);
        let parts = match kind {
            Some(kind) => parts.header("content-type", kind),
            None => parts,
        };
        let event = decode(&parts)["event"].take();
        (event["body"].as_str().unwrap().to_owned(), event["isBase64Encoded"].as_bool().unwrap())
    };
    for kind in [
        &b"text/plain"[..],
        b"TEXT/HTML;charset=x",
        b"application/json",
        b"application/problem+json",
        b"image/svg+xml",
        b"application/x-www-form-urlencoded",
    ] {
        assert_eq!(body(Some(kind), "é=1".as_bytes()), ("é=1".to_owned(), false));
    }
    assert_eq!(body(None, b"plain"), ("plain".to_owned(), false));
    assert_eq!(body(None, b"\xff\x00"), ("/wA=".to_owned(), true));
    assert_eq!(body(Some(b"text/plain"), b"\xff"), ("/w==".to_owned(), true));
    assert_eq!(body(Some(b"application/octet-stream"), b"abc"), ("YWJj".to_owned(), true));
    assert_eq!(body(Some(b"\xff"), b"abc"), ("YWJj".to_owned(), true));
}

#[test]
fn a_compressed_body_is_binary() {
    let parts = Parts::new(Method::POST, "/", "")
        .header("content-type", b"text/plain")
        .header("content-encoding", b"gzip")
        .body(b"abc");
    assert_eq!(decode(&parts)["event"]["isBase64Encoded"], json!(true));
}

#[test]
fn an_unreadable_cookie_is_still_split() {
    let parts = Parts::new(Method::GET, "/", "").header("cookie", b"a=\xe9; b=2;");
    assert_eq!(decode(&parts)["event"]["cookies"], json!(["a=é", "b=2"]));
}

proptest! {
    #[test]
    fn any_body_comes_back(body in proptest::collection::vec(any::<u8>(), 1..512), text in any::<bool>()) {
        let kind: &[u8] = if text { b"text/plain" } else { b"image/png" };
        let parts = Parts::new(Method::POST, "/", "").header("content-type", kind).body(&body);
        let event = decode(&parts)["event"].take();
        let given = event["body"].as_str().unwrap();
        let back = match event["isBase64Encoded"].as_bool().unwrap() {
            true => base64::Engine::decode(&STANDARD, given).unwrap(),
            false => given.as_bytes().to_vec(),
        };
        prop_assert_eq!(back, body);
    }

    #[test]
    fn any_header_value_encodes(value in proptest::collection::vec(any::<u8>(), 0..64)) {
        let Ok(value) = http::HeaderValue::from_bytes(&value) else { return Ok(()) };
        let mut parts = Parts::new(Method::GET, "/", "");
        parts.headers.insert("x-any", value.clone());
        let expected = value_text(value.as_bytes()).into_owned();
        let document = decode(&parts);
        prop_assert_eq!(document["event"]["headers"]["x-any"].as_str(), Some(expected.as_str()));
    }
}
