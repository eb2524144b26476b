//! Malformed, slow and greedy clients.

use crate::support::client::{Connection, request};
use crate::support::{Harness, PATIENCE, package, soon};
use proptest::prelude::*;
use std::time::Duration;

async fn refused(connection: &mut Connection, bytes: &[u8], status: u16, code: &str) {
    connection.send(bytes).await;
    let answer = connection.response("GET").await;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{shown}");
}

#[tokio::test]
async fn malformed_requests_get_400_with_a_document() {
    let gateway = Harness::with_hello().await;
    for bytes in [
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /function/hello\r\n\r\n",
        "GET /function/hello HTTP/9.9\r\n\r\n",
        "GET /function/hello HTTP/1.1\r\nhost: x\r\nbad field: 1\r\n\r\n",
        "GET /function/hello HTTP/1.1\r\nhost: x\r\n: 1\r\n\r\n",
        "GET /function/hello HTTP/1.1\r\nhost: x\r\na: \u{1}\r\n\r\n",
        "GET /function/hello HTTP/1.1\r\nhost: x\r\na: b\r\n folded\r\n\r\n",
        "POST /function/hello HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /function/hello HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST /function/hello HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}",
        "GET /function/hello HTTP/1.1\r\n\r\n",
        "GET /function/hello HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST /function/hello HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        refused(&mut gateway.connect().await, bytes.as_bytes(), 400, "BadRequest").await;
    }
    assert_eq!(gateway.get("/function/hello").await.status, 200);
}

#[tokio::test]
async fn heads_over_the_limits_get_431() {
    let gateway = Harness::with_hello().await;
    let many = format!("GET /function/hello HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(101));
    refused(&mut gateway.connect().await, many.as_bytes(), 431, "HeadersTooLarge").await;
    let fits = format!("GET /function/hello HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(99));
    let mut connection = gateway.connect().await;
    connection.send(fits.as_bytes()).await;
    assert_eq!(connection.response("GET").await.status, 200);
    let long =
        format!("GET /function/hello HTTP/1.1\r\nhost: x\r\na: {}\r\n", "b".repeat(gateway::HEAD_MAX_BYTES));
    refused(&mut gateway.connect().await, long.as_bytes(), 431, "HeadersTooLarge").await;
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let gateway = Harness::with(|config| config.head_timeout = Duration::from_secs(1)).await;
    let mut silent = gateway.connect().await;
    let mut slow = gateway.connect().await;
    slow.send(b"GET /healthz HTTP/1.1\r\nhost: ").await;
    let mut idle = gateway.connect().await;
    assert_eq!(idle.call("GET", "/healthz", &[], b"").await.status, 200);
    for connection in [&mut silent, &mut slow, &mut idle] {
        assert!(connection.ends().await);
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_gets_408() {
    let gateway = Harness::with_hello().await;
    let gateway = gateway.again_with(|config| config.body_timeout = Duration::from_millis(100)).await;
    let mut connection = gateway.connect().await;
    let head = b"POST /function/hello HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this";
    refused(&mut connection, head, 408, "RequestTimeout").await;
    let mut deploy = gateway.connect().await;
    let head =
        b"PUT /v1/functions/x HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=B\r\n\
        content-length: 1000\r\n\r\n--B\r\ncontent-disposition: form-data; name=\"package\"\r\n\r\nabc";
    refused(&mut deploy, head, 408, "RequestTimeout").await;
    for begun in
        ["", "--", "--B\r\n", "--B\r\ncontent-disposition: form-data; name=\"package\"\r\n\r\nabc\r\n--B"]
    {
        let mut deploy = gateway.connect().await;
        refused(&mut deploy, &form(1000, begun), 408, "RequestTimeout").await;
    }
}

/// A deploy whose form has so many bytes and begins with these.
fn form(length: usize, begun: &str) -> Vec<u8> {
    let head = "PUT /v1/functions/x HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=B\r\n";
    format!("{head}content-length: {length}\r\n\r\n{begun}").into_bytes()
}

#[tokio::test]
async fn a_form_without_a_field_is_not_kept_in_memory() {
    let gateway = Harness::start().await;
    let filler = "x".repeat(8 << 20);
    let config = "--B\r\ncontent-disposition: form-data; name=\"config\"\r\n\r\n{}\r\n--B\r\n";
    for begun in ["", "--B", "--B\r\nname: ", config] {
        let mut connection = gateway.connect().await;
        let bytes = form(begun.len() + filler.len(), &[begun, &filler].concat());
        let code = if begun == "--B" { (400, "BadRequest") } else { (413, "RequestTooLarge") };
        refused(&mut connection, &bytes, code.0, code.1).await;
    }
}

#[tokio::test]
async fn a_form_is_understood_however_it_is_cut() {
    let gateway = Harness::start().await;
    let (kind, body) = package::form("{}", &package::python());
    let ahead = [b"ahead\r\n".repeat(1500), body].concat();
    for size in [1, 1000, ahead.len()] {
        let fields = [("content-type", kind.as_str()), ("transfer-encoding", "chunked")];
        let mut bytes = request("PUT", "/v1/functions/x", &fields, b"");
        for piece in ahead.chunks(size) {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend([piece, b"\r\n"].concat());
        }
        bytes.extend(b"0\r\n\r\n");
        let mut connection = gateway.connect().await;
        connection.send(&bytes).await;
        let answer = connection.response("PUT").await;
        assert!(matches!(answer.status, 200 | 201), "{size}: {}", answer.text());
    }
}

#[tokio::test]
async fn who_sends_a_long_body_to_nowhere_reads_why_that_was_refused() {
    let gateway = Harness::with_hello().await;
    let host = ("host", "x");
    for (method, path, fields, status) in [
        ("POST", "/function/none", &[][..], 404),
        ("POST", "/function/hello", &[host][..], 400),
        ("POST", "/nothing", &[][..], 404),
        ("POST", "/healthz", &[][..], 405),
        ("PUT", "/v1/functions/x", &[][..], 400),
    ] {
        let mut connection = gateway.connect().await;
        connection.send(&request(method, path, fields, &vec![b'x'; 8 << 20])).await;
        assert_eq!(connection.response(method).await.status, status, "{path}");
        assert_eq!(connection.call("GET", "/healthz", &[], b"").await.status, 200, "the connection is kept");
    }
}

#[tokio::test]
async fn who_waits_to_be_asked_for_a_body_that_is_refused_is_not_asked() {
    let gateway = Harness::start().await;
    for path in ["/function/none", "/nothing"] {
        let mut connection = gateway.connect().await;
        let body = vec![b'x'; 1 << 20];
        let bytes = request("POST", path, &[("expect", "100-continue")], &body);
        connection.send(&bytes[..bytes.len() - body.len()]).await;
        let answer = connection.response("POST").await;
        assert_eq!((answer.status, answer.field("connection")), (404, "close"), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_trickles_gets_408() {
    let gateway = Harness::with_hello().await;
    let gateway = gateway.again_with(|config| config.body_deadline = Duration::from_millis(100)).await;
    let mut connection = gateway.connect().await;
    let head = b"POST /function/hello HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this";
    refused(&mut connection, head, 408, "RequestTimeout").await;
}

#[tokio::test]
async fn a_slow_client_within_the_limits_is_served() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    for byte in request("POST", "/function/hello/size", &[], b"slowly") {
        connection.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(connection.response("POST").await.text(), "6");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let gateway = Harness::with(|config| config.connections_max = 1).await;
    let mut first = gateway.connect().await;
    assert_eq!(first.call("GET", "/healthz", &[], b"").await.status, 200);
    let mut second = gateway.connect().await;
    second.send(&request("GET", "/healthz", &[], b"")).await;
    assert_eq!(first.call("GET", "/healthz", &[], b"").await.status, 200, "the first is not disturbed");
    let answer = tokio::time::timeout(Duration::from_millis(100), second.response("GET")).await;
    assert!(answer.is_err(), "the second waits");
    drop(first);
    assert_eq!(second.response("GET").await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_while_sending_is_forgotten() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    connection
        .send(b"POST /function/hello HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this")
        .await;
    drop(connection);
    let mut probe = gateway.connect().await;
    soon(async {
        // The probe's own connection remains.
        while metric(&mut probe, "spore_connections").await != "1"
            || metric(&mut probe, "spore_requests_in_flight").await != "0"
        {}
    })
    .await;
    assert_eq!(gateway.get("/function/hello").await.status, 200);
}

async fn metric(connection: &mut Connection, name: &str) -> String {
    let text = connection.call("GET", "/metrics", &[], b"").await.text();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap().to_owned();
    line.split(' ').next_back().unwrap().to_owned()
}

#[tokio::test]
async fn request_targets_of_every_form_are_survived() {
    let gateway = Harness::with_hello().await;
    for (target, status) in [
        ("http://other.test/function/hello/x", 200),
        ("/function/hello?", 200),
        ("/function/hello?a=%", 200),
        ("*", 404),
        ("//function/hello", 404),
        ("/../function/hello", 404),
        ("/function/hello/../../v1/functions", 200),
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let answer = gateway.call(method, target, &[], b"").await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
    let connect = gateway.call("CONNECT", "other.test:443", &[], b"").await;
    assert_eq!(connect.status, 404);
}

/// Random bytes on a real socket: whatever they are, the gateway lives on.
#[test]
fn random_bytes_are_survived() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = runtime.block_on(Harness::with_hello());
    let heads = [
        "",
        "GET /function/hello HTTP/1.1\r\nhost: x\r\n",
        "POST /function/hello HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    ];
    let strategy = (0..heads.len(), proptest::collection::vec(any::<u8>(), 0..200));
    proptest!(ProptestConfig::with_cases(200), |((head, bytes) in strategy)| {
        runtime.block_on(async {
            let mut connection = gateway.connect().await;
            connection.send(heads[head].as_bytes()).await;
            connection.send(&bytes).await;
            drop(connection);
            let answer = tokio::time::timeout(PATIENCE, gateway.get("/function/hello")).await.unwrap();
            assert_eq!(answer.status, 200);
        });
    });
}
