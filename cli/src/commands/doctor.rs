//! `spore doctor`.

use crate::args::Output;
use crate::failure::{Exit, Failure};
use crate::output::{left, table};
use crate::print;
use clap::Args;
use std::path::PathBuf;
use worker::doctor::{self, Check, Status};

/// Options of `spore doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The KVM device to look at
    #[arg(long, hide = true, default_value = "/dev/kvm", value_name = "PATH")]
    kvm: PathBuf,
}

/// Prints all checks; fails if one of them does.
pub(crate) fn run(args: &DoctorArgs, output: Output) -> Result<(), Failure> {
    let checks = doctor::checks(&args.kvm, &runtimes::cache_dir());
    match output {
        Output::Json => print::json(&checks)?,
        Output::Table => print::line(&render(&checks))?,
    }
    if checks.iter().any(|c| c.status == Status::Fail) { Err(Failure::silent(Exit::Failure)) } else { Ok(()) }
}

fn render(checks: &[Check]) -> String {
    let columns = [left("CHECK"), left("STATUS"), left("FOUND")];
    let row = |c: &Check| vec![c.name.to_owned(), word(c.status).to_owned(), c.found.clone()];
    let mut text = table(&columns, checks.iter().map(row));
    for check in checks.iter().filter(|c| !c.remedy.is_empty()) {
        text.push_str(&format!("\n\n{} ({}): {}", check.name, word(check.status), check.remedy));
    }
    text
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Warn => "warning",
        Status::Fail => "FAIL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remedy_is_shown_below_the_table() {
        let check =
            |name, status, remedy: &str| Check { name, status, found: "f".into(), remedy: remedy.into() };
        let text = render(&[check("one", Status::Ok, ""), check("two", Status::Fail, "do this")]);
        assert_eq!(text, "CHECK  STATUS  FOUND\none    ok      f\ntwo    FAIL    f\n\ntwo (FAIL): do this");
    }
}
