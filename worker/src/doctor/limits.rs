//! Resource limits of this process, which its cells inherit.

use super::{Check, fail, human, ok, warn};
use rustix::process::{Resource, getrlimit};

/// Descriptors that 128 live VMs need, with room for connections.
const FILES_WANTED: u64 = 4096;
/// Fewer descriptors than this do not even serve one function.
const FILES_LEAST: u64 = 256;
/// Threads and processes wanted: one a live VM and some for the platform.
const PROCESSES_WANTED: u64 = 4096;

/// The hard limit counts: the platform raises its own soft limit to it.
pub(super) fn open_files() -> Check {
    judge_files(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX))
}

fn judge_files(hard: u64) -> Check {
    const NAME: &str = "open files";
    let remedy = format!(
        "raise the hard limit: `ulimit -Hn {FILES_WANTED}` as root before starting, or LimitNOFILE={FILES_WANTED} in \
         the systemd unit"
    );
    match hard {
        0..FILES_LEAST => fail(NAME, count(hard), remedy),
        FILES_LEAST..FILES_WANTED => warn(NAME, count(hard), remedy),
        _ => ok(NAME, count(hard)),
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
        assert_eq!(judge_files(100).status, Status::Fail);
        assert_eq!(judge_files(1024).status, Status::Warn);
        assert_eq!(judge_files(FILES_WANTED), ok("open files", "4096"));
        assert_eq!(judge_files(u64::MAX), ok("open files", "unlimited"));
    }

    #[test]
    fn processes_are_counted() {
        assert_eq!(judge_processes(64).status, Status::Warn);
        assert_eq!(judge_processes(u64::MAX), ok("processes", "unlimited"));
    }
}
