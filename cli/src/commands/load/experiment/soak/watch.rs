//! Looks at the platform while it is under load. The load ends with the platform.

use crate::commands::load::drive::no_thread;
use crate::failure::Failure;
use crate::print;
use loadtest::engine::Stop;
use loadtest::experiment::caller::Caller;
use loadtest::experiment::sample::{Sample, disk_bytes, runs};
use loadtest::target::Target;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The time of a look in seconds, and what was seen.
pub(super) type Look = (f64, [f64; 6]);

/// How long a platform may refuse connections: a moment of it ends no load.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Time until it is noticed that the platform has ended, at most.
const NOTICE: Duration = Duration::from_secs(1);
const MIB: f64 = (1 << 20) as f64;

/// What is looked at, and how often.
pub(super) struct Watch<'a> {
    /// The platform's process.
    pub(super) pid: u32,
    /// Its directory.
    pub(super) data: Option<&'a Path>,
    /// Where it serves.
    pub(super) target: &'a Target,
    /// Time between two looks.
    pub(super) every: Duration,
    /// How long it may refuse connections.
    pub(super) patience: Duration,
    /// What was seen.
    pub(super) looks: &'a Mutex<Vec<Look>>,
    /// Is set if the platform serves nobody any more.
    pub(super) stop: &'a Stop,
}

impl Watch<'_> {
    /// Does `work` while another thread looks.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let (end, ended) = channel();
        thread::scope(|scope| {
            let watcher = thread::Builder::new().name("watch".to_owned());
            let watcher = watcher.spawn_scoped(scope, || self.watch(ended));
            let watcher = watcher.map_err(|error| no_thread(&error))?;
            let done = work();
            drop(end);
            if watcher.join().is_err() {
                print::note("the thread that looks at the platform panicked");
            }
            done
        })
    }

    /// Looks until the load is over, and once more then; or until the platform serves nobody any more.
    fn watch(&self, ended: Receiver<()>) {
        let begun = Instant::now();
        let (mut over, mut refused): (bool, Option<Instant>) = (false, None);
        loop {
            let time = begun.elapsed().as_secs_f64();
            let Some((look, refuses)) = self.look() else { return self.stop.stop() };
            self.looks.lock().unwrap_or_else(PoisonError::into_inner).push((time, look));
            refused = refuses.then(|| refused.unwrap_or_else(Instant::now));
            if refused.is_some_and(|since| since.elapsed() >= self.patience) {
                return self.stop.stop();
            }
            if over {
                return;
            }
            let every = if refuses { self.every.min(NOTICE) } else { self.every };
            over = self.rest(every, &ended);
        }
    }

    /// What is seen now, and whether it refuses connections; nothing of a platform that has ended.
    fn look(&self) -> Option<([f64; 6], bool)> {
        let sample = Sample::of_tree(self.pid);
        // Only what has ended has no memory.
        if sample.anonymous_bytes == 0 {
            return None;
        }
        let disk = self.data.map_or(0, disk_bytes);
        let vms = live_vms(self.target);
        let refuses = vms.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        let look = [
            sample.anonymous_bytes as f64 / MIB,
            sample.pss_bytes as f64 / MIB,
            sample.open_files as f64,
            sample.threads as f64,
            vms.unwrap_or(f64::NAN),
            disk as f64 / MIB,
        ];
        Some((look, refuses))
    }

    /// Waits for the next look, not longer than the platform is there; whether the load is over.
    fn rest(&self, time: Duration, ended: &Receiver<()>) -> bool {
        let begun = Instant::now();
        loop {
            let left = time.saturating_sub(begun.elapsed());
            if ended.recv_timeout(left.min(NOTICE)) != Err(RecvTimeoutError::Timeout) {
                return true;
            }
            if left <= NOTICE || !runs(self.pid) {
                return false;
            }
        }
    }
}

fn live_vms(target: &Target) -> io::Result<f64> {
    let mut caller = Caller::open(target, Duration::from_secs(60))?;
    let list: serde_json::Value = serde_json::from_slice(&caller.get("/v1/vms")?.body)?;
    let vms = list["vms"].as_array().ok_or(io::ErrorKind::InvalidData)?;
    Ok(vms.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    const LONG: Duration = Duration::from_secs(3600);

    /// Watches a process at a port where nobody listens, with this much patience, while the load is `over` or not.
    /// How many looks there were, and whether the load was stopped.
    fn watched(pid: u32, patience: Duration, over: bool) -> (usize, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let (looks, stop) = (Mutex::default(), Stop::default());
        let (end, ended) = channel();
        let _open = (!over).then_some(end);
        let (every, looks_at) = (LONG, &looks);
        Watch { pid, data: None, target: &target, every, patience, looks: looks_at, stop: &stop }
            .watch(ended);
        (looks.lock().unwrap().len(), stop.is_set())
    }

    #[test]
    fn a_platform_that_refuses_connections_for_too_long_ends_the_load() {
        let me = std::process::id();
        assert_eq!(watched(me, Duration::ZERO, false), (1, true));
        assert_eq!(watched(me, LONG, true), (2, false), "once more when the load is over");
    }

    #[test]
    fn a_platform_that_has_ended_ends_the_load() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        drop(child.stdin.take());
        let _ = child.wait();
        assert_eq!(watched(pid, LONG, false), (0, true));
    }
}
