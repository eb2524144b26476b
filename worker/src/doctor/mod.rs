//! Looks at this machine and says what it lacks, and what to do about it. Changes nothing.

mod damon;
mod host;
mod kvm;
mod limits;
mod memory;
mod userfaultfd;

use serde::Serialize;
use std::path::Path;

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do; empty if there is nothing to do.
    pub remedy: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The platform works, with less speed or fewer features.
    Warn,
    /// The platform does not work.
    Fail,
}

/// All checks, in the order they are shown. `kvm` is the device, `cache` where runtime images are kept.
pub fn checks(kvm: &Path, cache: &Path) -> Vec<Check> {
    vec![
        kvm::check(kvm),
        host::kernel(),
        userfaultfd::check(),
        memory::available(),
        memory::overcommit(),
        memory::huge_pages(),
        damon::check(),
        limits::open_files(),
        limits::processes(),
        limits::locked_memory(),
        host::packages(),
        host::disk(cache),
        host::cgroup(),
    ]
}

/// The check of the KVM device alone: without it nothing runs.
pub fn kvm(device: &Path) -> Check {
    kvm::check(device)
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, status: Status::Ok, found: found.into(), remedy: String::new() }
}

fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, status: Status::Warn, found: found.into(), remedy: remedy.into() }
}

fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, status: Status::Fail, found: found.into(), remedy: remedy.into() }
}

/// Bytes in MiB or GiB.
fn human(bytes: u64) -> String {
    if bytes < 1 << 30 { format!("{} MiB", bytes >> 20) } else { format!("{} GiB", bytes >> 30) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_that_is_not_ok_has_a_remedy() {
        let checks = checks(Path::new("/nonexistent/kvm"), Path::new("/nonexistent/cache"));
        assert_eq!(checks[0].status, Status::Fail);
        for check in checks {
            assert!(!check.name.is_empty() && !check.found.is_empty());
            assert_eq!(check.remedy.is_empty(), check.status == Status::Ok, "{check:?}");
        }
    }
}
