//! What all requests share, and what happens to stored functions at a start.

use crate::api::FunctionSummary;
use crate::backend::Backend;
use crate::config::{GatewayConfig, ServeError};
use crate::metrics::Metrics;
use crate::routes::{Live, Route, RouteState, Routes};
use crate::store::lock::{DataLock, LockError};
use crate::store::packages::Packages;
use crate::store::redb::RedbStore;
use crate::store::{Loaded, Record, Store};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use worker::api::Timing;

/// The state of a gateway.
pub(crate) struct App {
    pub config: GatewayConfig,
    pub backend: Arc<dyn Backend>,
    pub routes: Routes,
    pub store: Arc<dyn Store>,
    pub packages: Packages,
    pub metrics: Metrics,
    /// Places for requests to functions.
    pub places: Semaphore,
    /// Places for deploys that are being built.
    pub deploys: Semaphore,
    /// Cancelled when the gateway stops.
    pub stopping: CancellationToken,
    /// Names with a deploy or removal under way.
    changing: Mutex<HashSet<String>>,
    /// Stored functions whose rebuild has not ended.
    rebuilding: watch::Sender<usize>,
    _lock: DataLock,
}

impl App {
    /// Opens the data directory and puts every stored function into the routing table, still building.
    pub(crate) fn open(config: GatewayConfig, backend: Arc<dyn Backend>) -> Result<Self, ServeError> {
        let data = config.data.clone();
        let in_data = |source| ServeError::Data { path: data.clone(), source };
        std::fs::create_dir_all(&data).map_err(in_data)?;
        let lock = DataLock::take(&data).map_err(|error| match error {
            LockError::Held(holder) => ServeError::InUse { path: data.clone(), holder },
            LockError::Io(source) => in_data(source),
        })?;
        let packages = Packages::open(data.join("packages")).map_err(in_data)?;
        let path = data.join("spore.redb");
        let (store, loaded) = open_store(&path).map_err(|source| ServeError::Store { path, source })?;
        let app = Self {
            places: Semaphore::new(config.in_flight_max),
            deploys: Semaphore::new(config.deploys_max),
            config,
            backend,
            routes: Routes::default(),
            store,
            packages,
            metrics: Metrics::new(),
            stopping: CancellationToken::new(),
            changing: Mutex::default(),
            rebuilding: watch::Sender::new(0),
            _lock: lock,
        };
        app.register(loaded);
        Ok(app)
    }

    fn register(&self, loaded: Vec<Loaded>) {
        for (name, record) in loaded {
            let metrics = self.metrics.function(&name);
            let route = match record {
                Ok(record) => Route::new(name, Some(record), metrics, RouteState::Building),
                Err(reason) => {
                    tracing::error!(function = name, reason, "stored function cannot be used");
                    Route::new(name, None, metrics, RouteState::Failed(reason))
                }
            };
            self.routes.put(Arc::new(route));
        }
        self.collect_packages();
    }

    /// Rebuilds stored functions in the background, a few at a time.
    pub(crate) fn rebuild(self: &Arc<Self>) {
        let building: Vec<_> = self
            .routes
            .all()
            .into_iter()
            .filter(|route| matches!(route.state(), RouteState::Building))
            .collect();
        self.rebuilding.send_replace(building.len());
        let turns = Arc::new(Semaphore::new(self.config.rebuilds_max));
        for route in building {
            let (app, turns) = (Arc::clone(self), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire_owned().await.expect("the semaphore is never closed");
                let outcome = app.rebuild_one(&route).await;
                if let Err(reason) = &outcome {
                    tracing::error!(function = route.name, reason, "stored function was not rebuilt");
                }
                route.built(outcome);
                app.rebuilding.send_modify(|left| *left -= 1);
            });
        }
    }

    async fn rebuild_one(&self, route: &Route) -> Result<Live, String> {
        let record = route.record.as_ref().ok_or("it has no record")?;
        let (packages, sha256) = (self.packages.clone(), record.package_sha256.clone());
        let package = tokio::task::spawn_blocking(move || packages.verified(&sha256))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{error}; deploy it again"))?;
        let spec = record.spec(package.path());
        let function = self.backend.resume(spec).await.map_err(|error| error.to_string())?;
        Ok(Live { function, _package: package })
    }

    /// Counts the answer to a request that reached a function.
    pub(crate) fn answered(
        &self,
        route: &Route,
        status: http::StatusCode,
        total: Duration,
        timing: Option<&Timing>,
    ) {
        // A function that was removed meanwhile must not come back as a label.
        if self.routes.get(&route.name).is_some() {
            self.metrics.answered(&route.name, status);
        }
        route.metrics.observe(total, timing);
    }

    /// Returns when every stored function is rebuilt or has failed.
    pub(crate) async fn rebuilt(&self) {
        let mut left = self.rebuilding.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _closed = left.wait_for(|left| *left == 0).await;
    }

    /// Removes packages that no function refers to. Blocks. A record that cannot be read may refer to any.
    pub(crate) fn collect_packages(&self) {
        let digest = |route: &Arc<Route>| route.record.as_ref().map(|record| record.package_sha256.clone());
        if let Some(keep) = self.routes.all().iter().map(digest).collect::<Option<HashSet<_>>>() {
            self.packages.collect(&keep);
        }
    }

    /// Removes snapshots that no function refers to, under the same condition.
    pub(crate) async fn collect_snapshots(&self) {
        let spec = |route: &Arc<Route>| {
            let record = route.record.as_ref()?;
            // The package is only named, not opened.
            Some(record.spec(PathBuf::new()))
        };
        let Some(deployed) = self.routes.all().iter().map(spec).collect::<Option<Vec<_>>>() else { return };
        if let Err(error) = self.backend.collect(deployed).await {
            tracing::warn!(%error, "old snapshots were not removed");
        }
    }

    /// Reserves `name` for one deploy or removal; none if another is under way.
    pub(crate) fn change(self: &Arc<Self>, name: &str) -> Option<Change> {
        let new = self.changing().insert(name.to_owned());
        new.then(|| Change { app: Arc::clone(self), name: name.to_owned() })
    }

    fn changing(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.changing.lock().expect("no code panics while it holds the set")
    }
}

fn open_store(path: &Path) -> Result<(Arc<dyn Store>, Vec<Loaded>), crate::store::StoreError> {
    let store = RedbStore::open(path)?;
    let loaded = store.load()?;
    Ok((Arc::new(store), loaded))
}

/// The right to change one function.
pub(crate) struct Change {
    app: Arc<App>,
    name: String,
}

impl Drop for Change {
    fn drop(&mut self) {
        self.app.changing().remove(&self.name);
    }
}

/// The summary of a route.
pub(crate) fn summary(route: &Route) -> FunctionSummary {
    let (state, reason) = match route.state() {
        RouteState::Building => ("building", String::new()),
        RouteState::Ready(_) => ("ready", String::new()),
        RouteState::Failed(reason) => ("failed", reason),
    };
    let text = |field: fn(&Record) -> &String| route.record.as_ref().map(field).cloned().unwrap_or_default();
    FunctionSummary {
        name: route.name.clone(),
        path: format!("/function/{}", route.name),
        runtime: text(|record| &record.runtime),
        revision: text(|record| &record.revision),
        state: state.to_owned(),
        reason,
        deployed_at: text(|record| &record.deployed_at),
    }
}
