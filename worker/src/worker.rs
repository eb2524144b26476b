//! The worker's public face.

use crate::api::{
    FunctionSpec, FunctionStats, Invocation, InvokeError, LogLine, PrepareError, Reply, VmInfo, WorkerStats,
};
use crate::host::archive::{Archive, Label};
use crate::host::cell::CellConfig;
use crate::host::fleet::{self, Fleet};
use crate::host::home::{Home, Workshop, blocking};
use crate::host::images::RootImages;
use crate::host::parents::Runtimes;
use crate::host::pressure::{self, Source};
use crate::host::spares;
use crate::host::totals::Totals;
use dashmap::DashMap;
use runtimes::image::RootImage;
use std::collections::HashSet;
use std::fs::File;
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
/// The same where functions are evicted sooner.
const TRIM_INTERVAL_LEAST: Duration = Duration::from_secs(1);

/// What a worker is started with.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Program and leading arguments that start a cell: this binary with the hidden subcommand `cell`.
    pub cell_command: Vec<PathBuf>,
    /// The KVM device, `/dev/kvm`.
    pub kvm: PathBuf,
    /// Where runtime images are kept between runs.
    pub cache: PathBuf,
    /// Where snapshots of parents are kept.
    pub snapshots: PathBuf,
    /// How long a program may take until it waits for its first request.
    pub boot_timeout: Duration,
    /// How long a function is idle before its parent leaves memory.
    pub evict_after: Duration,
    /// Most VMs at once, of all functions; `None`: as many as this process's descriptors and the machine's memory
    /// allow.
    pub max_vms: Option<usize>,
    /// Whether idle VMs are kept when the machine is short of memory.
    pub ignore_memory_pressure: bool,
}

/// One worker: all cells of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
    config: WorkerConfig,
    totals: DashMap<String, Arc<Totals>>,
    runtimes: Arc<Runtimes>,
    archive: Arc<Archive>,
    images: Arc<RootImages>,
    fleet: Arc<Fleet>,
    stopping: AtomicBool,
}

impl Worker {
    /// Checks the machine (`/dev/kvm` and what it can do) and starts an empty worker.
    pub async fn start(config: WorkerConfig) -> Result<Worker, PrepareError> {
        let kvm = vmm::Kvm::open(&config.kvm);
        let kvm = kvm.map_err(|error| PrepareError::Platform(crate::chain(&error)))?;
        let snapshots = config.snapshots.clone();
        let archive = blocking(move || Archive::open(&snapshots, &kvm)).await??;
        let inner = Arc::new(Inner {
            fleet: Arc::new(Fleet::new(config.max_vms.unwrap_or_else(derived_max_vms))),
            config,
            totals: DashMap::new(),
            runtimes: Arc::default(),
            archive: Arc::new(archive),
            images: Arc::default(),
            stopping: AtomicBool::new(false),
        });
        tokio::spawn(trim(Arc::downgrade(&inner)));
        if !inner.config.ignore_memory_pressure {
            tokio::spawn(relieve(Arc::downgrade(&inner.fleet), pressure::Machine));
        }
        Ok(Worker(inner))
    }

    /// Starts a cell, builds the function's parent and returns when it can be invoked. Nothing is visible to
    /// others before: a failed build leaves nothing behind.
    pub async fn prepare(&self, spec: FunctionSpec) -> Result<Arc<Function>, PrepareError> {
        let (workshop, totals) = (self.workshop(&spec).await?, self.totals(&spec.name));
        let home = Home::build(spec.clone(), workshop, totals.clone()).await?;
        Ok(self.add(Function::new(spec, home, totals, self.0.fleet.clone())))
    }

    /// Takes up a function that was prepared before, perhaps by a worker that is no more. If there is a snapshot of
    /// its parent that can be used, nothing is started until it is called; else it is prepared.
    pub async fn resume(&self, spec: FunctionSpec) -> Result<Arc<Function>, PrepareError> {
        let (workshop, totals) = (self.workshop(&spec).await?, self.totals(&spec.name));
        let home = Home::resume(spec.clone(), workshop, totals.clone()).await?;
        Ok(self.add(Function::new(spec, home, totals, self.0.fleet.clone())))
    }

    /// Removes the snapshots of all functions but `deployed` and those this worker holds.
    pub async fn collect(&self, deployed: Vec<FunctionSpec>) -> Result<(), PrepareError> {
        let mut keep: HashSet<_> = self.0.fleet.functions().iter().map(|f| f.home().label().key()).collect();
        keep.extend(self.0.runtimes.keys().await);
        for spec in &deployed {
            let root = self.root_image(spec.runtime.clone()).await?;
            keep.insert(Label::function(spec, &root.sha256).key());
        }
        let archive = self.0.archive.clone();
        blocking(move || archive.collect(&keep)).await
    }

    fn add(&self, function: Function) -> Arc<Function> {
        let function = Arc::new(function);
        self.0.fleet.add(&function);
        spares::replenish(&function);
        function
    }

    async fn workshop(&self, spec: &FunctionSpec) -> Result<Workshop, PrepareError> {
        let root = self.root_image(spec.runtime.clone()).await?;
        let config = CellConfig {
            command: self.0.config.cell_command.clone(),
            kvm: self.0.config.kvm.clone(),
            root_image: self.open(root.path).await?,
            root_sha256: root.sha256,
            boot_timeout: self.0.config.boot_timeout,
        };
        let (runtimes, archive, fleet) = (&self.0.runtimes, &self.0.archive, &self.0.fleet);
        Ok(Workshop { config, runtimes: runtimes.clone(), archive: archive.clone(), fleet: fleet.clone() })
    }

    async fn open(&self, path: PathBuf) -> Result<Arc<File>, PrepareError> {
        let images = self.0.images.clone();
        blocking(move || {
            let opened = images.open(&path);
            opened.map_err(|error| {
                PrepareError::Platform(format!("could not open the root image {}: {error}", path.display()))
            })
        })
        .await?
    }

    async fn root_image(&self, runtime: String) -> Result<RootImage, PrepareError> {
        let cache = self.0.config.cache.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            runtimes::image::prepare(runtimes::launch::root_image(&runtime), &cache, &|line| {
                tracing::info!("{line}")
            })
        });
        match prepared.await {
            Ok(Ok(image)) => Ok(image),
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
            let Some(cell) = function.cell() else { continue };
            let states = cell.shells.states();
            for usage in cell.usage().await {
                let Some((_, state)) = states.iter().find(|(id, _)| *id == usage.id) else { continue };
                all.push(VmInfo {
                    id: format!("{}-{}-{}", function.spec.name, cell.pid, usage.id),
                    function: function.spec.name.clone(),
                    pid: cell.pid,
                    state: state.phase.name().to_owned(),
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

    /// What this worker has and has done, whatever the function. Looks at the files of all snapshots.
    pub fn worker_stats(&self) -> WorkerStats {
        let (vms, vms_max) = self.0.fleet.vms();
        let snapshots = self.0.archive.stats();
        let (paged_bytes, paging_failures) = self.0.archive.paged().read();
        WorkerStats {
            vms: vms as u64,
            vms_max: vms_max as u64,
            memory_short: self.0.fleet.is_short(),
            snapshots: snapshots.map(|stats| stats.snapshots),
            snapshot_bytes: snapshots.map(|stats| stats.bytes),
            paged_bytes,
            paging_failures,
        }
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
        for cell in functions.iter().filter_map(|function| function.cell()) {
            cell.close();
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
    let evict_after = inner.upgrade().map_or(TRIM_INTERVAL, |inner| inner.config.evict_after);
    // A short wait would otherwise be as long as this one.
    let mut ticks = tokio::time::interval(evict_after.clamp(TRIM_INTERVAL_LEAST, TRIM_INTERVAL));
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        for function in inner.fleet.functions() {
            if let Some(cell) = function.cell() {
                cell.shells.trim();
            }
            function.evict(inner.config.evict_after);
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
