//! `cargo xtask portability`: the VM tests and one full HTTP invocation on a second kind of KVM host, a stock Debian
//! kernel with AMD SVM, emulated by QEMU. Timings there mean nothing; behaviour does.
//!
//! ```text
//! target/portability/build/    static binaries, built with a target directory of their own
//! target/portability/debian/   kernel and busybox, unpacked from Debian's packages, not installed
//! target/portability/host.img  the second host: an initial RAM file system with all of it
//! ```

mod artifacts;
mod cpio;
mod debian;
mod host;

use artifacts::Artifacts;
use cpio::Archive;
use debian::Debian;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const INIT: &str = include_str!("init.sh");
const HTTP: &str = include_str!("http.sh");

/// Builds the second host, runs everything on it and reports.
pub fn run(root: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let home = root.join("target/portability");
    std::fs::create_dir_all(&home).map_err(|e| format!("cannot create {}: {e}", home.display()))?;
    let debian = Debian::fetch(&home.join("debian"))?;
    step(begun, "building static binaries");
    let artifacts = Artifacts::build(root, &home.join("build"))?;
    step(begun, "preparing runtime images");
    let images = images(&artifacts.spore)?;
    let archive = archive(root, &debian, &artifacts, &images)?;
    let image = home.join("host.img");
    let bytes = archive.write(&image).map_err(|e| format!("cannot write {}: {e}", image.display()))?;
    step(begun, &format!("starting the second host ({} MiB)", bytes >> 20));
    let steps = artifacts.tests.iter().map(|t| t.name.as_str()).chain(["http"]);
    let result = host::run(&debian, &image, bytes, &steps.collect::<Vec<_>>());
    step(begun, "done");
    result
}

fn step(begun: Instant, what: &str) {
    eprintln!("portability [{:>4} s] {what}", begun.elapsed().as_secs());
}

/// Paths of the runtime images of this machine; the binary itself prepares them.
fn images(spore: &Path) -> Result<Vec<PathBuf>, String> {
    let mut command = Command::new(spore);
    let output = capture(command.args(["images", "--output", "json"]))?;
    let paths: Vec<PathBuf> = serde_json::from_slice(&output)
        .map_err(|e| format!("`spore images` printed something unexpected: {e}"))?;
    Ok(paths)
}

/// The file system of the second host.
fn archive(
    root: &Path,
    debian: &Debian,
    artifacts: &Artifacts,
    images: &[PathBuf],
) -> Result<Archive, String> {
    let mut archive = Archive::default();
    archive.text("init", INIT, 0o755);
    archive.text("spore/http.sh", HTTP, 0o755);
    archive.file("bin/busybox", &debian.busybox)?;
    archive.file("bin/spore", &artifacts.spore)?;
    archive.file("spore/rust-hello", &artifacts.example)?;
    archive.tree("spore/python-hello", &root.join("examples/python-hello"))?;
    let mut order = String::new();
    for (name, path) in &debian.modules {
        archive.file(&format!("lib/modules/{name}.ko"), path)?;
        order.push_str(&format!("{name}\n"));
    }
    archive.text("lib/modules/order", &order, 0o644);
    for test in &artifacts.tests {
        archive.file(&format!("spore/tests/{}", test.name), &test.path)?;
    }
    for image in images {
        for path in [image.clone(), image.with_extension("json")] {
            let name = path.file_name().ok_or("an image without a name")?.to_string_lossy().into_owned();
            archive.file(&format!("spore/cache/images/{name}"), &path)?;
        }
    }
    Ok(archive)
}

/// Runs a command and returns what it prints; its stderr is shown as it comes.
fn capture(command: &mut Command) -> Result<Vec<u8>, String> {
    let shown = format!("{:?}", command.get_program());
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("{shown} cannot be started: {e}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{shown} failed: {}", output.status))
    }
}
