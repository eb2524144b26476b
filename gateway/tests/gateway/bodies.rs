//! Request bodies that come while the function runs, and clients that leave or dawdle.

use crate::support::client::{Connection, request};
use crate::support::{Harness, soon};
use std::time::Duration;
use tokio::net::TcpStream;

const CHUNKED: &str = "transfer-encoding: chunked\r\n";
const UPGRADE: &str = "connection: upgrade\r\nupgrade: raw\r\n";

fn head(method: &str, path: &str, fields: &str) -> Vec<u8> {
    format!("{method} /function/web/{path} HTTP/1.1\r\nhost: x\r\n{fields}\r\n").into_bytes()
}

async fn with_web(change: impl FnOnce(&mut gateway::GatewayConfig)) -> Harness {
    let gateway = Harness::with(change).await;
    assert_eq!(gateway.deploy_native("web").await.status, 201);
    gateway
}

/// A connection on which the function has begun and does not read.
async fn hanging(gateway: &Harness, bytes: &[u8]) -> Connection {
    let mut connection = gateway.connect().await;
    connection.send(bytes).await;
    soon(gateway.backend.hanging.acquire()).await.unwrap().forget();
    connection
}

async fn is_alive(gateway: &Harness) {
    assert_eq!(gateway.get("/healthz").await.status, 200);
}

async fn is_free(gateway: &Harness) {
    soon(async { while gateway.metric("spore_requests_in_flight").await != 0.0 {} }).await;
}

/// Ends a connection as a process does that is killed before it has read everything.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_though_nobody_reads() {
    let gateway = with_web(|config| config.leave_grace = Duration::from_millis(100)).await;
    let begun = [head("POST", "hang", CHUNKED), b"1\r\nx\r\n".to_vec()].concat();
    let waits = head("POST", "hang", "content-length: 1\r\nexpect: 100-continue\r\n");
    let early = [head("GET", "hang", UPGRADE), b"early".to_vec()].concat();
    let stray = [head("POST", "hang", "content-length: 1\r\n"), b"x\r\n".to_vec()].concat();
    let pipelined = head("GET", "hang", "").repeat(2);
    for bytes in [begun, waits, early, stray, pipelined] {
        for is_reset in [false, true] {
            let connection = hanging(&gateway, &bytes).await;
            if is_reset {
                reset(&connection.stream);
            }
            drop(connection);
            soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
            is_free(&gateway).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_too_much_later_and_leaves_is_noticed() {
    let gateway = with_web(|config| config.leave_grace = Duration::from_millis(100)).await;
    let mut connection = hanging(&gateway, &head("GET", "hang", "")).await;
    connection.send(b"\r\n").await;
    // It is held by hyper when another request has been answered.
    is_alive(&gateway).await;
    drop(connection);
    soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
    is_free(&gateway).await;
}

#[tokio::test]
async fn who_sends_the_next_request_early_and_stays_is_answered() {
    let gateway = with_web(|config| config.leave_grace = Duration::ZERO).await;
    let both = [head("GET", "hang", ""), head("GET", "", "")].concat();
    let mut connection = hanging(&gateway, &both).await;
    is_alive(&gateway).await;
    gateway.backend.release.add_permits(1);
    assert_eq!(connection.response("GET").await.text(), "released");
    assert!(connection.response("GET").await.text().starts_with("GET / "));
}

#[tokio::test]
async fn an_upgrade_that_fails_while_it_is_answered_gives_everything_back() {
    let gateway = with_web(|config| config.upgrades_max = 1).await;
    for _ in 0..3 {
        let connection = hanging(&gateway, &head("GET", "upgrade/late", UPGRADE)).await;
        reset(&connection.stream);
        // Nothing is awaited in between: the answer is on its way before the reset is noticed.
        gateway.backend.release.add_permits(1);
        drop(connection);
        is_free(&gateway).await;
        soon(async { while gateway.metric("spore_connections").await > 1.0 {} }).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_though_what_it_sent_is_not_read() {
    let gateway = with_web(|config| config.leave_grace = Duration::from_millis(100)).await;
    let mut connection = hanging(&gateway, &head("POST", "hang", "content-length: 5000000\r\n")).await;
    connection.send(b"hello").await;
    drop(connection);
    soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
    is_free(&gateway).await;
}

#[tokio::test]
async fn who_has_sent_everything_or_stays_is_answered() {
    let gateway = with_web(|config| config.leave_grace = Duration::from_millis(1)).await;
    let mut connection = hanging(&gateway, &head("POST", "hang", CHUNKED)).await;
    connection.send(b"1\r\nx\r\n").await;
    gateway.backend.release.add_permits(1);
    assert_eq!(connection.response("POST").await.status, 201);
    connection.send(b"0\r\n\r\n").await;
    for _ in 0..2 {
        assert_eq!(connection.call("GET", "/function/web/", &[], b"").await.status, 201);
    }
}

#[tokio::test]
async fn an_upgraded_connection_that_is_reset_ends_though_nobody_reads() {
    let gateway = with_web(|config| config.upgrade_idle = Duration::from_secs(600)).await;
    let mut connection = gateway.connect().await;
    connection.send(&head("GET", "upgrade/silent", UPGRADE)).await;
    assert_eq!(soon(connection.head()).await.status, 101);
    reset(&connection.stream);
    drop(connection);
    soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
    is_free(&gateway).await;
}

#[tokio::test]
async fn short_chunks_that_are_there_are_one_piece() {
    let gateway = with_web(|_| {}).await;
    let mut connection = hanging(&gateway, &head("POST", "pieces", CHUNKED)).await;
    connection.send("1\r\nx\r\n".repeat(2000).as_bytes()).await;
    connection.send(b"0\r\n\r\n").await;
    let text = soon(connection.response("POST")).await.text();
    let (pieces, bytes) = text.split_once(' ').unwrap();
    assert_eq!(bytes, "2000");
    assert!(pieces.parse::<u32>().unwrap() < 200, "{pieces} pieces");
}

/// The request with this body as the function sees it, once it is given a length. The body has 50 ms to come, which a busy
/// machine may miss.
async fn with_length(gateway: &Harness, chunks: &str) -> String {
    loop {
        let mut connection = gateway.connect().await;
        connection.send(&[head("POST", "", CHUNKED), chunks.into()].concat()).await;
        let text = connection.response("POST").await.text().to_ascii_lowercase();
        if !text.contains("transfer-encoding") {
            return text;
        }
    }
}

#[tokio::test]
async fn a_short_body_in_chunks_that_is_there_has_a_length() {
    let gateway = with_web(|_| {}).await;
    for (chunks, length) in [("0\r\n\r\n", 0), ("2\r\nab\r\n3\r\ncde\r\n0\r\nx-trailer: 1\r\n\r\n", 5)] {
        let text = soon(with_length(&gateway, chunks)).await;
        assert!(length == 0 || text.contains(&format!("content-length: {length}\r\n")), "{text}");
        assert!(text.ends_with(if length == 0 { "\r\n\r\n" } else { "\r\n\r\nabcde" }), "{text}");
    }
    // What does not come is not waited for, and nothing of it is lost.
    let mut connection =
        hanging(&gateway, &[head("POST", "pieces", CHUNKED), b"2\r\nab\r\n".into()].concat()).await;
    connection.send(b"3\r\ncde\r\n0\r\n\r\n").await;
    let text = soon(connection.response("POST")).await.text();
    assert!(text.ends_with(" 5"), "{text}");
}

#[tokio::test]
async fn limits_hold_for_short_bodies_in_chunks() {
    let gateway = with_web(|config| config.stream_max_bytes = 4).await;
    for (chunks, status) in
        [("4\r\nabcd\r\n0\r\n\r\n", 201), ("5\r\nabcde\r\n0\r\n\r\n", 413), ("zz\r\n", 400)]
    {
        let mut connection = gateway.connect().await;
        connection.send(&[head("POST", "", CHUNKED), chunks.into()].concat()).await;
        assert_eq!(soon(connection.response("POST")).await.status, status, "{chunks}");
    }
    is_free(&gateway).await;
}

#[tokio::test]
async fn a_body_that_is_refused_late_counts_as_what_it_is() {
    let gateway = with_web(|config| config.stream_max_bytes = 4).await;
    let mut connection = gateway.connect().await;
    connection.send(&head("POST", "begin", CHUNKED)).await;
    assert_eq!(soon(connection.head()).await.status, 200);
    connection.send(b"5\r\nabcde\r\n").await;
    let rest = connection.rest().await;
    assert!(!rest.contains("0\r\n\r\n"), "{rest}");
    is_free(&gateway).await;
    let refused = "spore_invocations_total{function=\"web\",status=\"413\"}";
    assert_eq!(gateway.metric(refused).await, 1.0);
}

#[tokio::test]
async fn who_was_not_asked_for_a_body_and_sends_it_reads_the_answer() {
    let gateway = with_web(|_| {}).await;
    let body = vec![b'x'; 1 << 20];
    let fields = format!("content-length: {}\r\nexpect: 100-continue\r\n", body.len());
    let mut connection = hanging(&gateway, &head("POST", "hang", &fields)).await;
    gateway.backend.release.add_permits(1);
    connection.send(&body).await;
    let answer = soon(connection.head()).await;
    assert_eq!((answer.status, answer.field("connection")), (201, "close"));
    let rest = connection.rest().await;
    assert_eq!(rest, "released");
}

#[tokio::test]
async fn who_does_not_read_an_answer_in_time_loses_the_connection() {
    let patience = |config: &mut gateway::GatewayConfig| {
        (config.response_grace, config.response_rate) = (Duration::from_millis(300), u64::MAX);
        (config.body_timeout, config.upgrade_idle) = (Duration::from_secs(600), Duration::from_secs(600));
    };
    let gateway = with_web(patience).await;
    for path in ["stream/flood", "upgrade/flood", "large"] {
        let mut connection = gateway.connect().await;
        let fields = if path.starts_with("upgrade") { UPGRADE } else { "" };
        connection.send(&head("GET", path, fields)).await;
        assert!(soon(connection.head()).await.status < 300);
        if path != "large" {
            soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
        }
        is_free(&gateway).await;
        // The asking connection remains.
        soon(async { while gateway.metric("spore_connections").await > 1.0 {} }).await;
        drop(connection);
    }
}

#[tokio::test]
async fn a_deploy_does_not_forget_upgraded_connections() {
    let gateway = with_web(|config| config.upgrades_max = 1).await;
    let mut connection = gateway.connect().await;
    connection.send(&head("GET", "upgrade/silent", UPGRADE)).await;
    assert_eq!(soon(connection.head()).await.status, 101);
    assert_eq!(gateway.deploy_native("web").await.status, 200);
    let upgrade = [("connection", "upgrade"), ("upgrade", "raw")];
    let mut second = gateway.connect().await;
    second.send(&request("GET", "/function/web/upgrade/silent", &upgrade, b"")).await;
    assert_eq!(soon(second.head()).await.status, 429);
    reset(&connection.stream);
    drop(connection);
    is_free(&gateway).await;
    let mut third = gateway.connect().await;
    third.send(&request("GET", "/function/web/upgrade/silent", &upgrade, b"")).await;
    assert_eq!(soon(third.head()).await.status, 101);
}
