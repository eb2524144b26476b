//! Resource limits of this process, which its cells inherit.

use super::{Check, fail, human, ok, warn};
use rustix::process::{Resource, getrlimit};

/// Descriptors that 128 live VMs need, with room for connections.
const FILES_WANTED: u64 = 4096;
/// Fewer descriptors than this do not even serve one function.
const FILES_LEAST: u64 = 256;
/// Threads and processes wanted: one a live VM and some for the platform.
const PROCESSES_WANTED: u64 = 4096;

pub(super) fn open_files() -> Check {
    let limit = getrlimit(Resource::Nofile);
    judge_files(limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
}

fn judge_files(soft: u64, hard: u64) -> Check {
    const NAME: &str = "open files";
    let found = format!("{} (at most {})", count(soft), count(hard));
    let remedy = format!(
        "`ulimit -n {FILES_WANTED}` before starting, or LimitNOFILE={FILES_WANTED} in the systemd unit"
    );
    match soft {
        0..FILES_LEAST => fail(NAME, found, remedy),
        FILES_LEAST..FILES_WANTED => warn(NAME, found, remedy),
        _ => ok(NAME, found),
    }
}

pub(super) fn processes() -> Check {
    let soft = getrlimit(Resource::Nproc).current.unwrap_or(u64::MAX);
    judge_processes(soft)
}

fn judge_processes(soft: u64) -> Check {
    const NAME: &str = "processes";
    if soft >= PROCESSES_WANTED {
        return ok(NAME, count(soft));
    }
    warn(
        NAME,
        count(soft),
        format!("each live VM is a thread: `ulimit -u {PROCESSES_WANTED}`, or TasksMax= in the systemd unit"),
    )
}

pub(super) fn locked_memory() -> Check {
    let found = getrlimit(Resource::Memlock).current.map_or_else(|| "unlimited".to_owned(), human);
    ok("locked memory", format!("{found} (this version locks none)"))
}

fn count(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn files() {
        assert_eq!(judge_files(100, 100).status, Status::Fail);
        assert_eq!(judge_files(1024, 1 << 20).status, Status::Warn);
        assert_eq!(judge_files(FILES_WANTED, u64::MAX).status, Status::Ok);
        assert_eq!(judge_files(FILES_WANTED, u64::MAX).found, "4096 (at most unlimited)");
    }

    #[test]
    fn processes_are_counted() {
        assert_eq!(judge_processes(64).status, Status::Warn);
        assert_eq!(judge_processes(u64::MAX), ok("processes", "unlimited"));
    }
}
