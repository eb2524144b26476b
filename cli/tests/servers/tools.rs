//! git, gcc and the full perl.

use crate::packages;
use crate::rig::{Contents, Rig};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Made once for all tests.
static TOOLS: LazyLock<Rig> =
    LazyLock::new(|| Rig::new(&Contents { packages: packages::TOOLS, add, memory: "768MiB" }));

/// What is compiled and run.
fn add(root: &Path, _: &Path) {
    for (name, text) in
        [("hello.c", include_str!("programs/hello.c")), ("work.pl", include_str!("programs/work.pl"))]
    {
        fs::write(root.join("opt").join(name), text).expect("the tree is ours");
    }
}

#[test]
fn git_keeps_a_repository() {
    TOOLS.agrees(include_str!("scripts/git.sh"));
}

#[test]
fn gcc_compiles_what_runs() {
    TOOLS.agrees(include_str!("scripts/gcc.sh"));
}

#[test]
fn the_full_perl_uses_its_modules() {
    TOOLS.agrees(include_str!("scripts/perl.sh"));
}
