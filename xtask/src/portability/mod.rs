//! `cargo xtask portability`: the VM tests and one full HTTP invocation on a second kind of KVM host, a stock Debian
//! kernel with AMD SVM, emulated by QEMU. Timings there mean nothing; behaviour does.
//!
//! The second host sees this machine's file system, read-only with a layer of its own on top (9p and overlayfs), so it
//! runs the very programs that `cargo test` built, and whatever they need (a compiler, python3, the prepared runtime
//! images) is where they expect it. Only its kernel is its own.
//!
//! Emulation is slow and uses one processor, so there are several such hosts at a time, each with a share of the tests.
//!
//! ```text
//! target/portability/debian/     kernel and busybox, unpacked from Debian's packages, not installed
//! target/portability/host-N.img  an initial RAM file system: kernel modules, and what to run
//! ```

mod artifacts;
mod cpio;
mod debian;
mod host;

use crate::apt::capture;
use artifacts::{Artifacts, Test};
use cpio::Archive;
use debian::Debian;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const INIT: &str = include_str!("init.sh");
const STEPS: &str = include_str!("steps.sh");
const HTTP: &str = include_str!("http.sh");
/// How many hosts run at a time.
const HOSTS: usize = 2;
/// Variables of this process that the second host gets too.
const VARIABLES: [&str; 6] = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "SPORE_CACHE", "XDG_CACHE_HOME"];

/// Builds the second host, runs everything on it and reports.
pub fn run(root: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let home = root.join("target/portability");
    std::fs::create_dir_all(&home).map_err(|e| format!("cannot create {}: {e}", home.display()))?;
    let debian = Debian::fetch(&home.join("debian"))?;
    step(begun, "building the tests");
    let artifacts = Artifacts::build(root)?;
    step(begun, "preparing the runtime images");
    // Only here there is a network.
    capture(Command::new(&artifacts.spore).arg("images"))?;
    let shares = shares(&artifacts.tests);
    let mut hosts = Vec::new();
    for (number, tests) in shares.iter().enumerate() {
        let image = home.join(format!("host-{number}.img"));
        archive(root, &debian, &artifacts, tests)?
            .write(&image)
            .map_err(|e| format!("cannot write {}: {e}", image.display()))?;
        hosts.push((image, tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>()));
    }
    step(begun, "starting the second kind of host");
    let result = host::run_all(&debian, &hosts);
    step(begun, "done");
    result
}

/// What each host runs: the tests in turn, so that no host gets all of the long ones, and one invocation by HTTP.
fn shares(tests: &[Test]) -> Vec<Vec<Test>> {
    let mut tests = tests.to_vec();
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    tests.push(Test { name: "http".into(), directory: "/".into(), path: "/run/portability/http.sh".into() });
    let mut shares = vec![Vec::new(); HOSTS];
    for (number, test) in tests.into_iter().enumerate() {
        shares[number % HOSTS].push(test);
    }
    shares
}

fn step(begun: Instant, what: &str) {
    eprintln!("portability [{:>4} s] {what}", begun.elapsed().as_secs());
}

/// The initial RAM file system of a host that runs `tests`.
fn archive(root: &Path, debian: &Debian, artifacts: &Artifacts, share: &[Test]) -> Result<Archive, String> {
    let mut archive = Archive::default();
    archive.text("init", INIT, 0o755);
    archive.text("portability/steps.sh", STEPS, 0o755);
    archive.text("portability/http.sh", HTTP, 0o755);
    archive.text("portability/environment", &environment(root, artifacts), 0o644);
    archive.text("portability/tests", &tests(share), 0o644);
    archive.file("bin/busybox", &debian.busybox)?;
    let mut order = String::new();
    for (name, path) in &debian.modules {
        archive.file(&format!("lib/modules/{name}.ko"), path)?;
        order.push_str(name);
        order.push('\n');
    }
    archive.text("lib/modules/order", &order, 0o644);
    Ok(archive)
}

/// Lines `NAME DIRECTORY PROGRAM`, tab-separated.
fn tests(tests: &[Test]) -> String {
    tests.iter().fold(String::new(), |mut text, t| {
        writeln!(text, "{}\t{}\t{}", t.name, t.directory.display(), t.path.display())
            .expect("writing to a String cannot fail");
        text
    })
}

/// Assignments for the shell.
fn environment(root: &Path, artifacts: &Artifacts) -> String {
    let inherited = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let own = [
        ("SPORE", artifacts.spore.display().to_string()),
        ("EXAMPLES", root.join("examples").display().to_string()),
        ("NATIVE", artifacts.example.display().to_string()),
    ];
    let all = inherited.chain(own.map(|(name, value)| (name.to_owned(), value)));
    all.map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''"))).collect()
}
