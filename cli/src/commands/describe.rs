//! `spore describe`.

use super::Context;
use crate::args::Output;
use crate::client;
use crate::failure::Failure;
use crate::output::one_line;
use crate::print;
use crate::units::{bytes, millis};
use clap::Args;
use gateway::api::FunctionDetail;
use std::fmt::Write;
use worker::api::{Contract, FunctionStats};

/// Options of `spore describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// The function
    name: String,
}

/// Shows everything known about a function.
pub(crate) async fn run(args: &DescribeArgs, context: &Context) -> Result<(), Failure> {
    let detail: FunctionDetail = context.client.get(&client::function_path(&args.name)).await?;
    match context.output {
        Output::Json => print::json(&detail),
        Output::Table => print::raw(describe(&detail, &context.client.url(&detail.summary.path)).as_bytes()),
    }
}

fn describe(detail: &FunctionDetail, url: &str) -> String {
    let summary = &detail.summary;
    let mut text = String::new();
    field(&mut text, "Name", &summary.name);
    field(&mut text, "URL", url);
    field(&mut text, "State", &summary.state);
    if !summary.reason.is_empty() {
        field(&mut text, "Reason", &summary.reason);
    }
    field(&mut text, "Runtime", &summary.runtime);
    let contract = match detail.contract {
        Contract::Handler => "handler".to_owned(),
        Contract::Http => format!("HTTP server on port {}", detail.port),
        Contract::RuntimeApi => "Lambda Runtime API".to_owned(),
    };
    field(&mut text, "Contract", &contract);
    field(&mut text, "Handler", &detail.handler);
    field(&mut text, "Memory", &bytes(detail.memory_bytes));
    field(&mut text, "Timeout", &millis(f64::from(u32::try_from(detail.timeout_ms).unwrap_or(u32::MAX))));
    field(&mut text, "Live VMs at most", &detail.max_concurrency.to_string());
    field(&mut text, "Environment", &or_dash(detail.env.join(", ")));
    field(&mut text, "Deployed", &summary.deployed_at);
    field(&mut text, "Revision", &summary.revision);
    field(&mut text, "Package SHA-256", &detail.package_sha256);
    stats(&mut text, &detail.stats);
    text
}

fn stats(text: &mut String, stats: &FunctionStats) {
    if let Some(parent) = stats.parent {
        let build = millis(parent.build.as_secs_f64() * 1e3);
        let runtime = match parent.runtime_resident_bytes {
            0 => String::new(),
            shared => format!(" on {} of its runtime", bytes(shared)),
        };
        field(
            text,
            "Parent",
            &format!("{}{runtime} resident, built in {build}", bytes(parent.resident_bytes)),
        );
    }
    field(text, "Parents built", &stats.parent_boots.to_string());
    let (recycled, remapped, spare) = (stats.forks_recycled, stats.forks_remapped, stats.forks_spare);
    let (new, cold) = (stats.forks_new, stats.forks_cold);
    let forks = [recycled, remapped, spare, new, cold].into_iter().fold(0, u64::saturating_add);
    let kinds =
        format!("{forks} ({recycled} recycled, {remapped} remapped, {spare} spare, {new} new, {cold} cold)");
    field(text, "Forks", &kinds);
    field(text, "VMs", &format!("{} live, {} discarded", stats.shells, stats.shells_discarded));
    field(text, "Log dropped", &bytes(stats.log_dropped_bytes));
    if stats.unsupported.is_empty() {
        field(text, "Refused", "-");
        return;
    }
    text.push_str("Refused (system calls, flags, commands and options that pico lacks):\n");
    for (name, count) in &stats.unsupported {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<36} {count}", one_line(name));
    }
}

fn field(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:<18}{}", format!("{name}:"), one_line(value));
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
