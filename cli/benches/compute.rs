//! How fast programs of Python, Node.js and Go compute in a VM, next to the same programs on this machine:
//! `cargo bench -p cli --bench compute`. The two take turns, each on one processor. Only the ratios mean anything: native time by
//! time in the VM, of the median turn; 1.00 is native speed.

#![allow(dead_code, reason = "a part of what the tests use")]

#[path = "../tests/servers/build.rs"]
mod build;
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/servers/packages.rs"]
mod packages;
#[path = "../tests/servers/rig.rs"]
mod rig;

use loadtest::bench::{Bench, Turns};
use loadtest::report::Better;
use rig::{Contents, Rig};
use std::fs;
use std::path::Path;
use std::process::Output;

/// What programs that compute need around them.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "dash",
    "libatomic1",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "media-types",
    "python3.11-minimal",
    "zlib1g",
];
/// Turns of each side.
const TURNS: usize = 7;
const NS_PER_MS: f64 = 1e6;
/// Everything, one after the other. Natively a program would otherwise use a second processor for its garbage.
const SCRIPT: &str = "for program in 'python3.11 /opt/compute.py' 'node /opt/compute.mjs' compute-go; do busybox taskset 1 $program; done";

fn add(root: &Path, cache: &Path) {
    runtimes::image::add_wheels("node24", root, cache, &|line| eprintln!("{line}"))
        .unwrap_or_else(|error| panic!("Node.js is needed: {error}"));
    for (name, text) in [
        ("compute.py", include_str!("programs/compute.py")),
        ("compute.mjs", include_str!("programs/compute.mjs")),
    ] {
        fs::write(root.join("opt").join(name), text).expect("the tree is ours");
    }
    build::go(include_str!("programs/compute.go"), &root.join("usr/bin/compute-go"), cache);
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn main() -> std::io::Result<()> {
    let mut bench = Bench::begin(
        "compute",
        "How fast do programs that compute run in a VM, next to the same programs on this machine?",
        "cargo bench -p cli --bench compute",
    )?;
    bench.set("turns", TURNS);
    let rig = Rig::new(&Contents { packages: PACKAGES, add, memory: "1GiB" });
    let mut turns = Turns::between(["native", "guest"], "Programs that compute", "ms", Better::Lower);
    for _ in 0..TURNS {
        let sides = [rig.native(SCRIPT), rig.guest(SCRIPT)].map(|output| text(&output));
        turns.printed([&sides[0], &sides[1]], NS_PER_MS).unwrap_or_else(|error| panic!("{error}"));
    }
    bench.turns(turns);
    bench.finish().map(drop)
}
