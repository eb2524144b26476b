//! `spore ls`.

use super::Context;
use crate::args::Output;
use crate::failure::Failure;
use crate::output::{left, table};
use crate::print;
use gateway::api::{FunctionList, FunctionSummary};

/// Lists the functions.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let list: FunctionList = context.client.get("/v1/functions").await?;
    if context.output == Output::Json {
        return print::json(&list);
    }
    if list.functions.is_empty() {
        print::note("no functions; `spore deploy PATH` adds one");
        return Ok(());
    }
    let columns =
        [left("NAME"), left("RUNTIME"), left("STATE"), left("REVISION"), left("DEPLOYED"), left("URL")];
    print::line(&table(&columns, list.functions.iter().map(|f| row(f, context))))
}

fn row(f: &FunctionSummary, context: &Context) -> Vec<String> {
    let state = if f.reason.is_empty() {
        f.state.clone()
    } else {
        format!("{} ({})", f.state, first_line(&f.reason))
    };
    let url = context.client.url(&f.path);
    vec![f.name.clone(), f.runtime.clone(), state, f.revision.clone(), f.deployed_at.clone(), url]
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
