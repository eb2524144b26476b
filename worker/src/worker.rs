//! The worker's public face.

use crate::api::{
    FunctionSpec, FunctionStats, Invocation, InvokeError, LogLine, PrepareError, Reply, VmInfo,
};
use crate::host::cell::CellConfig;
use crate::host::fleet::{self, Fleet};
use crate::host::pressure::{self, Source};
use crate::host::spares;
use crate::host::totals::Totals;
use dashmap::DashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::broadcast;

pub use crate::host::function::Function;

/// How long running invocations may take to finish when the worker stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How often the machine's memory is looked at.
const PRESSURE_INTERVAL: Duration = Duration::from_secs(1);
/// How often idle shells are looked at.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);

/// What a worker is started with.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Program and leading arguments that start a cell: this binary with the hidden subcommand `cell`.
    pub cell_command: Vec<PathBuf>,
    /// The KVM device, `/dev/kvm`.
    pub kvm: PathBuf,
    /// Where runtime images are kept between runs.
    pub cache: PathBuf,
    /// How long a program may take until it waits for its first request.
    pub boot_timeout: Duration,
    /// Most VMs at once, of all functions; `None`: as many as this process's descriptors and the machine's memory
    /// allow.
    pub max_vms: Option<usize>,
}

/// One worker: all cells of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
    config: WorkerConfig,
    totals: DashMap<String, Arc<Totals>>,
    fleet: Arc<Fleet>,
    stopping: AtomicBool,
}

impl Worker {
    /// Checks the machine (`/dev/kvm` and what it can do) and starts an empty worker.
    pub async fn start(config: WorkerConfig) -> Result<Worker, PrepareError> {
        vmm::Kvm::open(&config.kvm).map_err(|error| PrepareError::Platform(crate::chain(&error)))?;
        let inner = Arc::new(Inner {
            fleet: Arc::new(Fleet::new(config.max_vms.unwrap_or_else(derived_max_vms))),
            config,
            totals: DashMap::new(),
            stopping: AtomicBool::new(false),
        });
        tokio::spawn(trim(Arc::downgrade(&inner)));
        tokio::spawn(relieve(Arc::downgrade(&inner.fleet), pressure::Machine));
        Ok(Worker(inner))
    }

    /// Starts a cell, builds the function's parent and returns when it can be invoked. Nothing is visible to
    /// others before: a failed build leaves nothing behind.
    pub async fn prepare(&self, spec: FunctionSpec) -> Result<Arc<Function>, PrepareError> {
        let root_image = self.root_image(spec.runtime.clone()).await?;
        let config = CellConfig {
            command: self.0.config.cell_command.clone(),
            kvm: self.0.config.kvm.clone(),
            root_image,
            boot_timeout: self.0.config.boot_timeout,
        };
        let totals = self.totals(&spec.name);
        let fleet = self.0.fleet.clone();
        let function = Arc::new(Function::build(spec, config, totals, fleet).await?);
        self.0.fleet.add(&function);
        spares::replenish(&function);
        Ok(function)
    }

    async fn root_image(&self, runtime: String) -> Result<PathBuf, PrepareError> {
        let cache = self.0.config.cache.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            runtimes::image::prepare(&runtime, &cache, &|line| tracing::info!("{line}"))
        });
        match prepared.await {
            Ok(Ok(image)) => Ok(image.path),
            Ok(Err(error)) => Err(PrepareError::Platform(crate::chain(&error))),
            Err(panic) => Err(PrepareError::Platform(format!("preparing a runtime image failed: {panic}"))),
        }
    }

    /// Answers one invocation from a fork of the function's parent. Dropping the future destroys the VM.
    pub async fn invoke(
        &self,
        function: &Arc<Function>,
        invocation: Invocation,
    ) -> Result<Reply, InvokeError> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err(InvokeError::ShuttingDown);
        }
        function.invoke(invocation).await
    }

    /// All live VMs.
    pub async fn vms(&self) -> Vec<VmInfo> {
        let mut all = Vec::new();
        for function in self.0.fleet.functions() {
            let cell = function.cell();
            let states = cell.shells.states();
            for usage in cell.usage().await {
                let Some((_, state)) = states.iter().find(|(id, _)| *id == usage.id) else { continue };
                all.push(VmInfo {
                    id: format!("{}-{}-{}", function.spec.name, cell.pid, usage.id),
                    function: function.spec.name.clone(),
                    pid: cell.pid,
                    state: if state.serving { "serving" } else { "idle" }.to_owned(),
                    age_seconds: state.created.elapsed().as_secs_f64(),
                    served: state.served,
                    memory_address: usage.address,
                    shared_bytes: usage.shared_bytes,
                    private_bytes: usage.private_bytes,
                    pss_bytes: usage.pss_bytes,
                });
            }
        }
        all
    }

    /// Totals of one function name, over all its revisions since the platform started.
    pub fn stats(&self, name: &str) -> FunctionStats {
        self.0.totals.get(name).map(|totals| totals.snapshot()).unwrap_or_default()
    }

    /// The last `tail` log lines of a function, oldest first, and a stream of what follows.
    pub fn logs(&self, name: &str, tail: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        self.totals(name).log.read(tail)
    }

    /// Forgets the logs and totals of a removed function.
    pub fn forget(&self, name: &str) {
        self.0.totals.remove(name);
    }

    /// Lets running invocations finish (10 s at most), then ends all cells.
    pub async fn shutdown(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        let functions = self.0.fleet.functions();
        let drained = async {
            for function in &functions {
                function.drain().await;
            }
        };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            tracing::warn!("some invocations did not finish in {DRAIN_MAX:?}; their VMs are destroyed");
        }
        for function in &functions {
            function.cell().close();
        }
    }

    fn totals(&self, name: &str) -> Arc<Totals> {
        self.0.totals.entry(name.to_owned()).or_default().clone()
    }
}

/// Most VMs this process and this machine can have.
fn derived_max_vms() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let memory = pressure::Machine.memory().map_or(u64::MAX, |memory| memory.total);
    fleet::max_vms(descriptors.unwrap_or(u64::MAX), memory)
}

/// Ends shells that have been idle for long and makes spares that are missing, while the worker exists.
async fn trim(inner: Weak<Inner>) {
    let mut ticks = tokio::time::interval(TRIM_INTERVAL);
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        for function in inner.fleet.functions() {
            function.cell().shells.trim();
            spares::replenish(&function);
        }
    }
}

/// Gives memory back while the machine is short of it and the worker exists.
async fn relieve(fleet: Weak<Fleet>, mut source: impl Source) {
    let mut ticks = tokio::time::interval(PRESSURE_INTERVAL);
    loop {
        ticks.tick().await;
        let Some(fleet) = fleet.upgrade() else { return };
        fleet.relieve(&mut source);
    }
}
