//! Programs of Node.js, Go and Rust.

use crate::rig::{Contents, Rig};
use crate::{build, cargo, packages};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Made once for all tests.
static PROGRAMS: LazyLock<Rig> =
    LazyLock::new(|| Rig::new(&Contents { packages: packages::PROGRAMS, add, memory: "1GiB" }));

fn add(root: &Path, cache: &Path) {
    runtimes::image::add_wheels("node24", root, cache, &|line| eprintln!("{line}"))
        .unwrap_or_else(|error| panic!("Node.js is needed: {error}"));
    fs::write(root.join("opt/work.mjs"), include_str!("programs/work.mjs")).expect("the tree is ours");
    build::go(include_str!("programs/work.go"), &root.join("usr/bin/work-go"), cache);
    for program in cargo::built("async-programs", &["tokio-work", "axum-server"]) {
        let name = program.file_name().expect("it is a file");
        fs::copy(&program, root.join("usr/bin").join(name)).expect("the tree is ours");
    }
}

#[test]
fn node_is_a_program_like_any_other() {
    PROGRAMS.agrees(include_str!("scripts/node.sh"));
}

#[test]
fn go_programs_run() {
    PROGRAMS.agrees("work-go; echo $?; GOMAXPROCS=4 work-go panics 2>&1 | grep -c -E '^panic: as asked|^goroutine 1'; GOGC=20 work-go; echo $?");
}

#[test]
fn tokio_programs_run() {
    PROGRAMS.agrees("for n in 1 2 3; do tokio-work; echo $?; done");
}

#[test]
fn axum_serves_and_stops_when_asked() {
    PROGRAMS.agrees(include_str!("scripts/axum.sh"));
}
