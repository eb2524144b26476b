//! `spore bench soak`.

use super::document::Sink;
use super::subjects::prepare;
use super::{Which, failed};
use crate::failure::{Exit, Failure};
use crate::output::{left, right, table};
use crate::print;
use crate::units::bytes;
use clap::{Args, value_parser};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use worker::bench::{ProcessSample, SoakOptions, SoakReport};

/// Options of `spore bench soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// What to fork; both are forked at the same time, half each
    #[arg(long, value_enum, default_value_t = Which::Both)]
    function: Which,
    /// Forks, of all functions together
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..), value_name = "N")]
    forks: u64,
    /// VMs of each function, each with a thread of its own
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=256), value_name = "N")]
    vms: u32,
}

pub(super) fn run(args: &SoakArgs, kvm: &Path, sink: Sink) -> Result<(), Failure> {
    let functions = prepare(args.function, kvm)?;
    let options = SoakOptions { forks: args.forks, vms: args.vms as usize };
    let stop = stop_on_interrupt()?;
    print::note("forking; Ctrl-C gives the report so far");
    let progress = |forks: u64| print::note(&format!("{forks} of {} forks", args.forks));
    let report = worker::bench::soak(&functions, options, &stop, &progress).map_err(failed)?;
    sink.put("soak", &report, || render(&report))?;
    verdict(&report)
}

fn verdict(report: &SoakReport) -> Result<(), Failure> {
    if let Some(failure) = &report.failure {
        return Err(Failure::new(format!("wrong after {} forks: {failure}", report.forks)));
    }
    if !report.leaks.is_empty() {
        return Err(Failure::new(format!("leak: {}", report.leaks.join("; "))));
    }
    if report.interrupted { Err(Failure::silent(Exit::Interrupted)) } else { Ok(()) }
}

/// A flag that Ctrl-C sets. A second Ctrl-C ends the process at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, runtime) = (Arc::clone(&stop), crate::runtime(Builder::new_current_thread())?);
    let handled = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt())
    };
    let mut interrupts = handled.map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
    let wait = move || {
        runtime.block_on(async {
            interrupts.recv().await;
            flag.store(true, Ordering::Relaxed);
            print::note("stopping; interrupt again to stop at once");
            interrupts.recv().await;
            std::process::exit(i32::from(Exit::Interrupted as u8));
        });
    };
    let thread = thread::Builder::new().name("interrupt".to_owned()).spawn(wait);
    thread.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    Ok(stop)
}

fn render(report: &SoakReport) -> String {
    let functions: Vec<_> =
        report.functions.iter().map(|(name, forks)| format!("{forks} of {name}")).collect();
    let mut text = format!(
        "{} forks ({}) in {:.1} s, {:.0} a second, in {} VMs; {} VMs replaced\n\n",
        report.forks,
        functions.join(", "),
        report.seconds,
        report.forks_per_second,
        report.vms,
        report.discarded
    );
    let columns = [left("THIS PROCESS"), right("START"), right("END")];
    text.push_str(&table(&columns, process_rows(&report.start, &report.end)));
    text.push_str("\n\n");
    let columns = [left("WHOLE MACHINE (not judged)"), right("START"), right("END")];
    text.push_str(&table(&columns, host_rows(&report.start, &report.end)));
    let wrong = report.failure.as_deref().unwrap_or("no wrong byte");
    let leaks = if report.leaks.is_empty() { "no leak".to_owned() } else { report.leaks.join("; ") };
    let end = if report.interrupted { " (interrupted)" } else { "" };
    text.push_str(&format!("\n\n{wrong}, {leaks}{end}"));
    text
}

fn process_rows(start: &ProcessSample, end: &ProcessSample) -> Vec<Vec<String>> {
    let row = |what: &str, of: &dyn Fn(&ProcessSample) -> String| vec![what.to_owned(), of(start), of(end)];
    vec![
        row("open descriptors", &|sample| sample.open_files.to_string()),
        row("threads", &|sample| sample.threads.to_string()),
        row("memory of its own", &|sample| bytes(sample.anonymous_bytes)),
        row("resident memory", &|sample| bytes(sample.resident_bytes)),
        row("page tables", &|sample| bytes(sample.page_table_bytes)),
        row("KVM's page tables, pages", &|sample| known(sample.kvm.kvm_table_pages)),
        row("pages mapped by guests", &|sample| known(sample.kvm.kvm_mapped_pages)),
    ]
}

fn known(count: Option<u64>) -> String {
    count.map_or_else(|| "unknown".to_owned(), |count| count.to_string())
}

fn host_rows(start: &ProcessSample, end: &ProcessSample) -> Vec<Vec<String>> {
    let row = |what: &str, of: &dyn Fn(&ProcessSample) -> u64| {
        vec![what.to_owned(), bytes(of(start)), bytes(of(end))]
    };
    vec![
        row("available", &|sample| sample.host.available_bytes),
        row("slab", &|sample| sample.host.slab_bytes),
        row("page tables of VMs", &|sample| sample.host.sec_page_tables_bytes),
    ]
}
