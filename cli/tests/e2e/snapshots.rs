//! Parents on disk: a platform that starts again takes them up, and what is damaged is built again.

use crate::platform::Platform;
use crate::wait_for;
use std::path::{Path, PathBuf};

const FINE: &str = r#"{"count":1}"#;

/// Files of one kind below the snapshots.
fn files(data: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("snapshots").join(kind)).expect("the platform keeps snapshots");
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Waits until runtime and function are on disk, with what the first fork touched.
fn wait_until_saved(platform: &Platform) {
    wait_for("no snapshot was written", || {
        let manifests = files(platform.data.path(), "manifests");
        // The runtime's parent never learns anything.
        let names = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "manifest");
        manifests.iter().filter(|path| names(path)).count() == 2
    });
}

/// A platform with a function that has been on disk, killed and started again.
fn restarted(damage: impl Fn(&Path)) -> Platform {
    let platform = Platform::start().with_python_probe(&[]);
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    wait_until_saved(&platform);
    let data = platform.kill();
    damage(data.path());
    Platform::start_in(data)
}

#[test]
fn a_function_is_taken_up_from_its_snapshot() {
    let platform = restarted(|_| ());
    assert!(platform.cell_processes().is_empty(), "it costs disk only until it is called");
    for _ in 0..3 {
        assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    }
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 0.0, "nothing was built again");
    assert_eq!(platform.metric("spore_parent_loads_total", "probe"), 1.0);
    assert_eq!(platform.metric("spore_snapshots", ""), 2.0, "the function's and its runtime's");
    assert!(platform.metric("spore_snapshot_bytes", "") > f64::from(1 << 20));
    assert!(platform.metric("spore_vms", "") >= 1.0);
    // The rest follows in the background.
    wait_for("the parent never was complete", || platform.metric("spore_paged_bytes_total", "") > 0.0);
    assert_eq!(platform.metric("spore_paging_failures_total", ""), 0.0);
}

/// Flips a bit in the middle of every file.
fn flip(files: &[PathBuf]) {
    for file in files {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(file, bytes).unwrap();
    }
}

#[test]
fn damaged_manifests_are_refused_and_the_parent_is_built_again() {
    let platform = restarted(|data| flip(&files(data, "manifests")));
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0);
}

#[test]
fn truncated_packs_are_refused_and_the_parent_is_built_again() {
    let platform = restarted(|data| {
        for pack in files(data, "packs") {
            let file = std::fs::File::options().write(true).open(pack).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
    });
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0);
}

/// Changes every page of a file.
fn spoil(pack: &Path) {
    let mut bytes = std::fs::read(pack).unwrap();
    bytes.iter_mut().step_by(4096).for_each(|byte| *byte ^= 1);
    std::fs::write(pack, bytes).unwrap();
}

#[test]
fn a_runtime_with_damaged_pages_is_built_again_with_its_functions() {
    let platform = restarted(|data| files(data, "packs").iter().for_each(|pack| spoil(pack)));
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0);
}

#[test]
fn damaged_pages_of_a_function_never_answer_and_it_is_built_again() {
    let platform = restarted(|data| {
        // All but the runtime's, the largest: it may have been killed while it saved the function again.
        let mut packs = files(data, "packs");
        packs.sort_by_key(|pack| pack.metadata().unwrap().len());
        packs.pop();
        packs.iter().for_each(|pack| spoil(pack));
    });
    // They are found when they are needed, which is too late for this request only.
    let response = platform.get("/function/probe?do=count");
    assert_eq!(response.status, 500, "{}", response.text());
    assert!(response.text().contains("cannot be read"), "{}", response.text());
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0);
}

#[test]
fn removed_functions_leave_no_snapshot() {
    let platform = Platform::start().with_python_probe(&[]);
    wait_until_saved(&platform);
    platform.spore_ok(&["rm", "probe"]);
    assert_eq!(files(platform.data.path(), "manifests").len(), 1, "the runtime's parent stays");
    assert_eq!(files(platform.data.path(), "packs").len(), 1);
}

#[test]
fn functions_nobody_calls_leave_memory_and_come_back() {
    let platform = Platform::start_with(&["--evict-after", "0"]).with_python_probe(&[]);
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    // It may have left memory before it was called, too.
    wait_for("it never left memory", || {
        platform.metric("spore_parent_evictions_total", "probe") >= 1.0 && platform.vms().is_empty()
    });
    wait_for("its cell does not end with it", || platform.cell_processes().is_empty());
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
    assert_eq!(platform.metric("spore_parent_boots_total", "probe"), 1.0, "it was not built again");
}
