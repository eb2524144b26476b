//! Dependencies point down only.

use std::path::Path;
use std::process::Command;

/// What each crate of the workspace may depend on, of the workspace's crates.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("abi", &[]),
    ("pico", &["abi"]),
    // loadtest, here and below, only in benches: it writes down what they find.
    ("vmm", &["abi", "loadtest"]),
    // pico only in tests: its reader reads back what the writer of images wrote.
    ("snapshotter", &["abi", "pico", "vmm"]),
    ("runtimes", &["abi", "vmm", "snapshotter"]),
    ("worker", &["abi", "vmm", "snapshotter", "runtimes", "loadtest"]),
    ("gateway", &["abi", "runtimes", "worker"]),
    ("loadtest", &[]),
    ("cli", &["abi", "runtimes", "worker", "gateway", "loadtest"]),
    ("xtask", &[]),
    ("async-programs", &[]),
    ("rust-hello", &[]),
    ("rust-lambda", &[]),
    ("rust-primes", &["rust-hello"]),
    ("rust-workloads", &["rust-hello"]),
];

/// Crates that speak to KVM, and the only crate that may use them.
const KVM: [&str; 4] = ["kvm-bindings", "kvm-ioctls", "vm-memory", "vmm-sys-util"];
const KVM_USER: &str = "vmm";

/// A crate and everything it names in its manifest, tests included.
type Package = (String, Vec<String>);

/// Problems with the arrows between crates.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    Ok(judge(&packages(root)?))
}

fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("tidy cannot start cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    parse(&output.stdout).ok_or_else(|| "cargo metadata printed something unexpected".to_owned())
}

fn parse(metadata: &[u8]) -> Option<Vec<Package>> {
    let metadata: serde_json::Value = serde_json::from_slice(metadata).ok()?;
    let package = |p: &serde_json::Value| {
        let dependencies = p["dependencies"].as_array()?.iter();
        let names = dependencies.map(|d| d["name"].as_str().map(str::to_owned)).collect::<Option<_>>()?;
        Some((p["name"].as_str()?.to_owned(), names))
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}

fn judge(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, dependencies) in packages {
        let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| n == name) else {
            problems
                .push(format!("{name}: not in the layer table of xtask/src/tidy/layers.rs; give it a place"));
            continue;
        };
        for dependency in dependencies {
            let dependency = dependency.as_str();
            let ours = MAY_USE.iter().any(|(n, _)| *n == dependency);
            if ours && dependency != name && !allowed.contains(&dependency) {
                problems.push(format!("{name}: depends on {dependency}, which is not below it"));
            }
            if KVM.contains(&dependency) && name != KVM_USER {
                problems.push(format!("{name}: depends on {dependency}; only {KVM_USER} speaks to KVM"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        (name.to_owned(), dependencies.iter().map(|d| (*d).to_owned()).collect())
    }

    #[test]
    fn arrows_point_down() {
        assert!(
            judge(&[package("cli", &["gateway", "serde"]), package("vmm", &["abi", "kvm-ioctls"])])
                .is_empty()
        );
        let bad = [
            package("vmm", &["worker"]),
            package("gateway", &["vmm", "kvm-ioctls"]),
            package("newcomer", &[]),
        ];
        assert_eq!(
            judge(&bad),
            [
                "vmm: depends on worker, which is not below it",
                "gateway: depends on vmm, which is not below it",
                "gateway: depends on kvm-ioctls; only vmm speaks to KVM",
                "newcomer: not in the layer table of xtask/src/tidy/layers.rs; give it a place",
            ]
        );
    }

    #[test]
    fn metadata_is_read() {
        let json = br#"{"packages":[{"name":"a","dependencies":[{"name":"b"}]}]}"#;
        assert_eq!(parse(json), Some(vec![package("a", &["b"])]));
        assert_eq!(parse(b"{}"), None);
    }
}
