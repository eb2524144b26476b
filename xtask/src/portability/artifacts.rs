//! The programs that run on the second host: those that `cargo test --workspace` built.

use crate::apt::capture;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates whose tests run VMs.
const TESTED: [&str; 2] = ["vmm", "worker"];
/// Tests that stay here: starting Node.js ten times under an emulator takes longer than all others together.
const TOO_SLOW: [&str; 1] = ["guest_node"];

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
#[derive(Clone)]
pub(super) struct Test {
    /// `CRATE-TARGET`.
    pub(super) name: String,
    /// Directory it runs in.
    pub(super) directory: PathBuf,
    /// Where it is.
    pub(super) path: PathBuf,
}

impl Artifacts {
    /// Builds what `cargo test --workspace` has not built yet.
    pub(super) fn build(root: &Path) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO"));
        command.args(["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
        let output = capture(command.current_dir(root))?;
        let programs: Vec<Program> = output.split(|b| *b == b'\n').filter_map(program).collect();
        let find = |name: &str| {
            let found = programs.iter().find(|p| !p.is_test && p.target == name);
            found.map(|p| p.path.clone()).ok_or_else(|| format!("the build made no program {name}"))
        };
        let tests: Vec<Test> = programs.iter().filter_map(test).collect();
        if tests.is_empty() {
            return Err(format!("the build made no test programs of {}", TESTED.join(" and ")));
        }
        Ok(Self { spore: find("spore")?, example: find("rust-hello")?, tests })
    }
}

/// A program as cargo reports it.
#[derive(Debug, PartialEq)]
struct Program {
    directory: PathBuf,
    target: String,
    path: PathBuf,
    is_test: bool,
}

/// The program that a line of cargo's messages reports, if it reports one.
fn program(line: &[u8]) -> Option<Program> {
    let message: Value = serde_json::from_slice(line).ok()?;
    let path = PathBuf::from(message["executable"].as_str()?);
    let directory = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let target = message["target"]["name"].as_str()?.to_owned();
    Some(Program { directory, target, path, is_test: message["profile"]["test"].as_bool()? })
}

/// The test program to take along, if it is one.
fn test(program: &Program) -> Option<Test> {
    let package = program.directory.file_name()?.to_string_lossy();
    let is_slow = TOO_SLOW.contains(&program.target.as_str());
    let wanted = program.is_test && TESTED.contains(&package.as_ref()) && !is_slow;
    let name = format!("{package}-{}", program.target);
    wanted.then(|| Test { name, directory: program.directory.clone(), path: program.path.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_taken_from_the_messages_of_cargo() {
        let line =
            br#"{"reason":"compiler-artifact","manifest_path":"/x/vmm/Cargo.toml","executable":"/t/vmm-1",
            "target":{"name":"machine"},"profile":{"test":true}}"#;
        let found = program(line).expect("a program");
        let expected = Program {
            directory: "/x/vmm".into(),
            target: "machine".into(),
            path: "/t/vmm-1".into(),
            is_test: true,
        };
        assert_eq!(found, expected);
        assert_eq!(test(&found).expect("a VM test").name, "vmm-machine");
        assert!(test(&Program { is_test: false, ..found }).is_none());
        assert_eq!(program(br#"{"reason":"compiler-artifact","executable":null}"#), None);
        assert_eq!(program(b""), None);
    }
}
