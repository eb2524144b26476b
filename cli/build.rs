//! Puts the examples that `spore up --demo` deploys into the binary: the Python ones as files, the Rust ones as
//! programs, built here by a nested cargo into a target directory of its own. Also records the commit.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Examples that are files.
const FILES: [&str; 2] = ["python-hello", "python-wordcount"];
/// Examples that are crates of the workspace.
const CRATES: [&str; 2] = ["rust-hello", "rust-primes"];

fn main() {
    if let Err(message) = run() {
        panic!("the examples cannot be put into the binary: {message}");
    }
}

fn run() -> Result<(), String> {
    let variable =
        |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"));
    let out = variable("OUT_DIR")?;
    let root = variable("CARGO_MANIFEST_DIR")?.join("..");
    let mut code = String::from("static EXAMPLES: &[Example] = &[\n");
    for name in FILES {
        let directory = root.join("examples").join(name);
        println!("cargo:rerun-if-changed={}", directory.display());
        example(&mut code, name, &files(&directory)?, false);
    }
    let programs = build(&root, &out.join("examples"))?;
    for name in CRATES {
        example(&mut code, name, &[programs.join(name)], true);
    }
    code.push_str("];\n");
    let file = out.join("examples.rs");
    fs::write(&file, code).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    commit(&root);
    Ok(())
}

/// One entry of the table. Paths are quoted as Rust quotes strings.
fn example(code: &mut String, name: &str, files: &[PathBuf], executable: bool) {
    writeln!(code, "    Example {{ name: {name:?}, files: &[").expect("writing to a String cannot fail");
    for file in files {
        let base = file.file_name().unwrap_or_default().to_string_lossy();
        writeln!(code, "        ({base:?}, {executable}, include_bytes!({:?})),", file.display().to_string())
            .expect("writing to a String cannot fail");
    }
    code.push_str("    ] },\n");
}

/// The files of a flat example, without its README.
fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |e: std::io::Error| format!("cannot read {}: {e}", directory.display());
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let paths = entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let mut paths: Vec<_> =
        paths.into_iter().filter(|p| p.is_file() && p.extension() != Some(OsStr::new("md"))).collect();
    paths.sort();
    if paths.is_empty() { Err(format!("{} holds no files", directory.display())) } else { Ok(paths) }
}

/// Builds the Rust examples, statically linked, and returns the directory of the programs.
fn build(root: &Path, target: &Path) -> Result<PathBuf, String> {
    for name in CRATES {
        println!("cargo:rerun-if-changed={}", root.join("examples").join(name).display());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet"]).args(CRATES.iter().flat_map(|name| ["-p", name]));
    command.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--target-dir").arg(target);
    // What the outer build is told is not meant for this one: wrappers (clippy's), flags, targets.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"]
    {
        command.env_remove(name);
    }
    for (name, _) in env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("CARGO_PROFILE_")) {
        command.env_remove(name);
    }
    command.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let status = command.status().map_err(|e| format!("cargo cannot be started: {e}"))?;
    if !status.success() {
        return Err(format!("building {} failed: {status}", CRATES.join(" and ")));
    }
    Ok(target.join("release"))
}

/// Records the commit for `spore version`, if this is a git checkout and git is there.
fn commit(root: &Path) {
    let log = root.join(".git/logs/HEAD");
    if log.exists() {
        println!("cargo:rerun-if-changed={}", log.display());
    }
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(root).output();
    if let Ok(output) = output
        && output.status.success()
        && root.join(".git").exists()
    {
        println!("cargo:rustc-env=SPORE_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
