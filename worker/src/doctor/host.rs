//! Kernel, tools, disk and cgroup.

use super::{Check, fail, human, ok, warn};
use rustix::system::uname;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// First kernel with `MADV_POPULATE_WRITE`.
const KERNEL_LEAST: (u32, u32) = (5, 14);
/// First kernel with `MADV_COLLAPSE`.
const KERNEL_WANTED: (u32, u32) = (6, 1);
/// Bytes the runtime images and their building need.
const DISK_WANTED: u64 = 1 << 30;

pub(super) fn kernel() -> Check {
    judge_kernel(&uname().release().to_string_lossy())
}

fn judge_kernel(release: &str) -> Check {
    const NAME: &str = "kernel";
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = format!("Linux {release}");
    if version < KERNEL_LEAST {
        return fail(NAME, found, "use Linux 5.14 or newer; Debian 12 has 6.1");
    }
    if version < KERNEL_WANTED {
        return warn(NAME, found, "parents cannot be kept in huge pages; use Linux 6.1 or newer");
    }
    ok(NAME, found)
}

pub(super) fn packages() -> Check {
    let missing: Vec<_> = ["apt-get", "dpkg-deb"].into_iter().filter(|tool| find(tool).is_none()).collect();
    judge_packages(&missing)
}

fn judge_packages(missing: &[&str]) -> Check {
    const NAME: &str = "Debian packages";
    if missing.is_empty() {
        return ok(NAME, "apt-get and dpkg-deb are there");
    }
    warn(
        NAME,
        format!("{} not found", missing.join(" and ")),
        "runtime images are made of Debian's packages: use Debian 12, or copy the image cache from such a machine",
    )
}

/// The program of this name in `PATH`.
fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(tool))
        .find(|file| fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
}

pub(super) fn disk(cache: &Path) -> Check {
    const NAME: &str = "disk";
    // The cache may not exist yet: what counts is where it would be made.
    let Some((place, stat)) = cache.ancestors().find_map(|p| Some((p, rustix::fs::statvfs(p).ok()?))) else {
        return warn(NAME, format!("{} cannot be looked at", cache.display()), "make the directory readable");
    };
    judge_disk(place, stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn judge_disk(place: &Path, free: u64) -> Check {
    const NAME: &str = "disk";
    let found = format!("{} free in {}", human(free), place.display());
    if free >= DISK_WANTED {
        return ok(NAME, found);
    }
    warn(NAME, found, format!("make {} free for runtime images and packages", human(DISK_WANTED)))
}

pub(super) fn cgroup() -> Check {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let own = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("?");
    let limit = fs::read_to_string(format!("/sys/fs/cgroup{own}/memory.max")).ok();
    judge_cgroup(unified, own, limit.as_deref().map(str::trim))
}

fn judge_cgroup(unified: bool, own: &str, limit: Option<&str>) -> Check {
    const NAME: &str = "cgroup";
    if !unified {
        return ok(NAME, "version 1 (this version of Spore sets no cgroup limits)");
    }
    match limit.map(str::parse::<u64>) {
        Some(Ok(bytes)) => ok(NAME, format!("version 2, {own}, memory limit {}", human(bytes))),
        _ => ok(NAME, format!("version 2, {own}, no memory limit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn kernel_versions() {
        for (release, status) in [
            ("6.1.0-18-cloud-amd64", Status::Ok),
            ("6.18.44", Status::Ok),
            ("5.15.0", Status::Warn),
            ("5.9.1", Status::Fail),
            ("what", Status::Fail),
        ] {
            assert_eq!(judge_kernel(release).status, status, "{release}");
        }
    }

    #[test]
    fn missing_tools_are_named() {
        assert_eq!(judge_packages(&[]).status, Status::Ok);
        assert_eq!(judge_packages(&["apt-get", "dpkg-deb"]).found, "apt-get and dpkg-deb not found");
        assert!(find("sh").is_some() && find("no-such-tool-anywhere").is_none());
    }

    #[test]
    fn disk_is_measured_where_the_cache_will_be() {
        assert!(disk(Path::new("/nonexistent/a/b")).found.ends_with("free in /"));
        assert_eq!(judge_disk(Path::new("/x"), 5 << 20).status, Status::Warn);
    }

    #[test]
    fn cgroups() {
        assert!(judge_cgroup(true, "/a", Some("1073741824")).found.ends_with("memory limit 1 GiB"));
        assert!(judge_cgroup(true, "/a", Some("max")).found.ends_with("no memory limit"));
        assert!(judge_cgroup(false, "/", None).found.starts_with("version 1"));
    }
}
