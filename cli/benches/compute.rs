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

use rig::{Contents, Rig};
use std::collections::BTreeMap;
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

/// What one turn says: name and ns of each measure.
fn figures(output: &Output) -> Vec<(String, f64)> {
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let figure = |line: &str| {
        let (name, ns) = line.split_once(' ')?;
        Some((name.to_owned(), ns.parse().ok()?))
    };
    text.lines()
        .map(|line| figure(line).unwrap_or_else(|| panic!("not a measure: {line}\n{errors}")))
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rig = Rig::new(&Contents { packages: PACKAGES, add, memory: "1GiB" });
    let mut turns: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for _ in 0..TURNS {
        let (native, guest) = (figures(&rig.native(SCRIPT)), figures(&rig.guest(SCRIPT)));
        assert!(native.len() == guest.len() && !native.is_empty(), "{native:?} {guest:?}");
        for ((name, native), (_, guest)) in native.into_iter().zip(guest) {
            turns.entry(name).or_default().push((native, guest));
        }
    }
    println!("{:<22}{:>12}{:>12}{:>8}", "ms", "native", "guest", "ratio");
    for (name, turns) in turns {
        let native = median(turns.iter().map(|turn| turn.0 / 1e6).collect());
        let guest = median(turns.iter().map(|turn| turn.1 / 1e6).collect());
        let ratio = median(turns.iter().map(|turn| turn.0 / turn.1).collect());
        println!("{name:<22}{native:>12.1}{guest:>12.1}{ratio:>8.3}");
    }
}
