//! What the load generator itself can do, in one run on one machine:
//!
//! - its rate in a closed loop against that of `wrk`, with the same trivial server, alternating;
//! - what an open loop adds to the time a request takes;
//! - how many requests it can have under way, with a connection for each (HTTP/1.1) and on few connections (HTTP/2).
//!
//! `cargo bench -p loadtest --bench generator [-- [wrk|open|hold [N]] [--json FILE]]`. Nothing is installed; what is missing is said.

mod server;

use loadtest::arrivals::Arrivals;
use loadtest::bench::{Bench, Turns, digits};
use loadtest::call::{Call, Mix};
use loadtest::engine::{Load, Outcome, Plan, Protocol, Stop};
use loadtest::report::{Better, Table};
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
/// Requests on one connection of HTTP/2.
const STREAMS: u32 = 1000;

fn main() -> Result<()> {
    let question = "What can the load generator itself do, with a server that does nothing?";
    let mut bench = Bench::begin("generator", question, "cargo bench -p loadtest --bench generator")?;
    let words = bench.words.clone();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", protocol, hold] => return serve(protocol, hold.parse()?),
        ["holder", protocol, url, count] => return holder(protocol, url, count.parse()?),
        ["wrk"] => wrk(&mut bench)?,
        ["open"] => open(&mut bench)?,
        ["hold"] => hold(&mut bench, HELD)?,
        ["hold", count] => hold(&mut bench, count.parse()?)?,
        [] => {
            wrk(&mut bench)?;
            open(&mut bench)?;
            hold(&mut bench, HELD)?;
        }
        _ => return Err("arguments: wrk, open, or hold [N]".into()),
    }
    bench.finish()?;
    Ok(())
}

/// How protocols are named on the command line of a process that is a part of this one.
const HTTP1: &str = "http1";
const HTTP2: &str = "http2";

/// The server, in a process of its own.
fn serve(protocol: &str, hold: usize) -> Result<()> {
    allow()?;
    let listener = TcpListener::bind("0.0.0.0:0")?;
    println!("http://127.0.0.1:{}", listener.local_addr()?.port());
    match protocol {
        HTTP2 => Ok(server::http2::serve(listener, hold, STREAMS)?),
        _ => Ok(server::serve(listener, hold)?),
    }
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
    fn start(protocol: &str, hold: usize) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", protocol, &hold.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
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
    run_over(Protocol::Http1, url, load, connections, seconds)
}

fn run_over(protocol: Protocol, url: &str, load: Load, connections: usize, seconds: u64) -> Result<Outcome> {
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
        protocol,
    };
    Ok(plan.start(&Stop::default())?.watch(|_, _| {})?)
}

/// The rates of wrk and of a closed loop, in turn.
fn wrk(bench: &mut Bench) -> Result<()> {
    let server = Server::start(HTTP1, 0)?;
    let title = format!("Closed loop, 1 thread, {CONNECTIONS} connections, {SECONDS} s a turn");
    let mut turns = Turns::between(["wrk", "ours"], &title, "1/s", Better::Higher);
    for _ in 0..REPETITIONS {
        let Some(theirs) = wrk_rate(&server.1)? else {
            println!("wrk is not installed: nothing to compare with (Debian: apt-get install wrk)");
            let ours = run(&server.1, Load::Closed, CONNECTIONS, SECONDS)?;
            let rate = ours.total.in_time as f64 / ours.seconds;
            println!("ours {rate:.0}");
            bench.add("rate ours", "1/s", Better::Higher, rate);
            return Ok(());
        };
        let outcome = run(&server.1, Load::Closed, CONNECTIONS, SECONDS)?;
        if outcome.total.failures() > 0 {
            return Err(format!("{} requests failed", outcome.total.failures()).into());
        }
        turns.turn("rate", [theirs, outcome.total.in_time as f64 / outcome.seconds]);
    }
    bench.turns(turns);
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
fn open(bench: &mut Bench) -> Result<()> {
    let server = Server::start(HTTP1, 0)?;
    let columns = ["rate", "p50 us", "p99 us", "CPU us a request"].map(str::to_owned).to_vec();
    let title = format!("Open loop, constant rate, 1 thread, {SECONDS} s");
    let mut table = Table { title, columns, rows: Vec::new() };
    for rate in [100.0, 1000.0, 10_000.0] {
        let outcome = run(&server.1, Load::Open(Arrivals::Constant { rate }), 1000, SECONDS)?;
        let response = outcome.total.response();
        let us = |quantile: f64| response.value_at_quantile(quantile) as f64 / 1000.0;
        let cpu = 1e6 * outcome.generator.cpu_seconds / outcome.total.answers() as f64;
        let mut row = vec![format!("{rate:.0}/s")];
        for (name, value) in [("p50", us(0.5)), ("p99", us(0.99)), ("CPU a request", cpu)] {
            bench.add(&format!("open loop at {rate:.0}/s {name}"), "us", Better::Lower, value);
            row.push(digits(value));
        }
        table.rows.push(row);
    }
    bench.show(table);
    Ok(())
}

/// `count` requests under way at a time, over each protocol: the server answers none before it has them all.
fn hold(bench: &mut Bench, count: usize) -> Result<()> {
    let allowed = allow()?;
    if allowed < count {
        println!("HTTP/1.1: {count} connections are more than ulimit -Hn allows: {allowed} it is");
    }
    let columns = ["", "requests", "memory KiB", "seconds"].map(str::to_owned).to_vec();
    let title = "Requests held at once, and by how much the generator's memory grew".to_owned();
    let mut table = Table { title, columns, rows: Vec::new() };
    for (protocol, count, row, measure) in [
        (HTTP1, count.min(allowed), "held at once over HTTP/1.1", "held at once"),
        (HTTP2, count, "held at once over HTTP/2", "held over HTTP/2"),
    ] {
        let [answers, grown, seconds] = held(protocol, count)?;
        bench.add(measure, "requests", Better::Higher, answers);
        bench.add(&format!("{measure} memory"), "KiB", Better::Lower, grown);
        let figures = [format!("{answers:.0}"), format!("{grown:.0}"), digits(seconds)];
        table.rows.push([row.to_owned()].into_iter().chain(figures).collect());
    }
    bench.show(table);
    Ok(())
}

/// Answers, growth of the memory in KiB, and seconds to the last answer. The generator is a process of its own: what ran before must
/// not have left it memory.
fn held(protocol: &str, count: usize) -> Result<[f64; 3]> {
    let server = Server::start(protocol, count)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["holder", protocol, &server.1, &count.to_string()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{count} requests over {protocol}: not all were answered").into());
    }
    let figures = text.split_whitespace().map(str::parse).collect::<std::result::Result<Vec<f64>, _>>()?;
    figures.try_into().map_err(|_| format!("the generator said: {text}").into())
}

/// The generator of [`held`]; prints the figures.
fn holder(protocol: &str, url: &str, count: usize) -> Result<()> {
    let size = u32::try_from(count)?;
    let load = Load::Open(Arrivals::Burst { size, every_s: 1000.0 });
    let protocol = match protocol {
        HTTP2 => Protocol::Http2 { streams: usize::try_from(STREAMS)? },
        _ => Protocol::Http1,
    };
    let before = resident_kib();
    let outcome = run_over(protocol, url, load, count, 1)?;
    let (total, slowest) = (&outcome.total, outcome.total.response().max() as f64 / 1e9);
    let grown = resident_kib().saturating_sub(before);
    println!("{} {grown} {slowest}", total.answers());
    if let Some(reason) = outcome.generator.limited {
        eprintln!("note: {reason}");
    }
    let complete = total.answers() == count as u64;
    complete.then_some(()).ok_or_else(|| format!("failed: {:?}", total.failed).into())
}

/// Most memory that this process ever had.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
