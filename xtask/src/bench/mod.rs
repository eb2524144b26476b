//! `cargo xtask bench`: the numbers of docs/PERFORMANCE.md, measured in one run on loopback.
//!
//! Closed loop, one connection, keep-alive. The baseline, a `fork` and `exec` of `python3` per request, runs between
//! the measurements, so that all share the machine's mood.

mod client;
mod platform;
mod stats;

use client::{Connection, Sample};
use platform::Platform;
use stats::Figures;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WARM_UP: usize = 300;
const REQUESTS: usize = 5_000;
const DEPLOYS: usize = 7;
const EXECS: usize = 60;
const PARTS: [&str; 4] = ["queue", "fork", "run", "total"];

/// Builds the release binary, measures, prints Markdown.
pub fn run(root: &Path) -> Result<(), String> {
    let status =
        Command::new(env!("CARGO")).args(["build", "--release", "-p", "cli"]).current_dir(root).status();
    if !status.map_err(|error| format!("cargo cannot be started: {error}"))?.success() {
        return Err("the release binary does not build".to_owned());
    }
    let platform = Platform::start(&root.join("target/release/spore"))?;
    println!("{}\n", machine());
    println!("| what | n | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|");
    let baseline = exec_python()?;
    for name in ["python-hello", "rust-hello"] {
        closed_loop(&platform, name)?;
    }
    print_row(&format!("baseline: fork+exec of `{} -c 'print(\"hi\")'`", python()), &baseline);
    print_row("deploy of examples/python-hello, CLI start to end", &deploys(&platform, root)?);
    println!();
    memory(&platform)
}

fn print_row(what: &str, figures: &Figures) {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let Figures { n, p50, p99, max } = figures;
    println!("| {what} | {n} | {:.3} | {:.3} | {:.3} |", ms(*p50), ms(*p99), ms(*max));
}

fn closed_loop(platform: &Platform, name: &str) -> Result<(), String> {
    let mut connection = Connection::open(&platform.address)?;
    let path = format!("/function/{name}");
    for _ in 0..WARM_UP {
        connection.get(&path)?;
    }
    let samples = (0..REQUESTS).map(|_| connection.get(&path)).collect::<Result<Vec<Sample>, _>>()?;
    let recycled = samples.iter().filter(|sample| sample.start == "recycled").count();
    let elapsed = samples.iter().map(|sample| sample.elapsed).collect();
    print_row(&format!("{name}: end to end ({recycled} of {REQUESTS} recycled)"), &Figures::of(elapsed));
    for part in PARTS {
        let times = samples.iter().map(|sample| sample.part(part)).collect::<Result<Vec<_>, _>>()?;
        print_row(&format!("{name}: Server-Timing `{part}`"), &Figures::of(times));
    }
    Ok(())
}

/// The system's interpreter if there is one: a version manager's wrapper would measure the wrapper.
fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}

fn exec_python() -> Result<Figures, String> {
    let mut times = Vec::new();
    for _ in 0..EXECS {
        let begun = Instant::now();
        let output = Command::new(python()).args(["-c", "print('hi')"]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("python3 cannot be started: {error}"))?;
        times.push(begun.elapsed());
        if output.stdout != b"hi\n" {
            return Err("python3 did not say hi".to_owned());
        }
    }
    Ok(Figures::of(times))
}

fn deploys(platform: &Platform, root: &Path) -> Result<Figures, String> {
    let example = root.join("examples/python-hello");
    let mut times = Vec::new();
    for _ in 0..DEPLOYS {
        let begun = Instant::now();
        platform.spore(&["deploy", &example.to_string_lossy(), "--name", "bench-deploy"])?;
        times.push(begun.elapsed());
    }
    Ok(Figures::of(times))
}

fn memory(platform: &Platform) -> Result<(), String> {
    let vms = platform.json("/v1/vms")?;
    println!("| VM | served | private KiB | PSS KiB | parent resident KiB |\n|---|---|---|---|---|");
    for vm in vms["vms"].as_array().ok_or("no list of VMs")? {
        let text = |field: &str| vm[field].as_str().unwrap_or_default().to_owned();
        let kib = |value: &serde_json::Value| value.as_u64().unwrap_or_default() / 1024;
        let detail = platform.json(&format!("/v1/functions/{}", text("function")))?;
        let parent = kib(&detail["stats"]["parent"]["resident_bytes"]);
        let (private, pss) = (kib(&vm["private_bytes"]), kib(&vm["pss_bytes"]));
        println!("| {} | {} | {private} | {pss} | {parent} |", text("id"), vm["served"]);
    }
    Ok(())
}

/// CPU, kernel and kind of KVM, in a line.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kvm = ["kvm_pvm", "kvm_intel", "kvm_amd"].into_iter().find(|module| {
        read("/proc/modules").lines().any(|line| line.starts_with(module))
            || Path::new("/sys/module").join(module).exists()
    });
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("Machine: {cpus} x {model}, Linux {}, {}.", kernel.trim(), kvm.unwrap_or("unknown KVM"))
}
