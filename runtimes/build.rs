//! Builds the guest kernel for [`runtimes::PICO`], with the host's own Rust target and a linker script, and the add-on of
//! the runtime node24.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The only target the guest kernel is written for; it is installed wherever Spore itself can be built.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    let runtimes = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let workspace = runtimes.parent().expect("runtimes lies in the workspace");
    for source in ["runtimes/pico", "abi", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let image = build(workspace, &runtimes.join("pico/link.ld"), &out.join("pico"));
    std::fs::copy(&image, out.join("pico.elf")).expect("the guest kernel was just built");
    build_addon(&runtimes.join("node/reseed.rs"), &out.join("reseed.node"));
}

/// Builds the add-on of the runtime node24, a shared library that links to nothing: node itself has what it calls.
fn build_addon(source: &Path, addon: &Path) {
    println!("cargo::rerun-if-changed={}", source.display());
    let status = Command::new(env::var_os("RUSTC").expect("cargo sets it"))
        .args(["--edition=2024", "--crate-name=reseed", "--crate-type=cdylib", "--target", TARGET])
        .args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-cpu=x86-64"])
        .args(["-Clink-arg=-nostdlib", "-Clink-arg=-Wl,--build-id=none"])
        .arg(source)
        .arg("-o")
        .arg(addon)
        .status()
        .expect("rustc can be run, cargo runs it");
    assert!(status.success(), "runtimes/node/reseed.rs does not build; the compiler's messages are above");
}

/// Builds the kernel image and returns where it is.
fn build(workspace: &Path, script: &Path, target_dir: &Path) -> PathBuf {
    let flags = [
        // The image has a fixed address beyond 2 GiB, so code must not use absolute 32-bit addresses.
        "-Crelocation-model=pic".to_owned(),
        "-Ctarget-cpu=x86-64".to_owned(),
        "-Clink-arg=-nostartfiles".to_owned(),
        "-Clink-arg=-nostdlib".to_owned(),
        "-Clink-arg=-static".to_owned(),
        "-Clink-arg=-no-pie".to_owned(),
        "-Clink-arg=-Wl,--build-id=none,-z,max-page-size=4096".to_owned(),
        format!("-Clink-arg=-Wl,-T,{}", script.display()),
    ];
    let status = Command::new(env::var_os("CARGO").expect("cargo sets it"))
        .current_dir(workspace)
        .args(["build", "--package", "pico", "--bin", "pico", "--features", "kernel", "--profile", "kernel"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // Whatever checks the workspace (clippy) is not to check the guest's dependencies again.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo can be run, it runs this");
    assert!(status.success(), "the guest kernel (runtimes/pico) does not build; cargo's messages are above");
    target_dir.join(TARGET).join("kernel").join("pico")
}
