//! The platform that a trace is replayed on: what is deployed there, and what it says of itself.

use super::metrics::{Metrics, cell_seconds};
use crate::client::{self, Client};
use crate::commands::deploy::upload;
use crate::failure::{Exit, Failure};
use crate::package::archive_memory;
use crate::print;
use crate::units::bytes;
use gateway::api::{DeployConfig, VmList};
use http::Method;
use std::collections::BTreeMap;
use std::time::Duration;

/// The function that works as the trace says.
const WORKER: &[u8] = include_bytes!("worker.py");
/// Memory of a function beside what it touches, in MiB.
pub(super) const BASE_MIB: u32 = 128;
/// Time of a call beside its longest run.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(60);
/// Longest run time that the platform allows.
const TIMEOUT_MAX: Duration = Duration::from_secs(900);

/// Limits of what is deployed.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Longest run of a call.
    pub(super) longest: Duration,
    /// Most live VMs of a function.
    pub(super) concurrency: usize,
}

/// Functions that were deployed for a replay.
pub(super) struct Deployed {
    /// Their names.
    pub(super) names: Vec<String>,
    /// Memory each has, in MiB.
    pub(super) memory_mib: Vec<u32>,
}

/// What the platform said of itself at one time.
pub(super) struct Reading {
    /// Its metrics.
    pub(super) metrics: Metrics,
    /// Its live VMs of these functions: function, resident bytes of its own.
    pub(super) vms: Vec<(String, u64)>,
    /// Processor time of the platform's processes, if they are of this machine: by process.
    pub(super) cpu_seconds: BTreeMap<u32, f64>,
}

impl Deployed {
    /// Nothing yet.
    pub(super) fn new() -> Deployed {
        Deployed { names: Vec::new(), memory_mib: Vec::new() }
    }

    /// Deploys one function for each of `touched_mib`; stops early if `stopped` says so. What was deployed is in `self` even then.
    pub(super) async fn deploy(
        &mut self,
        client: &Client,
        touched_mib: &[u32],
        limits: Limits,
        stopped: impl Fn() -> bool,
    ) -> Result<(), Failure> {
        let package = archive_memory(&[("worker.py", false, WORKER)])?;
        let run = format!("{:x}-{:x}", std::process::id(), seconds_now());
        for (index, touched) in touched_mib.iter().enumerate() {
            if stopped() {
                return Ok(());
            }
            let name = format!("load-trace-{run}-{index}");
            let memory = BASE_MIB + touched;
            let config = DeployConfig {
                runtime: Some("python3.11".to_owned()),
                handler: Some("worker.handler".to_owned()),
                memory: Some(format!("{memory}MiB")),
                timeout: Some(format!(
                    "{}ms",
                    (limits.longest + TIMEOUT_MARGIN).min(TIMEOUT_MAX).as_millis()
                )),
                max_concurrency: Some(limits.concurrency),
                ..DeployConfig::default()
            };
            // Before it is there: an answer can be lost on its way.
            self.names.push(name.clone());
            self.memory_mib.push(memory);
            upload(client, &name, &config, &package).await?;
            print::note(&format!(
                "deployed {name} with {}, {}/{}",
                bytes(u64::from(memory) << 20),
                index + 1,
                touched_mib.len()
            ));
        }
        Ok(())
    }

    /// Removes everything; goes on after a failure. Fails with how many are still there, and why the first one is.
    pub(super) async fn remove(&self, client: &Client) -> Result<(), Failure> {
        let mut left: Option<(usize, Failure)> = None;
        let mut removed = 0;
        for name in &self.names {
            match client.call(Method::DELETE, &client::function_path(name)).await {
                Ok(()) => removed += 1,
                // It never came to be.
                Err(failure) if failure.exit == Exit::NotFound => {}
                Err(failure) => {
                    let (count, first) = left.take().unwrap_or((0, failure));
                    left = Some((count + 1, first));
                }
            }
        }
        print::note(&format!("removed {removed} functions"));
        left.map_or(Ok(()), |(count, first)| Err(self.still_there(count, &first)))
    }

    fn still_there(&self, count: usize, why: &Failure) -> Failure {
        let prefix = self.names.first().and_then(|name| name.rsplit_once('-')).map_or("", |(run, _)| run);
        let text = format!(
            "{count} of {} functions ({prefix}-...) could not be removed: {}",
            self.names.len(),
            why.message
        );
        Failure::new(text).hint("remove what `spore ls` shows of them with `spore rm`")
    }

    /// What the platform says now. `is_local` says whether its processes are of this machine.
    pub(super) async fn read(&self, client: &Client, is_local: bool) -> Result<Reading, Failure> {
        let body = client.stream("/metrics").await?;
        let text = client.collect(body).await?;
        let metrics = Metrics::parse(&String::from_utf8_lossy(&text));
        let list: VmList = client.get("/v1/vms").await?;
        let mine = list.vms.iter().filter(|vm| self.names.contains(&vm.function));
        let mut cpu_seconds = BTreeMap::new();
        for vm in mine.clone().filter(|_| is_local) {
            if let Some(seconds) = cell_seconds(vm.pid) {
                cpu_seconds.insert(vm.pid, seconds);
            }
        }
        let vms = mine.map(|vm| (vm.function.clone(), vm.private_bytes)).collect();
        Ok(Reading { metrics, vms, cpu_seconds })
    }
}

fn seconds_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
