//! `peers`: the same calls to this platform, to other servers, and to what the machine has besides VMs.

use super::platform::{Kind, Platform};
use super::session::{REST, Session};
use crate::failure::{Exit, Failure};
use crate::print;
use clap::Args;
use loadtest::call::{Call, Mix};
use loadtest::experiment::baseline::{Baseline, Server, python};
use loadtest::experiment::functions::hello;
use loadtest::experiment::measures::{Measures, failures, response};
use loadtest::report::{Better, RunReport, plots};
use loadtest::target::Target;
use std::path::Path;

/// Options of `spore load experiment peers`.
#[derive(Debug, Args)]
pub(super) struct PeersArgs {
    /// Another server, with the path that is asked: NAME=http://HOST:PORT/PATH; can be given several times
    #[arg(long = "peer", value_name = "NAME=URL")]
    peers: Vec<String>,
    /// What every answer of another server must contain
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Connections that ask without a pause, in turn [default: 1,8]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    connections: Vec<usize>,
    /// Leave out exec, os.fork and the warm server
    #[arg(long)]
    no_baselines: bool,
}

/// One of those that are compared.
struct Peer {
    name: String,
    target: Target,
    call: Call,
}

pub(super) fn run(args: &PeersArgs, session: &mut Session) -> Result<(), Failure> {
    session.begin(
        "peers",
        "How do other ways to answer the same calls compare, on the same machine and in the same run?",
    );
    let connections = if args.connections.is_empty() { vec![1, 8] } else { args.connections.clone() };
    let repetitions = session.common.repetitions(super::REPETITIONS);
    session.set("repetitions", repetitions);
    session.set("connections", format!("{connections:?}"));
    session.set("duration", format!("{:?}", session.common.duration()));
    session.set("warm-up", format!("{:?}", session.common.warm_up()));
    let peers =
        args.peers.iter().map(|text| peer(text, args.contains.as_deref())).collect::<Result<Vec<_>, _>>()?;
    for peer in &peers {
        session.set(&format!("peer {}", peer.name), format!("{}{}", peer.target.url, peer.call.path));
    }
    let done = compare(args, session, peers, (&connections, repetitions));
    finish(session);
    done
}

/// Whoever does not answer is found out before anything is measured, and others before a platform is started for them.
fn compare(
    args: &PeersArgs,
    session: &mut Session,
    mut peers: Vec<Peer>,
    (connections, repetitions): (&[usize], u32),
) -> Result<(), Failure> {
    peers.iter().try_for_each(|peer| probe(session, peer))?;
    let platform = session.platform(&[])?;
    for kind in Kind::ALL {
        let peer = function(&platform, kind)?;
        platform.blamed(probe(session, &peer))?;
        peers.push(peer);
    }
    // They run as long as these values are there.
    let servers = if args.no_baselines { Vec::new() } else { baselines(session) };
    peers.extend(servers.iter().map(|(baseline, server)| of_baseline(*baseline, server)));
    let systems: Vec<(&Peer, usize)> =
        peers.iter().flat_map(|peer| connections.iter().map(move |&count| (peer, count))).collect();
    for repetition in 0..repetitions {
        let (order, seed) = session.order(systems.len(), repetition);
        for index in order {
            if session.stopped() {
                return Ok(());
            }
            let (peer, count) = systems[index];
            let plan = session.closed(&peer.target, Mix::of(peer.call.clone()), count, seed);
            let system = format!("{} x {count}", peer.name);
            let run = session.measure(&system, repetition, plan)?;
            session.keep(&platform, run, note)?;
            std::thread::sleep(REST);
        }
    }
    Ok(())
}

/// A function of the platform.
fn function(platform: &Platform, kind: Kind) -> Result<Peer, Failure> {
    let path = platform.deploy(kind, &format!("experiment-{}", kind.name()), None)?;
    let name = format!("spore {}", kind.name());
    Ok(Peer { call: hello(&path, kind.name()), target: platform.target.clone(), name })
}

fn of_baseline(baseline: Baseline, server: &Server) -> Peer {
    let name = format!("python {}", baseline.name());
    Peer { call: hello("", "hello"), target: server.target.clone(), name }
}

/// One call, which must be answered as expected.
fn probe(session: &Session, peer: &Peer) -> Result<(), Failure> {
    session.try_call(&peer.target, peer.call.clone()).map_err(|failure| {
        let Peer { name, target, call } = peer;
        let text = format!("`{name}` cannot be measured: {}{}: {}", target.url, call.path, failure.message);
        Failure { message: text, ..failure }
    })
}

fn note(measures: &mut Measures, run: &RunReport) {
    let system = &run.system;
    measures.latencies(system, &response(run, None));
    measures.add(&format!("{system} answers"), "1/s", Better::Higher, run.goodput());
    measures.add(&format!("{system} failed"), "answers", Better::Lower, failures(run) as f64);
}

fn finish(session: &mut Session) {
    session.plots.push(plots::cdf("Response time", &session.runs));
    session.plots.push(plots::ccdf("Response time: the tail", &session.runs));
    session.notes.push(
        "closed loop: a slower server is asked less often; `x N` is with N connections. The baselines are Python's own HTTP \
         handling with a thread for each connection and the handler of python-hello; only `exec` and `os-fork` give each \
         request a process of its own, and none a VM"
            .to_owned(),
    );
}

/// The baselines that answer, if the machine has Python. The experiment is about others: it goes on without one.
fn baselines(session: &mut Session) -> Vec<(Baseline, Server)> {
    let Some(python) = python() else {
        session
            .notes
            .push("this machine has no python3, so there is nothing of it to compare with".to_owned());
        return Vec::new();
    };
    session.set("python", python.display());
    print::note("starting the baselines");
    let mut servers = Vec::new();
    for baseline in Baseline::ALL {
        match baseline_server(session, &python, baseline) {
            Ok(server) => servers.push((baseline, server)),
            Err(failure) => {
                let name = baseline.name();
                session.notes.push(format!("`python {name}` is left out: {}", failure.message));
            }
        }
    }
    servers
}

fn baseline_server(session: &Session, python: &Path, baseline: Baseline) -> Result<Server, Failure> {
    let server = session.start_server(|| Server::start(python, baseline));
    let server = server.map_err(|error| Failure::new(error.to_string()))?;
    probe(session, &of_baseline(baseline, &server))?;
    Ok(server)
}

/// `NAME=URL`.
fn peer(text: &str, contains: Option<&str>) -> Result<Peer, Failure> {
    let usage = |why: String| Failure::new(format!("--peer {text}: {why}")).exit(Exit::Usage);
    let (name, url) = text.split_once('=').ok_or_else(|| usage("it must look like NAME=URL".to_owned()))?;
    let (target, path) = crate::commands::load::calls::target(url)?;
    let mut call = Call { name: name.to_owned(), ..Call::get(&path) };
    call.expect.contains = contains.map(str::to_owned);
    if name.is_empty() {
        return Err(usage("it has no name".to_owned()));
    }
    Ok(Peer { name: name.to_owned(), target, call })
}
