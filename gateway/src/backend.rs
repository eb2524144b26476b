//! What the gateway needs of whatever runs functions. [`WorkerBackend`] is the worker of this machine; tests
//! and later kinds of worker implement the same traits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::broadcast;
use worker::api::{
    FunctionSpec, FunctionStats, Invocation, InvokeError, LogLine, PrepareError, Reply, VmInfo, WorkerStats,
};
use worker::{Function, Worker};

/// A boxed future.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs functions.
pub trait Backend: Send + Sync + 'static {
    /// Builds a function's parent. Nothing is visible to others before it succeeds.
    fn prepare(&self, spec: FunctionSpec) -> Pending<'_, Result<Arc<dyn Prepared>, PrepareError>>;
    /// Takes up a function that was prepared before: from its snapshot when it is called, else by preparing it.
    fn resume(&self, spec: FunctionSpec) -> Pending<'_, Result<Arc<dyn Prepared>, PrepareError>>;
    /// Removes what is kept on disk of all functions but `deployed` and those that have been prepared.
    fn collect(&self, deployed: Vec<FunctionSpec>) -> Pending<'_, Result<(), PrepareError>>;
    /// All live VMs.
    fn vms(&self) -> Pending<'_, Vec<VmInfo>>;
    /// Totals of one function since the platform started.
    fn stats(&self, name: &str) -> FunctionStats;
    /// What the backend has and has done, whatever the function.
    fn worker_stats(&self) -> WorkerStats;
    /// The last `tail` log lines, oldest first, and a stream of what follows.
    fn logs(&self, name: &str, tail: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>);
    /// Forgets logs and totals of a removed function.
    fn forget(&self, name: &str);
    /// Lets running invocations finish, then ends everything.
    fn shutdown(&self) -> Pending<'_, ()>;
}

/// A function that can be invoked. Dropping the last handle retires it.
pub trait Prepared: Send + Sync + 'static {
    /// Answers one invocation from a fork. Dropping the future destroys the fork.
    fn invoke(&self, invocation: Invocation) -> Pending<'_, Result<Reply, InvokeError>>;
}

/// The worker of this machine.
pub struct WorkerBackend(Worker);

impl WorkerBackend {
    /// A backend that runs everything on `worker`.
    pub fn new(worker: Worker) -> Self {
        Self(worker)
    }
}

struct WorkerFunction {
    worker: Worker,
    function: Arc<Function>,
}

impl Backend for WorkerBackend {
    fn prepare(&self, spec: FunctionSpec) -> Pending<'_, Result<Arc<dyn Prepared>, PrepareError>> {
        Box::pin(async move {
            let function = self.0.prepare(spec).await?;
            Ok(Arc::new(WorkerFunction { worker: self.0.clone(), function }) as Arc<dyn Prepared>)
        })
    }

    fn resume(&self, spec: FunctionSpec) -> Pending<'_, Result<Arc<dyn Prepared>, PrepareError>> {
        Box::pin(async move {
            let function = self.0.resume(spec).await?;
            Ok(Arc::new(WorkerFunction { worker: self.0.clone(), function }) as Arc<dyn Prepared>)
        })
    }

    fn collect(&self, deployed: Vec<FunctionSpec>) -> Pending<'_, Result<(), PrepareError>> {
        Box::pin(self.0.collect(deployed))
    }

    fn vms(&self) -> Pending<'_, Vec<VmInfo>> {
        Box::pin(self.0.vms())
    }

    fn stats(&self, name: &str) -> FunctionStats {
        self.0.stats(name)
    }

    fn worker_stats(&self) -> WorkerStats {
        self.0.worker_stats()
    }

    fn logs(&self, name: &str, tail: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        self.0.logs(name, tail)
    }

    fn forget(&self, name: &str) {
        self.0.forget(name);
    }

    fn shutdown(&self) -> Pending<'_, ()> {
        Box::pin(self.0.shutdown())
    }
}

impl Prepared for WorkerFunction {
    fn invoke(&self, invocation: Invocation) -> Pending<'_, Result<Reply, InvokeError>> {
        Box::pin(self.worker.invoke(&self.function, invocation))
    }
}
