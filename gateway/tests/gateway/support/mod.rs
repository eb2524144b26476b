//! A gateway on a real socket, in front of a backend that runs inside the test.

pub(crate) mod backend;
mod bodies;
pub(crate) mod client;
pub(crate) mod package;
mod streams;

use self::backend::TestBackend;
use self::client::{Connection, Response};
use gateway::{Gateway, GatewayConfig, Handle};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A running gateway.
pub(crate) struct Harness {
    pub(crate) backend: Arc<TestBackend>,
    pub(crate) handle: Handle,
    pub(crate) data: Arc<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

pub(crate) fn config(data: &Path) -> GatewayConfig {
    GatewayConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), data.to_owned())
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap()), Arc::new(TestBackend::default()), change).await
    }

    /// On an existing data directory.
    pub(crate) async fn on(
        data: Arc<TempDir>,
        backend: Arc<TestBackend>,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        let mut config = config(data.path());
        change(&mut config);
        let gateway = Gateway::bind(config, backend.clone()).await.unwrap();
        let handle = gateway.handle();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async move {
            let _ended = stopped.await;
        }));
        Self { backend, handle, data, stop: Some(stop), running }
    }

    /// Asks it to stop; it drains.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops it and waits for the end.
    pub(crate) async fn stopped(mut self) -> Arc<TempDir> {
        self.stop();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
        let data = Arc::clone(&self.data);
        drop((self.backend, self.handle));
        data
    }

    /// Stops it and starts another with the same functions: what would keep a slow machine from deploying them may be
    /// changed.
    pub(crate) async fn again_with(self, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let again = Self::on(self.stopped().await, Arc::new(TestBackend::default()), change).await;
        soon(again.handle.ready()).await;
        again
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.handle.address()).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.connect().await.call(method, path, fields, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call("GET", path, &[], b"").await
    }

    /// Deploys a Python handler.
    pub(crate) async fn deploy(&self, name: &str, config: serde_json::Value) -> Response {
        self.upload(name, &config, &package::python()).await
    }

    /// Deploys a native program.
    pub(crate) async fn deploy_native(&self, name: &str) -> Response {
        self.upload(name, &serde_json::json!({}), &package::native()).await
    }

    pub(crate) async fn upload(&self, name: &str, config: &serde_json::Value, package: &[u8]) -> Response {
        let (kind, body) = package::form(&config.to_string(), package);
        self.call("PUT", &format!("/v1/functions/{name}"), &[("content-type", &kind)], &body).await
    }

    /// A gateway with the handler `hello`.
    pub(crate) async fn with_hello() -> Self {
        let harness = Self::start().await;
        assert_eq!(harness.deploy("hello", serde_json::json!({})).await.status, 201);
        harness
    }

    /// The value of a metric with these labels as they are printed, 0 if it is not there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        let line =
            text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// Waits for something another task does.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not happen in time")
}
