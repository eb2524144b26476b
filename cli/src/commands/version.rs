//! `spore version`.

use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use serde_json::json;

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit the binary was built from, if the build knew it.
pub(crate) const COMMIT: Option<&str> = option_env!("SPORE_COMMIT");

/// Prints version, commit and the version of the contract with the guest.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => print::json(&json!({"version": VERSION, "commit": COMMIT, "abi": abi::VERSION})),
        Output::Table => {
            let commit = COMMIT.map(|c| format!(" ({c})")).unwrap_or_default();
            print::line(&format!("spore {VERSION}{commit}, guest ABI {}", abi::VERSION))
        }
    }
}
