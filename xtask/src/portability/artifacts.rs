//! The static binaries that are taken to the second host.

use super::capture;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Static binaries run without the libraries of the machine they were built on.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const RUSTFLAGS: &str = "-C target-feature=+crt-static";
/// Quick to build, and still bearable when emulated: only what is hot is optimised. Symbols would fill memory.
const PROFILE: [&str; 5] = [
    "profile.dev.opt-level = 1",
    "profile.dev.package.\"*\".opt-level = 0",
    "profile.dev.package.sha2.opt-level = 3",
    "profile.dev.debug = 0",
    "profile.dev.strip = \"symbols\"",
];
/// Crates whose tests run VMs.
const TESTED: [&str; 3] = ["vmm", "snapshotter", "worker"];

/// What was built.
pub(super) struct Artifacts {
    /// The `spore` binary.
    pub(super) spore: PathBuf,
    /// A native function.
    pub(super) example: PathBuf,
    /// Test programs.
    pub(super) tests: Vec<Test>,
}

/// A test program.
pub(super) struct Test {
    /// `CRATE-TARGET`.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

impl Artifacts {
    /// Builds everything into a target directory of its own.
    pub(super) fn build(root: &Path, target: &Path) -> Result<Self, String> {
        // One build, so that every dependency is built once: the tests of the other two bring their programs along.
        let mut arguments = vec!["test", "--no-run"];
        arguments.extend(TESTED.iter().chain(&["cli", "rust-hello"]).flat_map(|name| ["-p", name]));
        let programs = cargo(root, target, &arguments)?;
        let program = |name: &str| {
            let found = programs.iter().find(|p| !p.is_test && p.target == name);
            found.map(|p| p.path.clone()).ok_or_else(|| format!("the build made no program {name}"))
        };
        let tests = programs.iter().filter(|p| p.is_test && TESTED.contains(&p.package.as_str()));
        let test = |p: &Program| Test { name: format!("{}-{}", p.package, p.target), path: p.path.clone() };
        let tests: Vec<Test> = tests.map(test).collect();
        if tests.is_empty() {
            return Err(format!("the build made no test programs of {}", TESTED.join(", ")));
        }
        Ok(Self { spore: program("spore")?, example: program("rust-hello")?, tests })
    }
}

/// A program as cargo reports it.
#[derive(Debug, PartialEq)]
struct Program {
    package: String,
    target: String,
    path: PathBuf,
    is_test: bool,
}

fn cargo(root: &Path, target: &Path, arguments: &[&str]) -> Result<Vec<Program>, String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).args(["--target", TARGET, "--message-format", "json-render-diagnostics"]);
    command.arg("--target-dir").arg(target).current_dir(root);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    command.env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_INCREMENTAL", "0");
    let output = capture(&mut command)?;
    Ok(output.split(|b| *b == b'\n').filter_map(program).collect())
}

/// The program that a line of cargo's messages reports, if it reports one.
fn program(line: &[u8]) -> Option<Program> {
    let message: Value = serde_json::from_slice(line).ok()?;
    let path = PathBuf::from(message["executable"].as_str()?);
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let package = manifest.parent()?.file_name()?.to_string_lossy().into_owned();
    let target = message["target"]["name"].as_str()?.to_owned();
    Some(Program { package, target, path, is_test: message["profile"]["test"].as_bool()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_taken_from_the_messages_of_cargo() {
        let line =
            br#"{"reason":"compiler-artifact","manifest_path":"/x/vmm/Cargo.toml","executable":"/t/vmm-1",
            "target":{"name":"vmm"},"profile":{"test":true}}"#;
        let expected =
            Program { package: "vmm".into(), target: "vmm".into(), path: "/t/vmm-1".into(), is_test: true };
        assert_eq!(program(line), Some(expected));
        assert_eq!(program(br#"{"reason":"compiler-artifact","executable":null}"#), None);
        assert_eq!(program(b""), None);
    }
}
