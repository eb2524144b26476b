//! `spore load workloads check`.

use crate::args::Output;
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::output::{left, right, table};
use crate::units::millis;
use crate::{client, print, timing};
use gateway::api::FunctionList;
use http::HeaderMap;
use loadtest::expect::Mismatch;
use loadtest::workloads::{self, Workload};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Instant;

/// Longest part of a wrong answer that is shown, in characters.
const ANSWER_SHOWN: usize = 500;

/// What became of one call.
struct Checked {
    name: &'static str,
    status: u16,
    /// What is wrong, with the answer; nothing if all is well.
    wrong: Option<String>,
    milliseconds: f64,
    timing: Vec<(String, f64)>,
}

/// Calls the workloads, or those that are deployed.
pub(super) async fn run(mut chosen: Vec<&'static Workload>, context: &Context) -> Result<(), Failure> {
    if chosen.is_empty() {
        chosen = deployed(context).await?;
    }
    let mut all = Vec::new();
    for workload in chosen {
        all.push(check(workload, context).await?);
    }
    report(&all, context.output)?;
    let failed: Vec<&Checked> = all.iter().filter(|checked| checked.wrong.is_some()).collect();
    for checked in &failed {
        print::note(&format!("{}: {}", checked.name, checked.wrong.as_deref().unwrap_or_default()));
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("{} of {} workloads did not answer as they must", failed.len(), all.len());
    Err(Failure::new(message).exit(Exit::Function))
}

async fn deployed(context: &Context) -> Result<Vec<&'static Workload>, Failure> {
    let list: FunctionList = context.client.get("/v1/functions").await?;
    let names: HashSet<&str> = list.functions.iter().map(|function| function.name.as_str()).collect();
    let found: Vec<_> = workloads::all().iter().filter(|w| names.contains(w.name.as_str())).collect();
    if found.is_empty() {
        let hint = "`spore load workloads deploy --all` deploys them";
        return Err(Failure::new("no workload is deployed").hint(hint).exit(Exit::NotFound));
    }
    Ok(found)
}

async fn check(workload: &'static Workload, context: &Context) -> Result<Checked, Failure> {
    let call = workload.call(client::invocation_path(&workload.name, "/").trim_end_matches('/'));
    let headers: HeaderMap = call.headers.into_iter().collect();
    let begun = Instant::now();
    let response = context.client.send(call.method, &call.path, headers, call.body).await?;
    let (head, body) = response.into_parts();
    let body = context.client.collect(body).await?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let status = head.status.as_u16();
    let text = || String::from_utf8_lossy(&body).chars().take(ANSWER_SHOWN).collect::<String>();
    let wrong = call.expect.check(status, &body).err().map(|mismatch| {
        let what = if matches!(mismatch, Mismatch::Status(_)) { "another status" } else { "another answer" };
        format!("{what} than expected: {status} {}", text())
    });
    Ok(Checked { name: &workload.name, status, wrong, milliseconds, timing: timing::parse(&head.headers) })
}

fn report(all: &[Checked], output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(&all.iter().map(document).collect::<Vec<_>>());
    }
    let row = |checked: &Checked| {
        let result = if checked.wrong.is_none() { "ok" } else { "wrong" };
        let time = millis(checked.milliseconds);
        vec![checked.name.to_owned(), result.to_owned(), time, timing::render(&checked.timing)]
    };
    print::line(&table(&[left("NAME"), left("ANSWER"), right("TIME"), left("OF WHICH")], all.iter().map(row)))
}

fn document(checked: &Checked) -> Value {
    let timing: serde_json::Map<String, Value> =
        checked.timing.iter().map(|(name, ms)| (name.clone(), json!(ms))).collect();
    json!({
        "name": checked.name, "ok": checked.wrong.is_none(), "status": checked.status, "wrong": checked.wrong,
        "client_ms": checked.milliseconds, "timing_ms": timing,
    })
}
