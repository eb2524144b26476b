//! Memory of the host and how the kernel hands it out.

use super::{Check, fail, human, ok, warn};
use std::fs;

/// Free memory below which a first function is likely to fail.
const MEMORY_LEAST: u64 = 256 << 20;
/// Free memory wanted.
const MEMORY_WANTED: u64 = 1 << 30;
const THP: &str = "/sys/kernel/mm/transparent_hugepage";

pub(super) fn available() -> Check {
    judge_available(fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(parse_available))
}

fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn judge_available(bytes: Option<u64>) -> Check {
    const NAME: &str = "memory";
    const REMEDY: &str =
        "free some: a function takes its program's memory once, and a little for each live VM";
    let Some(bytes) = bytes else {
        return warn(NAME, "unknown: /proc/meminfo cannot be read", "mount /proc");
    };
    let found = format!("{} available", human(bytes));
    match bytes {
        0..MEMORY_LEAST => fail(NAME, found, REMEDY),
        MEMORY_LEAST..MEMORY_WANTED => warn(NAME, found, REMEDY),
        _ => ok(NAME, found),
    }
}

pub(super) fn overcommit() -> Check {
    judge_overcommit(fs::read_to_string("/proc/sys/vm/overcommit_memory").ok().as_deref().map(str::trim))
}

fn judge_overcommit(mode: Option<&str>) -> Check {
    const NAME: &str = "overcommit";
    match mode {
        Some("2") => warn(
            NAME,
            "strict (vm.overcommit_memory = 2)",
            "every live VM is charged its full memory although it shares most of it: \
             `sudo sysctl vm.overcommit_memory=0`",
        ),
        Some(mode) => ok(NAME, format!("vm.overcommit_memory = {mode}")),
        None => ok(NAME, "unknown"),
    }
}

pub(super) fn huge_pages() -> Check {
    let read = |file: &str| fs::read_to_string(format!("{THP}/{file}")).ok();
    judge_huge_pages(read("enabled").as_deref(), read("shmem_enabled").as_deref())
}

/// The chosen word of a file like `always [madvise] never`.
fn chosen(text: &str) -> Option<&str> {
    text.split_whitespace().find_map(|w| w.strip_prefix('[')?.strip_suffix(']'))
}

fn judge_huge_pages(enabled: Option<&str>, shmem: Option<&str>) -> Check {
    const NAME: &str = "huge pages";
    match (enabled.and_then(chosen), shmem.and_then(chosen)) {
        (None, _) => warn(
            NAME,
            "no transparent huge pages in this kernel",
            "forks take more page faults; use a kernel built with CONFIG_TRANSPARENT_HUGEPAGE",
        ),
        (_, Some("deny")) => warn(
            NAME,
            "denied for shared memory",
            format!("forks take more page faults; `echo never | sudo tee {THP}/shmem_enabled` is enough"),
        ),
        (Some(enabled), shmem) => {
            let shmem = shmem.unwrap_or("unknown");
            ok(NAME, format!("{enabled}, shared memory {shmem} (parents are collapsed on request)"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(parse_available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_available("MemAvailable: many kB"), None);
        assert_eq!(judge_available(None).status, Status::Warn);
        assert_eq!(judge_available(Some(100 << 20)).status, Status::Fail);
        assert_eq!(judge_available(Some(512 << 20)).status, Status::Warn);
        assert_eq!(judge_available(Some(3 << 30)).found, "3 GiB available");
    }

    #[test]
    fn strict_overcommit_is_warned_of() {
        assert_eq!(judge_overcommit(Some("2")).status, Status::Warn);
        assert_eq!(judge_overcommit(Some("1")).status, Status::Ok);
    }

    #[test]
    fn huge_pages_may_be_never_but_not_denied() {
        let never = Some("always within_size advise [never] deny force");
        assert_eq!(judge_huge_pages(Some("always [madvise] never"), never).status, Status::Ok);
        assert_eq!(judge_huge_pages(Some("[always]"), Some("never [deny] force")).status, Status::Warn);
        assert_eq!(judge_huge_pages(None, None).status, Status::Warn);
    }
}
