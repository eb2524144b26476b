//! `spore load experiment`: the real command with tiny settings, on real VMs. What a result holds is
//! checked, never how fast anything was.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod document;
mod ends;
mod peers;
mod platforms;
mod questions;
mod soaking;

use common::{code, run, stderr, stdout};

#[test]
fn impossible_arguments_are_exit_code_2() {
    for arguments in [
        &[][..],
        &["sprint"],
        &["knee", "--from", "0"],
        &["knee", "--functions", "cobol"],
        &["latency", "--repetitions", "0"],
        &["latency", "--repetitions", "1001"],
        &["soak", "--duration", "soon"],
        &["peers", "--peer", "nameless"],
        &["peers", "--peer", "a=ftp://b"],
        &["burst", "--sizes", "many"],
    ] {
        let output = run(&[&["load", "experiment"], arguments].concat());
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{arguments:?}");
    }
}
