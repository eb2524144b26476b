//! How fast programs of Python, Node.js and Go compute in a VM, next to the same programs on this machine:
//! `cargo bench -p cli --bench compute`. In the VM they are started by a shell, as processes, and then alone, as the first program, as
//! a function is. All take turns, each on one processor. Only the ratios mean anything: native time by time in the VM, of the median
//! turn; 1.00 is native speed.

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
/// The programs.
const PROGRAMS: [&[&str]; 3] =
    [&["python3.11", "/opt/compute.py"], &["node", "/opt/compute.mjs"], &["compute-go"]];

/// Runs a program from a shell. Natively it would otherwise use a second processor for its garbage.
fn script(program: &[&str]) -> String {
    // The shell is not to become the program.
    format!("busybox taskset 1 {}; exit", program.join(" "))
}

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
    let mut alone = Turns::between(
        ["native", "guest"],
        "Alone: the same programs, each the only one of its VM",
        "ms",
        Better::Lower,
    );
    for _ in 0..TURNS {
        for program in PROGRAMS {
            let native = text(&rig.native(&script(program)));
            let process = text(&rig.guest(&script(program)));
            turns.printed([&native, &process], NS_PER_MS).unwrap_or_else(|error| panic!("{error}"));
            let sides =
                [native, text(&rig.guest_program(program))].map(|output| output.replace(' ', " alone "));
            alone.printed([&sides[0], &sides[1]], NS_PER_MS).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    bench.turns(turns);
    bench.turns(alone);
    bench.finish().map(drop)
}
