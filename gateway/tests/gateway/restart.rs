//! What outlives a gateway, and what a damaged data directory does.

use crate::support::backend::TestBackend;
use crate::support::client::{Connection, request};
use crate::support::{Harness, config, package, soon};
use gateway::{Gateway, ServeError};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

async fn again(data: Arc<TempDir>) -> Harness {
    Harness::on(data, Arc::new(TestBackend::default()), |_| {}).await
}

fn packages(data: &TempDir) -> Vec<PathBuf> {
    std::fs::read_dir(data.path().join("packages")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn functions_outlive_a_restart() {
    let first = Harness::with_hello().await;
    first.deploy("other", json!({"memory": "64MiB", "env": {"A": "1"}})).await;
    first.deploy_native("gone").await;
    first.call("DELETE", "/v1/functions/gone", &[], b"").await;
    let before = first.get("/v1/functions").await.json();
    let second = again(first.stopped().await).await;
    soon(second.handle.ready()).await;
    assert_eq!(second.get("/v1/functions").await.json(), before, "revisions and dates are the same");
    assert_eq!(second.get("/function/hello").await.status, 200);
    assert_eq!(second.get("/function/other").await.status, 200);
    assert_eq!(second.get("/function/gone").await.status, 404);
    let specs = second.backend.specs.lock().unwrap();
    let other = specs.iter().find(|spec| spec.name == "other").unwrap();
    assert_eq!((other.memory_bytes, other.env["A"].as_str()), (64 << 20, "1"));
}

#[tokio::test]
async fn requests_wait_for_a_function_that_is_being_rebuilt() {
    let first = Harness::start().await;
    first.backend.gate.add_permits(1);
    first.deploy("slow", json!({"env": {"GATE": "1"}})).await;
    first.deploy("hello", json!({})).await;
    let second = again(first.stopped().await).await;
    let mut waiting = second.connect().await;
    waiting.send(&request("GET", "/function/slow", &[], b"")).await;
    soon(second.backend.at_gate.acquire()).await.unwrap().forget();
    soon(async { while second.get("/function/hello").await.status != 200 {} }).await;
    let ready = second.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["building"]), (503, &json!(["slow"])));
    assert_eq!(second.get("/v1/functions/slow").await.json()["state"], json!("building"));
    second.backend.gate.add_permits(1);
    let answer = waiting.response("GET").await;
    assert_eq!(answer.status, 200);
    soon(second.handle.ready()).await;
    assert_eq!(second.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn waiting_for_a_rebuild_has_an_end() {
    let first = Harness::start().await;
    first.backend.gate.add_permits(1);
    first.deploy("slow", json!({"env": {"GATE": "1"}})).await;
    let data = first.stopped().await;
    let backend = Arc::new(TestBackend::default());
    let second = Harness::on(data, backend, |config| config.build_patience = Duration::from_millis(50)).await;
    let answer = second.get("/function/slow").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "FunctionNotReady"));
    assert_eq!(answer.field("retry-after"), "1");
    assert!(answer.message().contains("being built"), "{}", answer.message());
}

#[tokio::test]
async fn a_function_that_cannot_be_rebuilt_says_why_and_can_be_deployed_again() {
    let first = Harness::with_hello().await;
    let hello = packages(&first.data);
    first.upload("broken", &json!({}), &package::tar(&[("app.py", b"def handler(e, c): return 2")])).await;
    first.upload("missing", &json!({}), &package::tar(&[("app.py", b"def handler(e, c): return 3")])).await;
    let sha = |name: &str, detail: serde_json::Value| {
        (name.to_owned(), detail["package_sha256"].as_str().unwrap().to_owned())
    };
    let broken = sha("broken", first.get("/v1/functions/broken").await.json()).1;
    let missing = sha("missing", first.get("/v1/functions/missing").await.json()).1;
    let data = first.stopped().await;
    let path = |sha: &str| data.path().join("packages").join(format!("{sha}.erofs"));
    let mut bytes = std::fs::read(path(&broken)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path(&broken), bytes).unwrap();
    std::fs::remove_file(path(&missing)).unwrap();
    let second = again(data).await;
    soon(second.handle.ready()).await;
    for (name, word) in [("broken", "damaged"), ("missing", "missing")] {
        let answer = second.get(&format!("/function/{name}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "FunctionNotReady"));
        assert!(answer.message().contains(word), "{}", answer.message());
        let detail = second.get(&format!("/v1/functions/{name}")).await.json();
        assert_eq!(detail["state"], json!("failed"));
    }
    let ready = second.get("/readyz").await;
    assert_eq!(ready.status, 200, "waiting would not help them");
    assert_eq!(ready.json()["failed"].as_array().unwrap().len(), 2);
    assert_eq!(second.get("/function/hello").await.status, 200, "the others are fine");
    assert!(hello[0].exists());
    assert_eq!(second.deploy("broken", json!({})).await.status, 200);
    assert_eq!(second.get("/function/broken").await.status, 200);
    assert_eq!(second.call("DELETE", "/v1/functions/missing", &[], b"").await.status, 204);
}

#[tokio::test]
async fn one_data_directory_has_one_platform() {
    let first = Harness::with_hello().await;
    let second = Gateway::bind(config(first.data.path()), first.backend.clone()).await;
    let Err(error) = second else { panic!("two platforms on one directory") };
    assert!(
        matches!(&error, ServeError::InUse { holder: Some(pid), .. } if *pid == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains("--data"), "{error}");
    assert_eq!(first.get("/function/hello").await.status, 200);
}

#[tokio::test]
async fn what_keeps_a_gateway_from_starting_is_said() {
    let first = Harness::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut taken = config(data.path());
    taken.listen = first.handle.address();
    let Err(error) = Gateway::bind(taken, first.backend.clone()).await else { panic!("bound twice") };
    assert!(matches!(error, ServeError::Listen { .. }) && error.to_string().contains("--listen"), "{error}");
    let file = data.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let Err(error) = Gateway::bind(config(&file), first.backend.clone()).await else {
        panic!("a file is no directory")
    };
    assert!(matches!(error, ServeError::Data { .. }) && error.to_string().contains("--data"), "{error}");
    let damaged = tempfile::tempdir().unwrap();
    std::fs::write(damaged.path().join("spore.redb"), vec![7u8; 8192]).unwrap();
    let Err(error) = Gateway::bind(config(damaged.path()), first.backend.clone()).await else {
        panic!("read garbage")
    };
    assert!(matches!(error, ServeError::Store { .. }) && error.to_string().contains("spore.redb"), "{error}");
}

const CHILD_DATA: &str = "SPORE_TEST_CHILD_DATA";

/// Not a test of its own: the process that [`nothing_is_lost_by_kill_9`] kills.
#[tokio::test]
#[ignore = "started by nothing_is_lost_by_kill_9"]
async fn child_process() {
    let Some(data) = std::env::var_os(CHILD_DATA) else { return };
    let gateway = Gateway::bind(config(data.as_ref()), Arc::new(TestBackend::default())).await.unwrap();
    println!("\nLISTENING {}", gateway.handle().address());
    gateway.run(std::future::pending()).await;
}

#[tokio::test]
async fn nothing_is_lost_by_kill_9() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restart::child_process", "--ignored", "--nocapture"])
        .env(CHILD_DATA, data.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().strip_prefix("LISTENING ").map(str::to_owned)).unwrap();
    let address = address.parse().unwrap();
    let put = |name: &str, config: &str| {
        let (kind, body) = package::form(config, &package::python());
        request("PUT", &format!("/v1/functions/{name}"), &[("content-type", &kind)], &body)
    };
    let mut client = Connection::open(address).await;
    client.send(&put("hello", "{}")).await;
    assert_eq!(client.response("PUT").await.status, 201);
    // A second deploy is under way, and an upload half done, when the process dies.
    client.send(&put("never", r#"{"env":{"GATE":"1"}}"#)).await;
    let mut uploading = Connection::open(address).await;
    uploading.send(&put("half", "{}")[..1500]).await;
    let mut probe = Connection::open(address).await;
    let staged = || packages(&data).iter().filter(|path| path.extension().is_none()).count();
    soon(async {
        while staged() < 1 {
            probe.call("GET", "/healthz", &[], b"").await;
        }
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let gateway = again(Arc::clone(&data)).await;
    soon(gateway.handle.ready()).await;
    assert_eq!(gateway.get("/function/hello").await.status, 200);
    assert_eq!(gateway.get("/v1/functions").await.json()["functions"].as_array().unwrap().len(), 1);
    assert_eq!(packages(&data).len(), 1, "what the interrupted deploys left is gone: {:?}", packages(&data));
}
