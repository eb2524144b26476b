//! The data path over real sockets.

use crate::support::client::request;
use crate::support::package::native;
use crate::support::{Harness, soon};
use serde_json::json;

#[tokio::test]
async fn a_handler_is_given_the_event_and_its_answer_is_mapped() {
    let gateway = Harness::with_hello().await;
    let answer = gateway.call("POST", "/function/hello/a/b%20c?x=1&y=2", &[("x-one", "1")], b"hi").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST /a/b%20c"));
    assert_eq!(answer.field("content-type"), "text/plain");
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
    let document =
        gateway.call("POST", "/function/hello/document?x=1", &[("X-One", "1")], b"hi").await.json();
    let (event, context) = (&document["event"], &document["context"]);
    assert_eq!(event["rawQueryString"], json!("x=1"));
    assert_eq!(event["headers"]["x-one"], json!("1"));
    assert_eq!(event["requestContext"]["http"]["sourceIp"], json!("127.0.0.1"));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("hi"), &json!(false)));
    assert_eq!(context["function_name"], json!("hello"));
    assert_eq!(context["memory_mb"], json!(128));
    let epoch = event["requestContext"]["timeEpoch"].as_u64().unwrap();
    assert_eq!(context["deadline_ms"].as_u64().unwrap(), epoch + 3000);
}

#[tokio::test]
async fn every_answer_says_who_and_where_the_time_went() {
    let gateway = Harness::with_hello().await;
    let first = gateway.get("/function/hello").await;
    let second = gateway.get("/function/hello").await;
    assert_eq!((first.field("x-spore-start"), second.field("x-spore-start")), ("new", "recycled"));
    assert_eq!(first.field("x-spore-instance"), "00112233445566778899aabbccddeeff");
    assert_eq!(first.timing("fork"), Some(0.02));
    assert_eq!(first.timing("run"), Some(1.5));
    assert!(first.timing("queue").unwrap() >= 0.01);
    assert!(first.timing("total").unwrap() > 0.0);
    assert_eq!(first.timing("own"), Some(1.0), "the function's own entries stay");
    assert_ne!(first.field("x-request-id"), second.field("x-request-id"));
    let chosen = gateway.call("GET", "/function/hello/document", &[("x-request-id", "mine-1")], b"").await;
    assert_eq!(chosen.field("x-request-id"), "mine-1");
    assert_eq!(chosen.json()["context"]["request_id"], json!("mine-1"));
    let unfit = gateway.call("GET", "/function/hello", &[("x-request-id", "not sane")], b"").await;
    assert_ne!(unfit.field("x-request-id"), "not sane");
    assert_eq!(gateway.get("/healthz").await.field("x-request-id").len(), 36);
}

#[tokio::test]
async fn every_failure_has_its_status_and_code_and_the_next_request_is_fine() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    for (path, status, code) in [
        ("raise", 502, "FunctionError"),
        ("memory", 502, "FunctionOutOfMemory"),
        ("timeout", 504, "FunctionTimeout"),
        ("exit", 502, "FunctionExited"),
        ("kill", 502, "FunctionKilled"),
        ("oom", 502, "FunctionOutOfMemory"),
        ("toolarge", 502, "ResponseTooLarge"),
        ("fault", 502, "FunctionFault"),
        ("overload", 429, "Overloaded"),
        ("notready", 503, "FunctionNotReady"),
        ("requesttoolarge", 413, "RequestTooLarge"),
        ("platform", 500, "Platform"),
        ("shutdown", 503, "ShuttingDown"),
    ] {
        let answer = connection.call("GET", &format!("/function/hello/{path}"), &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert_eq!(!answer.field("retry-after").is_empty(), status == 429 || status == 503, "{code}");
        let series = format!("spore_invocations_total{{function=\"hello\",status=\"{status}\"}}");
        assert!(gateway.metric(&series).await > 0.0);
        assert_eq!(connection.call("GET", "/function/hello", &[], b"").await.status, 200);
    }
    let raised = connection.call("GET", "/function/hello/raise", &[], b"").await.json();
    assert_eq!(raised["error"]["error_type"], json!("ValueError"));
    assert_eq!(raised["error"]["message"], json!("no good"));
    assert_eq!(connection.call("GET", "/function/hello/overload", &[], b"").await.field("retry-after"), "3");
}

#[tokio::test]
async fn whatever_a_handler_says_is_mapped_or_refused() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    for said in [
        "",
        "nonsense",
        "[]",
        r#"{"result":{"statusCode":42}}"#,
        r#"{"result":{"statusCode":200,"body":{}}}"#,
    ] {
        let said = if said.is_empty() { " " } else { said };
        let answer = connection.call("POST", "/function/hello/say", &[], said.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "InvalidResponse"), "{said}");
        assert_eq!(answer.timing("run"), Some(1.5), "the fork did run");
    }
    let plain = connection.call("POST", "/function/hello/say", &[], br#"{"result":[1]}"#).await;
    assert_eq!((plain.text().as_str(), plain.field("content-type")), ("[1]", "application/json"));
    let empty = connection
        .call("POST", "/function/hello/say", &[], br#"{"result":{"statusCode":204,"body":"x"}}"#)
        .await;
    assert_eq!((empty.status, empty.body.len()), (204, 0));
    assert_eq!(connection.call("GET", "/function/hello", &[], b"").await.status, 200);
}

#[tokio::test]
async fn unknown_functions_and_impossible_names_are_not_found() {
    let gateway = Harness::with_hello().await;
    for path in
        ["/function/nobody", "/function/", "/function/HELLO", "/function/hell%6f", "/function/..%2fx/y"]
    {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "FunctionNotFound"), "{path}");
    }
    for path in ["/functions", "/function", "/nothing", "/v1/nothing"] {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "RouteNotFound"), "{path}");
    }
    assert_eq!(gateway.metric("spore_requests_rejected_total{code=\"FunctionNotFound\"}").await, 5.0);
    let text = gateway.get("/metrics").await.text();
    assert!(!text.contains("nobody"), "clients cannot make labels");
}

#[tokio::test]
async fn any_method_reaches_the_function() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        assert_eq!(connection.call(method, "/function/hello", &[], b"").await.text(), format!("{method} /"));
    }
    let head = connection.call("HEAD", "/function/hello", &[], b"").await;
    assert_eq!((head.status, head.field("content-length")), (200, "6"));
    assert_eq!(connection.call("GET", "/function/hello", &[], b"").await.text(), "GET /");
}

#[tokio::test]
async fn an_http_server_is_given_the_request() {
    let gateway = Harness::start().await;
    assert_eq!(gateway.deploy_native("web").await.status, 201);
    let fields =
        [("x-request-id", "r-1"), ("connection", "keep-alive, x-hop"), ("x-hop", "1"), ("accept", "a")];
    let answer = gateway.call("POST", "/function/web/p?q=1", &fields, b"body").await;
    assert_eq!((answer.status, answer.field("x-server")), (201, "test"));
    assert_eq!(answer.field("connection"), "", "what concerns the inner connection stays inside");
    let expected = "POST /p?q=1 HTTP/1.1\r\nhost: spore.test\r\naccept: a\r\ncontent-length: 4\r\n\
        x-forwarded-for: 127.0.0.1\r\nx-forwarded-host: spore.test\r\nx-forwarded-proto: http\r\n\
        forwarded: for=127.0.0.1;host=\"spore.test\";proto=http\r\nx-request-id: r-1\r\n\r\nbody";
    assert_eq!(answer.text(), expected);
    let head = gateway.call("HEAD", "/function/web/", &[], b"").await;
    assert_eq!((head.status, head.field("content-length")), (200, "1234"));
    for path in ["garbage", "short", "empty"] {
        let answer = gateway.get(&format!("/function/web/{path}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "InvalidResponse"), "{path}");
    }
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_taken_and_larger_ones_refused() {
    let gateway = Harness::with_hello().await;
    let limit = usize::try_from(gateway::BODY_MAX_BYTES).unwrap();
    let mut connection = gateway.connect().await;
    let body = vec![b'x'; limit];
    assert_eq!(connection.call("POST", "/function/hello/size", &[], &body).await.text(), limit.to_string());
    let larger = vec![b'x'; limit + 1];
    let answer = connection.call("POST", "/function/hello/size", &[], &larger).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "RequestTooLarge"));
    let mut chunked =
        b"POST /function/hello/size HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in larger.chunks(1 << 16) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let mut connection = gateway.connect().await;
    connection.send(&chunked).await;
    assert_eq!(connection.response("POST").await.code(), "RequestTooLarge");
    // JSON escapes make the document larger than the body: each of these bytes becomes six.
    let control = vec![1u8; limit / 2];
    let answer = gateway.call("POST", "/function/hello/size", &[], &control).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "RequestTooLarge"));
    assert_eq!(gateway.get("/function/hello").await.status, 200);
}

#[tokio::test]
async fn a_body_of_a_server_is_given_to_it_as_it_comes() {
    let gateway = Harness::with(|config| config.stream_max_bytes = 1_000_000).await;
    assert_eq!(gateway.deploy_native("web").await.status, 201);
    let mut connection = gateway.connect().await;
    let large = vec![b'x'; 1_000_000];
    let answer = connection.call("POST", "/function/web/", &[], &large).await;
    assert!(answer.text().contains("content-length: 1000000\r\n") && answer.body.ends_with(&large));
    let chunked = |rest: &str| {
        format!("POST /function/web/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{rest}")
    };
    let long = "x".repeat(300_000);
    let body = format!("3;a=b\r\nabc\r\n493e0\r\n{long}\r\n002\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n");
    connection.send(chunked(&body).as_bytes()).await;
    let text = connection.response("POST").await.text();
    assert!(
        text.contains("transfer-encoding: chunked\r\n") && text.ends_with("de\r\n0\r\n\r\n"),
        "{}",
        text.len()
    );
    assert_eq!(gateway.metric("spore_streamed_body_bytes_total").await, 1_300_005.0);
    connection.send(chunked("zz\r\n").as_bytes()).await;
    assert_eq!(connection.response("POST").await.status, 400);
    let answer = gateway.call("POST", "/function/web/", &[], &vec![b'x'; 1_000_001]).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "RequestTooLarge"));
    let mut connection = gateway.connect().await;
    let body = "x".repeat(1_000_001);
    connection.send(chunked(&format!("f4241\r\n{body}\r\n0\r\n\r\n")).as_bytes()).await;
    assert_eq!(connection.response("POST").await.code(), "RequestTooLarge");
}

#[tokio::test]
async fn expect_continue_is_honoured() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    let head = |length: u64| {
        format!(
            "POST /function/hello/size HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    connection.send(head(5).as_bytes()).await;
    assert_eq!(connection.response("POST").await.status, 100);
    connection.send(b"hello").await;
    assert_eq!(connection.response("POST").await.text(), "5");
    connection.send(head(gateway::BODY_MAX_BYTES + 1).as_bytes()).await;
    assert_eq!(connection.response("POST").await.code(), "RequestTooLarge");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    let paths: Vec<String> = (0..20).map(|n| format!("/function/hello/{n}")).collect();
    let bytes: Vec<u8> = paths.iter().flat_map(|path| request("POST", path, &[], b"x")).collect();
    connection.send(&bytes).await;
    for n in 0..20 {
        assert_eq!(connection.response("POST").await.text(), format!("POST /{n}"));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_invocation() {
    let gateway = Harness::with_hello().await;
    let mut connection = gateway.connect().await;
    connection.send(&request("POST", "/function/hello/hang", &[], b"body")).await;
    soon(gateway.backend.hanging.acquire()).await.unwrap().forget();
    drop(connection);
    soon(gateway.backend.dropped.acquire()).await.unwrap().forget();
    assert_eq!(gateway.metric("spore_client_disconnects_total").await, 1.0);
    assert_eq!(gateway.metric("spore_requests_in_flight").await, 0.0);
    assert_eq!(gateway.get("/function/hello").await.status, 200);
}

#[tokio::test]
async fn requests_over_the_limit_are_refused_and_counted() {
    let gateway = Harness::with(|config| config.in_flight_max = 1).await;
    gateway.deploy("hello", json!({})).await;
    let mut first = gateway.connect().await;
    first.send(&request("GET", "/function/hello/hang", &[], b"")).await;
    soon(gateway.backend.hanging.acquire()).await.unwrap().forget();
    assert_eq!(gateway.metric("spore_requests_in_flight").await, 1.0);
    let second = gateway.get("/function/hello").await;
    assert_eq!(
        (second.status, second.code().as_str(), second.field("retry-after")),
        (429, "Overloaded", "1")
    );
    assert_eq!(gateway.metric("spore_requests_rejected_total{code=\"Overloaded\"}").await, 1.0);
    gateway.backend.release.add_permits(1);
    assert_eq!(first.response("GET").await.json(), json!("released"));
    assert_eq!(gateway.get("/function/hello").await.status, 200);
}

#[tokio::test]
async fn a_stopping_gateway_finishes_what_runs() {
    let mut gateway = Harness::with_hello().await;
    let mut running = gateway.connect().await;
    let mut idle = gateway.connect().await;
    assert_eq!(idle.call("GET", "/function/hello", &[], b"").await.status, 200);
    running.send(&request("GET", "/function/hello/hang", &[], b"")).await;
    soon(gateway.backend.hanging.acquire()).await.unwrap().forget();
    gateway.stop();
    assert!(idle.ends().await, "idle connections are closed at once");
    gateway.backend.release.add_permits(1);
    assert_eq!(running.response("GET").await.json(), json!("released"));
    assert!(running.ends().await);
    let backend = gateway.backend.clone();
    gateway.stopped().await;
    assert_eq!(backend.shutdowns.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_program_of_the_runtime_api_is_given_the_event_and_what_it_posts_is_mapped() {
    let gateway = Harness::start().await;
    let config = json!({"runtime": "provided.al2023"});
    assert_eq!(gateway.upload("posts", &config, &native()).await.status, 201);
    let described = gateway.get("/v1/functions/posts").await.json();
    assert_eq!((&described["runtime"], &described["contract"]), (&json!("provided"), &json!("runtime-api")));
    let event = gateway.call("POST", "/function/posts/a?b=1", &[], b"text").await.json();
    assert_eq!((&event["rawPath"], &event["body"]), (&json!("/a"), &json!("text")));
    let raised = gateway.get("/function/posts/raise").await;
    assert_eq!((raised.status, raised.json()["error"]["error_type"].clone()), (502, json!("ValueError")));
}
