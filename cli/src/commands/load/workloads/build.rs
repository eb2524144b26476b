//! Builds the workloads in Rust: their sources are inside spore, and cargo is on the user's machine.

use crate::failure::Failure;
use loadtest::workloads::Workload;
use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Variables of cargo that are meant for another build.
const FOREIGN: [&str; 5] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
];
/// Most of cargo's output that is shown, in bytes from its end.
const OUTPUT_MAX: usize = 4 << 10;

/// Builds programs in `directory`, statically linked, and returns where they are. They need no packages, so no network.
pub(super) async fn build(programs: &[&Workload], directory: &Path) -> Result<PathBuf, Failure> {
    for workload in programs {
        workload
            .write(directory)
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", workload.name)))?;
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--offline", "--quiet", "-p", "rust-workloads", "--target-dir"]);
    cargo.arg(directory.join("target")).args(programs.iter().flat_map(|program| ["--bin", &program.name]));
    FOREIGN.iter().for_each(|name| {
        cargo.env_remove(name);
    });
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo.current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    let output = cargo.output().await.map_err(|e| not_started(&e))?;
    if output.status.success() {
        return Ok(directory.join("target/release"));
    }
    let said = &output.stderr[output.stderr.len().saturating_sub(OUTPUT_MAX)..];
    let failure = Failure::new(format!("cargo could not build the workloads in Rust: {}", output.status))
        .hint("they are built for Linux with glibc, linked statically; see what cargo says above");
    Err(Failure { output: String::from_utf8_lossy(said).into_owned(), ..failure })
}

fn not_started(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::new(
            "the workloads in Rust are built from source, and there is no cargo",
        )
        .hint("install Rust (https://rustup.rs) and put cargo into PATH, or deploy those in other languages"),
        _ => Failure::new(format!("cannot start cargo: {error}")),
    }
}
