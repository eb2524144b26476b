//! The rest of the control plane.

use crate::support::client::Connection;
use crate::support::{Harness, PATIENCE};
use serde_json::{Value, json};

#[tokio::test]
async fn functions_and_vms_are_listed_in_order() {
    let gateway = Harness::start().await;
    for name in ["zeta", "alpha"] {
        gateway.deploy(name, json!({})).await;
    }
    let list = gateway.get("/v1/functions").await.json();
    let names: Vec<_> =
        list["functions"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alpha", "zeta"]);
    let vms = gateway.get("/v1/vms").await.json();
    let ids: Vec<_> = vms["vms"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a-1-0", "a-1-1", "b-1-0"]);
}

#[tokio::test]
async fn operational_endpoints_answer() {
    let gateway = Harness::with_hello().await;
    assert_eq!(gateway.get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(
        gateway.get("/readyz").await.json(),
        json!({"ready": true, "stopping": false, "building": [], "failed": []})
    );
    let version = gateway.get("/version").await.json();
    assert_eq!(version["version"], json!(env!("CARGO_PKG_VERSION")));
    assert!(gateway.get("/").await.text().contains("/openapi.json"));
    let document = gateway.get("/openapi.json").await;
    assert_eq!(document.field("content-type"), "application/json");
    assert_eq!(document.json()["openapi"], json!("3.1.0"));
    assert!(gateway.get("/healthz").await.timing("total").is_some());
}

#[tokio::test]
async fn every_described_route_exists() {
    let gateway = Harness::with_hello().await;
    let document = gateway.get("/openapi.json").await.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in
            operations.as_object().unwrap().keys().filter(|key| *key != "parameters" && *key != "delete")
        {
            let path = path.replace("{name}", "hello");
            let answer = gateway.call(&method.to_uppercase(), &path, &[], b"").await;
            assert!(!matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn wrong_methods_get_405_and_say_what_is_allowed() {
    let gateway = Harness::with_hello().await;
    for (method, path, allow) in [
        ("POST", "/healthz", "GET"),
        ("DELETE", "/v1/functions", "GET"),
        ("POST", "/v1/functions/hello", "PUT"),
    ] {
        let answer = gateway.call(method, path, &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "MethodNotAllowed"), "{method} {path}");
        assert!(answer.field("allow").contains(allow), "{:?}", answer.all("allow"));
    }
}

#[tokio::test]
async fn logs_are_read_and_followed() {
    let gateway = Harness::with_hello().await;
    for n in 1..=3 {
        gateway.backend.log("hello", &format!("line {n}"));
    }
    let lines = |text: String| {
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].take())
            .collect::<Vec<_>>()
    };
    let tail = gateway.get("/v1/functions/hello/logs?tail=2").await;
    assert_eq!(tail.field("content-type"), "application/x-ndjson");
    assert_eq!(lines(tail.text()), [json!("line 2"), json!("line 3")]);
    assert_eq!(lines(gateway.get("/v1/functions/hello/logs").await.text()).len(), 4);
    let mut follower = gateway.connect().await;
    follower.send(b"GET /v1/functions/hello/logs?follow=true&tail=1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut next = follower_lines(&mut follower).await;
    assert_eq!(next.pop(), Some(json!("line 3")));
    gateway.backend.log("hello", "line 4");
    let chunk = tokio::time::timeout(PATIENCE, follower.chunk()).await.unwrap().unwrap();
    assert_eq!(lines(String::from_utf8(chunk).unwrap()), [json!("line 4")]);
    gateway.call("DELETE", "/v1/functions/hello", &[], b"").await;
    assert_eq!(
        tokio::time::timeout(PATIENCE, follower.chunk()).await.unwrap(),
        None,
        "it ends with the function"
    );
}

/// Head and first chunk of a followed log.
async fn follower_lines(follower: &mut Connection) -> Vec<Value> {
    let head = follower.response("HEAD").await;
    assert_eq!((head.status, head.field("transfer-encoding")), (200, "chunked"));
    let chunk = tokio::time::timeout(PATIENCE, follower.chunk()).await.unwrap().unwrap();
    let text = String::from_utf8(chunk).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].take()).collect()
}

#[tokio::test]
async fn following_logs_does_not_delay_the_end() {
    let gateway = Harness::with_hello().await;
    let mut follower = gateway.connect().await;
    follower.send(b"GET /v1/functions/hello/logs?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(follower_lines(&mut follower).await, [json!("booting")]);
    gateway.stopped().await;
    assert_eq!(follower.chunk().await, None);
}

#[tokio::test]
async fn bad_log_parameters_are_refused() {
    let gateway = Harness::with_hello().await;
    for query in ["follow=maybe", "tail=-1", "tail=x", "nonsense=1"] {
        let answer = gateway.get(&format!("/v1/functions/hello/logs?{query}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidParameter"), "{query}");
    }
    assert_eq!(gateway.get("/v1/functions/nobody/logs").await.code(), "FunctionNotFound");
    assert_eq!(gateway.get("/v1/functions/nobody").await.code(), "FunctionNotFound");
}

#[tokio::test]
async fn metrics_have_what_the_backend_knows() {
    let gateway = Harness::with_hello().await;
    for _ in 0..3 {
        gateway.get("/function/hello").await;
    }
    for (series, value) in [
        ("spore_invocations_total{function=\"hello\",status=\"200\"}", 3.0),
        ("spore_invocation_duration_seconds_count{function=\"hello\"}", 3.0),
        ("spore_queue_duration_seconds_count{function=\"hello\"}", 3.0),
        ("spore_fork_duration_seconds_count{function=\"hello\"}", 3.0),
        ("spore_run_duration_seconds_bucket{function=\"hello\",le=\"0.0025\"}", 3.0),
        ("spore_run_duration_seconds_bucket{function=\"hello\",le=\"0.001\"}", 0.0),
        ("spore_parent_boots_total{function=\"hello\"}", 1.0),
        ("spore_forks_total{function=\"hello\",start=\"recycled\"}", 0.0),
        ("spore_shells{function=\"hello\"}", 3.0),
        ("spore_log_dropped_bytes_total{function=\"hello\"}", 7.0),
        ("spore_unsupported_syscalls_total{function=\"hello\",syscall=\"bpf\"}", 2.0),
        ("spore_requests_in_flight", 0.0),
        ("spore_vms", 3.0),
        ("spore_vms_max", 10.0),
        ("spore_memory_short", 1.0),
        ("spore_snapshot_bytes", 4096.0),
    ] {
        assert_eq!(gateway.metric(series).await, value, "{series}");
    }
    let text = gateway.get("/metrics").await.text();
    assert!(text.contains("# TYPE process_cpu_seconds_total counter"));
    assert!(text.contains("spore_build_info{version="));
    assert!(text.contains("# TYPE spore_parent_boots_total counter"));
}
