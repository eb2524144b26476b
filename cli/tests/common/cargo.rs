//! Programs of the workspace that tests run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Has cargo build a crate of the workspace, into the directory that this test was built into; its programs.
pub(crate) fn built(package: &str, programs: &[&str]) -> Vec<PathBuf> {
    let spore = Path::new(env!("CARGO_BIN_EXE_spore"));
    let target = spore.ancestors().nth(2).expect("it lies in TARGET/PROFILE");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", package, "--target-dir"]).arg(target);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo built this test");
    assert!(status.success(), "cargo build -p {package}: {status}");
    programs.iter().map(|program| target.join("debug").join(program)).collect()
}
