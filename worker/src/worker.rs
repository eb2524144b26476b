//! The worker's public face.

use crate::api::{
    FunctionSpec, FunctionStats, Invocation, InvokeError, LogLine, PrepareError, Reply, VmInfo,
};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::broadcast;

/// What a worker is started with.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Program and leading arguments that start a cell: this binary with the hidden subcommand `cell`.
    pub cell_command: Vec<PathBuf>,
    /// The KVM device, `/dev/kvm`.
    pub kvm: PathBuf,
    /// Where runtime images are kept between runs.
    pub cache: PathBuf,
}

/// A function whose parent is built. Dropping the last handle retires its cell.
pub struct Function {
    /// What it was built from.
    pub spec: FunctionSpec,
}

/// One worker: all cells of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Worker {}

impl Worker {
    /// Checks the machine (`/dev/kvm` and what it can do) and starts an empty worker.
    pub async fn start(_config: WorkerConfig) -> Result<Worker, PrepareError> {
        Ok(Worker {})
    }

    /// Starts a cell, builds the function's parent and returns when it can be invoked. Nothing is visible to
    /// others before: a failed build leaves nothing behind.
    pub async fn prepare(&self, _spec: FunctionSpec) -> Result<Arc<Function>, PrepareError> {
        Err(PrepareError::Platform(String::new()))
    }

    /// Answers one invocation from a fork of the function's parent. Dropping the future destroys the VM.
    pub async fn invoke(&self, _function: &Arc<Function>, _invocation: Invocation) -> Result<Reply, InvokeError> {
        Err(InvokeError::ShuttingDown)
    }

    /// All live VMs.
    pub async fn vms(&self) -> Vec<VmInfo> {
        Vec::new()
    }

    /// Totals of one function name, over all its revisions since the platform started.
    pub fn stats(&self, _name: &str) -> FunctionStats {
        FunctionStats::default()
    }

    /// The last `tail` log lines of a function, oldest first, and a stream of what follows.
    pub fn logs(&self, _name: &str, _tail: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        (Vec::new(), broadcast::channel(1).1)
    }

    /// Forgets the logs and totals of a removed function.
    pub fn forget(&self, _name: &str) {}

    /// Lets running invocations finish (10 s at most), then ends all cells.
    pub async fn shutdown(&self) {}
}
