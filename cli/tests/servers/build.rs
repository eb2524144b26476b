//! Go programs that are compiled for the tests.

use crate::packages;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Compiles a Go program statically, with Debian's toolchain. What it takes a minute to make is kept in the cache, under a name
/// that changes with the source.
pub(crate) fn go(source: &str, program: &Path, cache: &Path) {
    let digest = Sha256::digest([packages::GO.join(" ").as_str(), source].join("\n"));
    let key = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
    let kept = cache.join("tests").join(format!("go-{key:016x}"));
    if !kept.exists() {
        let work = tempfile::tempdir_in(cache).expect("the cache can be written to");
        let root = work.path().join("root");
        fs::create_dir(&root).expect("the cache can be written to");
        runtimes::image::unpack_packages(packages::GO, &root, cache, &|line| eprintln!("{line}"))
            .unwrap_or_else(|error| panic!("Debian packages are needed: {error}"));
        let (file, made) = (work.path().join("work.go"), work.path().join("work"));
        fs::write(&file, source).expect("the cache can be written to");
        let mut command = Command::new(root.join("usr/lib/go-1.19/bin/go"));
        command.args(["build", "-trimpath", "-o"]).arg(&made).arg(&file).current_dir(work.path());
        command.env("GOROOT", root.join("usr/lib/go-1.19")).env("GOCACHE", work.path().join("objects"));
        command
            .env("CGO_ENABLED", "0")
            .env("HOME", work.path())
            .env("GOFLAGS", "")
            .env("GOTOOLCHAIN", "local");
        let status = command.status().expect("the toolchain can be started");
        assert!(status.success(), "go: {status}");
        fs::create_dir_all(cache.join("tests")).expect("the cache can be written to");
        fs::rename(&made, &kept).expect("the cache can be written to");
    }
    fs::copy(&kept, program).expect("the tree is ours");
}
