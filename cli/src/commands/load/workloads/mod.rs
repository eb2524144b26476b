//! `spore load workloads`: lists, shows, deploys and checks the functions that come with spore.

mod build;
mod check;
mod deploy;

use super::super::Context;
use crate::args::{Global, Output};
use crate::failure::{Exit, Failure};
use crate::output::{left, table};
use crate::{client, print};
use clap::{Args, Subcommand};
use loadtest::workloads::{self, Workload};
use serde_json::{Value, json};

/// Options of `spore load workloads`.
#[derive(Debug, Args)]
pub(super) struct WorkloadsArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them [default]
    List,
    /// Print requests and the answers they must have, as a file for `spore load run --mix`
    Show(Names),
    /// Deploy them to a running platform, under their own names
    Deploy(Chosen),
    /// Call each once and check its answer
    Check(Deployed),
}

#[derive(Debug, Args)]
struct Names {
    /// Names of workloads; without the language, those in every language
    #[arg(required = true)]
    names: Vec<String>,
}

#[derive(Debug, Args)]
struct Chosen {
    /// Names of workloads; without the language, those in every language
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// All workloads
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

#[derive(Debug, Args)]
struct Deployed {
    /// Names of workloads [default: all that are deployed]
    names: Vec<String>,
}

/// Runs one of the commands.
pub(super) fn run(args: WorkloadsArgs, global: &Global) -> Result<(), Failure> {
    let context = || Context::new(global);
    match args.what.unwrap_or(What::List) {
        What::List => list(global.output),
        What::Show(Names { names }) => show(&select(&names)?),
        What::Deploy(Chosen { names, all }) => {
            let chosen = if all { workloads::all().iter().collect() } else { select(&names)? };
            client(deploy::run(chosen, &context()?))
        }
        What::Check(Deployed { names }) => client(check::run(select(&names)?, &context()?)),
    }
}

fn select(names: &[String]) -> Result<Vec<&'static Workload>, Failure> {
    workloads::select(names).map_err(|unknown| {
        Failure::new(unknown.to_string()).hint("`spore load workloads` lists them").exit(Exit::NotFound)
    })
}

fn list(output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(&json!({ "workloads": workloads::all() }));
    }
    let row = |workload: &Workload| {
        let suites = workload.suites.iter().map(|(suite, name)| format!("{suite} {name}"));
        let suites = suites.collect::<Vec<_>>().join(", ");
        vec![workload.name.clone(), workload.runtime.clone(), workload.about.clone(), suites]
    };
    let columns = [left("NAME"), left("RUNTIME"), left("WHAT IT DOES"), left("AS IN")];
    print::line(&table(&columns, workloads::all().iter().map(row)))
}

/// A list, as `spore load run --mix` takes it.
fn show(chosen: &[&Workload]) -> Result<(), Failure> {
    print::json(&chosen.iter().copied().map(call).collect::<Vec<_>>())
}

/// A workload's call on this platform, as data.
fn call(workload: &Workload) -> Value {
    let request = &workload.request;
    let mut expect = json!(workload.expect);
    if let Some(members) = expect.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    json!({
        "name": workload.name,
        "method": request.method,
        "path": client::invocation_path(&workload.name, &request.path),
        "headers": request.headers,
        "body": request.body,
        "expect": expect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadtest::expect::Expect;

    #[test]
    fn a_call_is_shown_as_it_is_made() {
        let workload = select(&["sleep-python".into()]).expect("known")[0];
        let call = call(workload);
        assert_eq!(call["path"], "/function/sleep-python/");
        assert_eq!(call["body"], "{\"ms\": 10}");
        let expect: Expect = serde_json::from_value(call["expect"].clone()).expect("an expectation");
        assert_eq!(expect, workload.expect);
        assert_eq!(select(&["none".into()]).expect_err("unknown").exit, Exit::NotFound);
    }
}
