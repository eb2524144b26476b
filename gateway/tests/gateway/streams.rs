//! Responses in parts.

use crate::support::client::request;
use crate::support::{Harness, package, soon};
use serde_json::json;
use std::time::Duration;

async fn with_web() -> Harness {
    let gateway = Harness::start().await;
    assert_eq!(gateway.deploy_native("web").await.status, 201);
    gateway
}

const OK: &str = "spore_invocations_total{function=\"web\",status=\"200\"}";

#[tokio::test]
async fn each_part_is_sent_when_it_comes() {
    let gateway = with_web().await;
    let mut connection = gateway.connect().await;
    connection.send(&request("GET", "/function/web/stream/steps", &[], b"")).await;
    let head = soon(connection.head()).await;
    assert_eq!(
        (head.status, head.field("x-server"), head.field("transfer-encoding")),
        (200, "test", "chunked")
    );
    assert_eq!((head.field("x-spore-start"), head.timing("fork")), ("new", Some(0.02)));
    assert_eq!(gateway.metric("spore_requests_in_flight").await, 1.0);
    for expected in ["one", "two"] {
        gateway.backend.release.add_permits(1);
        assert_eq!(soon(connection.chunk()).await.unwrap(), expected.as_bytes());
    }
    assert_eq!(gateway.metric(OK).await, 0.0, "it is not over");
    gateway.backend.release.add_permits(2);
    assert_eq!(soon(connection.chunk()).await, None);
    assert_eq!((gateway.metric(OK).await, gateway.metric("spore_requests_in_flight").await), (1.0, 0.0));
    assert_eq!(connection.call("GET", "/function/web/", &[], b"").await.status, 201, "it is kept open");
}

#[tokio::test]
async fn every_framing_is_understood_however_it_is_cut() {
    let gateway = with_web().await;
    let mut connection = gateway.connect().await;
    for (path, length, body) in
        [("split", "", "0123456789abcdef"), ("length", "10", "0123456789"), ("close", "", "until the end")]
    {
        let answer = connection.call("GET", &format!("/function/web/stream/{path}"), &[], b"").await;
        assert_eq!((answer.field("content-length"), answer.text().as_str()), (length, body), "{path}");
    }
    assert_eq!(gateway.metric(OK).await, 3.0);
    let head = connection.call("HEAD", "/function/web/stream/head", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(connection.call("GET", "/function/web/stream/empty", &[], b"").await.status, 204);
    assert_eq!(connection.call("GET", "/function/web/", &[], b"").await.status, 201);
    let mut old = gateway.connect().await;
    old.send(b"GET /function/web/stream/split HTTP/1.0\r\n\r\n").await;
    let text = old.rest().await;
    assert!(text.ends_with("\r\n\r\n0123456789abcdef") && !text.contains("chunked"), "{text}");
}

#[tokio::test]
async fn what_breaks_off_ends_the_connection_and_is_counted() {
    let gateway = with_web().await;
    for (path, status) in
        [("dies", 502), ("lost", 500), ("nonsense", 502), ("early", 502), ("short", 502), ("long", 502)]
    {
        let series = format!("spore_invocations_total{{function=\"web\",status=\"{status}\"}}");
        let before = gateway.metric(&series).await;
        let mut connection = gateway.connect().await;
        connection.send(&request("GET", &format!("/function/web/stream/{path}"), &[], b"")).await;
        assert_eq!(soon(connection.head()).await.status, 200);
        let body = connection.rest().await;
        assert!(!body.ends_with("0\r\n\r\n") && body.len() < 10, "{path}: {body}");
        assert_eq!(gateway.metric(&series).await, before + 1.0, "{path}");
        assert_eq!(gateway.metric("spore_requests_in_flight").await, 0.0, "{path}");
    }
    for path in ["split-head", "garbage"] {
        let answer = gateway.get(&format!("/function/web/stream/{path}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "InvalidResponse"), "{path}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_answer() {
    let gateway = Harness::with(|config| config.in_flight_max = 1).await;
    assert_eq!(gateway.deploy_native("web").await.status, 201);
    let mut connection = gateway.connect().await;
    connection.send(&request("GET", "/function/web/stream/steps", &[], b"")).await;
    assert_eq!(soon(connection.head()).await.status, 200);
    let refused = gateway.get("/function/web/").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "Overloaded"), "it has the only place");
    drop(connection);
    soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
    assert_eq!(gateway.get("/function/web/").await.status, 201);
    assert_eq!(gateway.metric("spore_client_disconnects_total").await, 1.0);
    assert_eq!(gateway.metric("spore_requests_in_flight").await, 0.0);
}

#[tokio::test]
async fn a_body_that_looks_like_a_response_stays_as_it_is() {
    let gateway = with_web().await;
    let mut connection = gateway.connect().await;
    let close = [("connection", "close")];
    connection.send(&request("GET", "/function/web/stream/poison/steps", &close, b"")).await;
    assert_eq!(soon(connection.head()).await.status, 200);
    gateway.backend.release.add_permits(2);
    assert_eq!(connection.rest().await, "xHTTP/1.1 400 x\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let gateway = with_web().await;
    let gateway = gateway.again_with(|config| config.body_timeout = Duration::from_millis(300)).await;
    let mut connection = gateway.connect().await;
    connection.send(&request("GET", "/function/web/stream/flood", &[], b"")).await;
    soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
    assert_eq!(gateway.metric("spore_requests_in_flight").await, 0.0);
}

async fn with_posts() -> Harness {
    let gateway = Harness::start().await;
    let config = json!({"runtime": "provided"});
    assert_eq!(gateway.upload("web", &config, &package::native()).await.status, 201);
    gateway
}

#[tokio::test]
async fn a_stream_of_the_runtime_api_has_its_head_when_that_has_come_and_then_goes_on() {
    let gateway = with_posts().await;
    let mut connection = gateway.connect().await;
    gateway.backend.release.add_permits(2);
    connection.send(&request("GET", "/function/web/stream/steps", &[], b"")).await;
    let head = soon(connection.head()).await;
    assert_eq!((head.status, head.field("transfer-encoding")), (418, "chunked"));
    assert_eq!(head.field("content-type"), "application/octet-stream");
    gateway.backend.release.add_permits(1);
    assert_eq!(soon(connection.chunk()).await.unwrap(), b"one");
    gateway.backend.release.add_permits(2);
    assert_eq!(soon(connection.chunk()).await, None);
    let answer = connection.call("GET", "/function/web/stream/at-once", &[], b"").await;
    assert_eq!((answer.status, answer.text().as_str()), (418, "one"));
    assert_eq!(connection.call("GET", "/function/web/stream/bodiless", &[], b"").await.status, 204);
    let head = connection.call("HEAD", "/function/web/stream/at-once", &[], b"").await;
    assert_eq!((head.status, head.field("content-length")), (418, ""), "nobody knows how long it would be");
    assert_eq!(connection.call("GET", "/function/web/", &[], b"").await.status, 200, "it is kept open");
}

#[tokio::test]
async fn a_stream_of_the_runtime_api_fails_with_a_status_or_breaks_off() {
    let gateway = with_posts().await;
    for (path, code) in
        [("early", "FunctionError"), ("never", "InvalidResponse"), ("exits", "FunctionExited")]
    {
        let answer = gateway.get(&format!("/function/web/stream/{path}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, code), "{path}");
    }
    for path in ["breaks", "abandoned"] {
        let mut connection = gateway.connect().await;
        connection.send(&request("GET", &format!("/function/web/stream/{path}"), &[], b"")).await;
        assert_eq!(soon(connection.head()).await.status, 418);
        let body = connection.rest().await;
        assert!(body.contains("one") && !body.ends_with("0\r\n\r\n"), "{path}: {body}");
    }
    let failed = "spore_invocations_total{function=\"web\",status=\"502\"}";
    assert_eq!(gateway.metric(failed).await, 5.0);
    assert_eq!(gateway.metric("spore_requests_in_flight").await, 0.0);
}
