//! What the load generator itself can do, in one run on one machine:
//!
//! - its rate in a closed loop against that of `wrk`, with the same trivial server, alternating;
//! - what an open loop adds to the time a request takes;
//! - how many requests it can have under way.
//!
//! `cargo bench -p loadtest [-- wrk|open|hold [N]]`. Nothing is installed; what is missing is said.

mod server;

use loadtest::arrivals::Arrivals;
use loadtest::call::{Call, Mix};
use loadtest::engine::{Load, Outcome, Plan, Protocol, Stop};
use loadtest::target::Target;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CONNECTIONS: usize = 50;
const SECONDS: u64 = 3;
const REPETITIONS: usize = 5;
/// Requests that are held at once unless told otherwise.
const HELD: usize = 100_000;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", hold] => serve(hold.parse()?),
        ["wrk"] => wrk(),
        ["open"] => open(),
        ["hold"] => hold(HELD),
        ["hold", count] => hold(count.parse()?),
        [] => wrk().and_then(|()| open()).and_then(|()| hold(HELD)),
        _ => Err("arguments: wrk, open, or hold [N]".into()),
    }
}

/// The server, in a process of its own.
fn serve(hold: usize) -> Result<()> {
    allow()?;
    let listener = TcpListener::bind("0.0.0.0:0")?;
    println!("http://127.0.0.1:{}", listener.local_addr()?.port());
    Ok(server::serve(listener, hold)?)
}

/// Lets this process have as many descriptors as it may; says how many connections that allows.
fn allow() -> Result<usize> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })?;
    Ok(usize::try_from(limit.maximum.unwrap_or(u64::MAX))?.saturating_sub(200))
}

struct Server(Child, String);

impl Server {
    fn start(hold: usize) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(["serve", &hold.to_string()]).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        Ok(Server(child, url.trim().to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already if it failed.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn run(url: &str, load: Load, connections: usize, seconds: u64) -> Result<Outcome> {
    let plan = Plan {
        target: Target::parse(url)?,
        mix: Mix::of(Call::get("/")),
        load,
        connections,
        queue: HELD * 10,
        duration: Duration::from_secs(seconds),
        warm_up: Duration::ZERO,
        timeout: Duration::from_secs(120),
        threads: 1,
        seed: 42,
        protocol: Protocol::Http1,
    };
    Ok(plan.start(&Stop::default())?.watch(|_, _| {})?)
}

/// The rates of wrk and of a closed loop, in turn.
fn wrk() -> Result<()> {
    let server = Server::start(0)?;
    let mut ratios = Vec::new();
    println!("closed loop, 1 thread, {CONNECTIONS} connections, {SECONDS} s, requests a second");
    for _ in 0..REPETITIONS {
        let Some(theirs) = wrk_rate(&server.1)? else {
            println!("wrk is not installed: nothing to compare with (Debian: apt-get install wrk)");
            let ours = run(&server.1, Load::Closed, CONNECTIONS, SECONDS)?;
            println!("ours {:.0}", ours.total.in_time as f64 / ours.seconds);
            return Ok(());
        };
        let outcome = run(&server.1, Load::Closed, CONNECTIONS, SECONDS)?;
        let ours = outcome.total.in_time as f64 / outcome.seconds;
        println!(
            "wrk {theirs:>9.0}  ours {ours:>9.0}  ratio {:.3}  failed {}",
            ours / theirs,
            outcome.total.failures()
        );
        ratios.push(ours / theirs);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3}", ratios[REPETITIONS / 2]);
    Ok(())
}

fn wrk_rate(url: &str) -> Result<Option<f64>> {
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), url]);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(Some(rate.ok_or("wrk printed no rate")?.trim().parse()?))
}

/// Times of an open loop that no server is busy with: what is left is the machine and the generator.
fn open() -> Result<()> {
    let server = Server::start(0)?;
    println!("open loop, constant rate, 1 thread, {SECONDS} s");
    for rate in [100.0, 1000.0, 10_000.0] {
        let outcome = run(&server.1, Load::Open(Arrivals::Constant { rate }), 1000, SECONDS)?;
        let response = outcome.total.response();
        let us = |quantile: f64| response.value_at_quantile(quantile) as f64 / 1000.0;
        let cpu = 1e6 * outcome.generator.cpu_seconds / outcome.total.answers() as f64;
        let (median, tail) = (us(0.5), us(0.99));
        println!("{rate:>8.0}/s  p50 {median:.1} us  p99 {tail:.1} us  CPU {cpu:.1} us a request");
    }
    Ok(())
}

/// `count` requests under way at a time: the server answers none before it has them all.
fn hold(count: usize) -> Result<()> {
    let allowed = allow()?;
    if allowed < count {
        println!("{count} connections are more than ulimit -Hn allows: {allowed} it is");
    }
    let count = count.min(allowed);
    let server = Server::start(count)?;
    let size = u32::try_from(count)?;
    let before = resident_kib();
    let outcome = run(&server.1, Load::Open(Arrivals::Burst { size, every_s: 1000.0 }), count, 1)?;
    let (total, slowest) = (&outcome.total, outcome.total.response().max() as f64 / 1e9);
    println!(
        "{count} requests held at once: {} answered, {:?} failed, {slowest:.2} s",
        total.answers(),
        total.failed
    );
    println!("memory of the generator grew by {} KiB", resident_kib().saturating_sub(before));
    if let Some(reason) = outcome.generator.limited {
        println!("note: {reason}");
    }
    let complete = total.answers() == count as u64;
    complete.then_some(()).ok_or_else(|| "not all were answered".into())
}

/// Most memory that this process ever had.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
