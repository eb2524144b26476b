//! DAMON, the kernel's monitor of memory accesses. To see whether a page was used it asks every mapping of the page and,
//! for each, every VM of that process, with the page locked: forks that touch the page wait. With a thousand VMs that
//! share their parent's pages this takes seconds.

use super::{Check, ok, warn};
use std::fs;
use std::path::Path;

const MONITORS: &str = "/sys/kernel/mm/damon/admin/kdamonds";
const MODULES: &str = "/sys/module";

pub(super) fn check() -> Check {
    judge(&active(Path::new(MONITORS), Path::new(MODULES)))
}

/// Files that say it is on.
fn active(monitors: &Path, modules: &Path) -> Vec<String> {
    let monitors =
        fs::read_dir(monitors).into_iter().flatten().flatten().map(|entry| entry.path().join("state"));
    let switch = |module: &&str| modules.join(module).join("parameters/enabled");
    let modules = ["damon_stat", "damon_reclaim", "damon_lru_sort"].iter().map(switch);
    let on = |path: &Path| fs::read_to_string(path).is_ok_and(|text| ["on", "Y"].contains(&text.trim()));
    monitors.chain(modules).filter(|path| on(path)).map(|path| path.display().to_string()).collect()
}

fn judge(active: &[String]) -> Check {
    const NAME: &str = "memory monitor";
    if active.is_empty() {
        return ok(NAME, "DAMON is off");
    }
    let off = |path: &String| {
        let word = if path.ends_with("state") { "off" } else { "N" };
        format!("`echo {word} | sudo tee {path}`")
    };
    let commands: Vec<_> = active.iter().map(off).collect();
    warn(
        NAME,
        "DAMON is on",
        format!(
            "with hundreds of live VMs it locks the pages they share for seconds at a time, and forks wait: {}",
            commands.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn monitors_and_modules_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (monitors, modules) = (dir.path().join("kdamonds"), dir.path().join("module"));
        assert_eq!(judge(&active(&monitors, &modules)).status, Status::Ok);
        fs::create_dir_all(monitors.join("0")).unwrap();
        fs::write(monitors.join("0/state"), "off\n").unwrap();
        fs::create_dir_all(modules.join("damon_stat/parameters")).unwrap();
        fs::write(modules.join("damon_stat/parameters/enabled"), "N\n").unwrap();
        assert_eq!(active(&monitors, &modules), Vec::<String>::new());
        fs::write(modules.join("damon_stat/parameters/enabled"), "Y\n").unwrap();
        let check = judge(&active(&monitors, &modules));
        assert_eq!(check.status, Status::Warn);
        assert!(check.remedy.contains("echo N |"), "{}", check.remedy);
        fs::write(monitors.join("0/state"), "on\n").unwrap();
        let check = judge(&active(&monitors, &modules));
        assert!(check.remedy.contains("echo off |") && check.remedy.contains("echo N |"), "{}", check.remedy);
    }
}
