//! Deploying and removing functions.
//!
//! ```text
//! upload -> image -> plan -> parent -> record on disk -> route switched -> old revision fades out
//! ```
//!
//! Until the record is on disk nothing of the new revision is visible: the old one keeps answering, and a
//! failure or a crash leaves it as it was.

use crate::app::{App, Change};
use crate::control::Upload;
use crate::error::Failure;
use crate::routes::{Live, Route, RouteState};
use crate::settings::Settings;
use crate::store::packages::{Packages, Pinned};
use crate::store::{Record, StoreError};
use runtimes::detect::{DetectError, detect};
use runtimes::launch::{PlanError, Wanted, plan};
use runtimes::package::{PackageError, build_package};
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use tempfile::NamedTempFile;
use worker::api::PrepareError;

/// Deploys `upload` as `name`. Whether the function is new comes with its route.
///
/// Once begun it runs to its end, whether or not the client stays.
pub(crate) async fn deploy(
    app: &Arc<App>,
    name: String,
    upload: Upload,
) -> Result<(Arc<Route>, bool), Failure> {
    if app.stopping.is_cancelled() {
        return Err(Failure::ShuttingDown);
    }
    let settings = Settings::try_from(upload.config)?;
    let change = app.change(&name).ok_or_else(|| Failure::DeployInProgress(name.clone()))?;
    let app = Arc::clone(app);
    let running = tokio::spawn(async move { run(&app, change, name, settings, upload.package).await });
    running.await.map_err(|error| Failure::Platform(format!("the deploy was broken off: {error}")))?
}

async fn run(
    app: &Arc<App>,
    change: Change,
    name: String,
    settings: Settings,
    tar: NamedTempFile,
) -> Result<(Arc<Route>, bool), Failure> {
    let _place = app.deploys.acquire().await.expect("the semaphore is never closed");
    let packages = app.packages.clone();
    let planned = name.clone();
    let (record, package) = blocking(move || make_record(&packages, planned, settings, tar)).await??;
    let outcome = start(app, record, package).await;
    if outcome.is_err() && app.routes.get(&name).is_none() {
        // Nothing of a function that never was.
        app.backend.forget(&name);
    }
    let collector = Arc::clone(app);
    blocking(move || collector.collect_packages()).await?;
    app.collect_snapshots().await;
    drop(change);
    outcome
}

/// Builds the parent, then commits: disk first, routing table second.
async fn start(app: &Arc<App>, record: Record, package: Pinned) -> Result<(Arc<Route>, bool), Failure> {
    let function = app.backend.prepare(record.spec(package.path())).await?;
    let (store, stored) = (Arc::clone(&app.store), record.clone());
    blocking(move || store.put(&stored)).await??;
    let metrics = app.metrics.function(&record.name);
    let live = Arc::new(Live { function, _package: package });
    let old = app.routes.get(&record.name);
    let route = Route::new(record.name.clone(), Some(record), metrics, RouteState::Ready(live));
    let route = Arc::new(route.replacing(old.as_deref()));
    let old = app.routes.put(Arc::clone(&route));
    Ok((route, old.is_none()))
}

/// Removes a function: disk first, routing table second. Running requests finish.
pub(crate) async fn remove(app: &Arc<App>, name: String) -> Result<(), Failure> {
    let change = app.change(&name).ok_or_else(|| Failure::DeployInProgress(name.clone()))?;
    let app = Arc::clone(app);
    let running = tokio::spawn(async move {
        let (store, stored) = (Arc::clone(&app.store), name.clone());
        let existed = blocking(move || store.remove(&stored)).await??;
        let route = app.routes.remove(&name);
        app.backend.forget(&name);
        app.metrics.forget(&name);
        let found = existed || route.is_some();
        drop(route);
        let collector = Arc::clone(&app);
        blocking(move || collector.collect_packages()).await?;
        app.collect_snapshots().await;
        drop(change);
        if found { Ok(()) } else { Err(Failure::FunctionNotFound(name)) }
    });
    running.await.map_err(|error| Failure::Platform(format!("the removal was broken off: {error}")))?
}

/// From the uploaded tar to a stored image and a record that says how to start it.
fn make_record(
    packages: &Packages,
    name: String,
    settings: Settings,
    tar: NamedTempFile,
) -> Result<(Record, Pinned), Failure> {
    let failed = |error: std::io::Error| Failure::Platform(format!("cannot store the package: {error}"));
    let staging = packages.staging().map_err(failed)?;
    let image = staging.path().join("image");
    let reader = BufReader::with_capacity(1 << 20, File::open(tar.path()).map_err(failed)?);
    let package = build_package(reader, &image)?;
    drop(tar);
    let guess = detect(&package.view, settings.runtime.as_deref(), settings.handler.as_deref())?;
    let default = || runtimes::launch::default_memory(&guess.runtime);
    let memory_bytes = settings.memory_bytes.unwrap_or_else(default);
    let launch = plan(&Wanted {
        name: &name,
        runtime: &guess.runtime,
        handler: &guess.handler,
        package: &package.view,
        port: settings.port,
        memory_bytes,
        env: &settings.env,
    })?;
    let pinned = packages.adopt(&image, &package.sha256).map_err(failed)?;
    let record = Record {
        version: Record::VERSION,
        name,
        revision: uuid::Uuid::new_v4().simple().to_string()[..12].to_owned(),
        runtime: guess.runtime,
        contract: worker::api::Contract::of(launch.contract)
            .ok_or_else(|| Failure::Platform("a program without requests is no function".to_owned()))?,
        handler: guess.handler,
        command: launch.command,
        env: launch.env,
        user_env: settings.env.into_keys().collect(),
        port: launch.port,
        memory_bytes,
        timeout_ms: u64::try_from(settings.timeout.as_millis()).expect("a timeout is 15 minutes at most"),
        max_concurrency: settings.max_concurrency,
        package_sha256: package.sha256,
        deployed_at: jiff::Timestamp::now().to_string(),
    };
    Ok((record, pinned))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::Platform(format!("a task was broken off: {error}")))
}

fn refused(reason: impl ToString) -> Failure {
    Failure::DeployRefused { reason: reason.to_string(), output: String::new() }
}

const RUNTIMES_HINT: &str = "Choose a runtime with --runtime, or leave it out to have it guessed.";

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        if error.is_packages_fault() { refused(error) } else { Self::Platform(error.to_string()) }
    }
}

impl From<DetectError> for Failure {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::UnknownRuntime { .. } => Self::parameter(error.to_string(), RUNTIMES_HINT),
            DetectError::Nothing { .. } | DetectError::Ambiguous { .. } | DetectError::NoHandler { .. } => {
                refused(error)
            }
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::UnknownRuntime { .. } => Self::parameter(error.to_string(), RUNTIMES_HINT),
            PlanError::BadHandler { .. } => {
                Self::parameter(error.to_string(), "Choose another with --handler.")
            }
            PlanError::LittleMemory { .. } => {
                Self::parameter(error.to_string(), "Choose more with --memory, or leave it out.")
            }
            PlanError::BadVariable { .. } | PlanError::TooLong { .. } => {
                Self::parameter(error.to_string(), "Change the environment with --env.")
            }
            PlanError::NoModule { .. }
            | PlanError::NoProgram { .. }
            | PlanError::NoScript { .. }
            | PlanError::NotAProgram { .. }
            | PlanError::ForeignMachine { .. }
            | PlanError::Damaged { .. }
            | PlanError::NoLoader { .. } => refused(error),
        }
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Function { reason, output } => Self::DeployRefused { reason, output },
            PrepareError::Invalid(reason) => Self::parameter(reason, "Change the deploy's settings."),
            PrepareError::Platform(reason) => Self::Platform(reason),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Platform(error.to_string())
    }
}
