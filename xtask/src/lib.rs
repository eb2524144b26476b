//! The project's own checks, as `cargo xtask COMMAND`:
//!
//! | command | what it does |
//! |---|---|
//! | `check` | format, clippy, tests and `tidy`; reports all failures at once |
//! | `tidy` | the rules of the house that no compiler knows (also a test, so that `cargo test` runs it) |
//! | `performance` | measures, and writes docs/PERFORMANCE.md |
//! | `tools` | installs the programs that tests need (Chromium) from Debian's packages |
//! | `portability` | the VM tests and one HTTP invocation on a second kind of KVM host |
#![forbid(unsafe_code)]

pub mod apt;
pub mod check;
pub mod performance;
pub mod portability;
pub mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask check | tidy | performance [--only NAME] [--short] [--render] | tools | portability";

/// Runs a command; 0 if all is well, 1 if a check failed, 2 if the command is not known.
pub fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["check"] => check::run(&root()),
        ["tidy"] => tidy::run(&root()),
        ["performance", options @ ..] => performance::run(&root(), options),
        ["tools"] => apt::tools(),
        ["portability"] => portability::run(&root()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's directory.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask is a directory of the workspace").to_owned()
}
