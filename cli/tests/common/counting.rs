//! A platform without VMs that deploys, answers the calls of a trace, counts, and fails as it is told.

use super::fake::{Request, read};
use gateway::api::{FunctionDetail, FunctionSummary, VmList};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use worker::api::{Contract, FunctionStats};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is gone after the first call.
    Dies,
    /// No call is answered as expected.
    Fails,
    /// Functions cannot be removed.
    Keeps,
}

/// What it has and has counted.
#[derive(Default)]
struct State {
    /// Calls of each function.
    calls: BTreeMap<String, u64>,
    removed: usize,
    dead: bool,
}

/// The platform.
pub(crate) struct Counting {
    /// Its base URL.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    called: Receiver<()>,
}

impl Counting {
    /// Starts it.
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::<Mutex<State>>::default();
        let (sender, called) = channel();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state, sender) =
                    (stream.expect("a connection"), Arc::clone(&shared), sender.clone());
                thread::spawn(move || serve(&stream, &state, fault, &sender));
            }
        });
        Self { url, state, called }
    }

    /// Waits for a call.
    pub(crate) fn called(&self) {
        self.called.recv().expect("the server runs");
    }

    /// Functions that were deployed, and how many were removed.
    pub(crate) fn functions(&self) -> (usize, usize) {
        let state = self.state.lock().expect("no panic");
        (state.calls.len(), state.removed)
    }
}

/// Answers the one request of a connection.
fn serve(mut stream: &TcpStream, state: &Mutex<State>, fault: Fault, called: &Sender<()>) {
    let request = read(stream);
    let answer = state.lock().expect("no panic").answer(&request, fault, called);
    if let Some((status, body)) = answer {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}");
        // Who asked may be gone.
        let _ = stream.write_all(format!("{head}\r\nx-spore-start: cold\r\n\r\n{body}").as_bytes());
    }
}

impl State {
    /// Status and body; none if it says nothing any more.
    fn answer(
        &mut self,
        request: &Request,
        fault: Fault,
        called: &Sender<()>,
    ) -> Option<(&'static str, String)> {
        if self.dead {
            return None;
        }
        let mut words = request.line.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Some(match (method, path) {
            ("PUT", _) => {
                self.calls.insert(name.clone(), 0);
                ("201 Created", serde_json::to_string(&detail(name)).expect("JSON"))
            }
            ("DELETE", _) if fault == Fault::Keeps => ("500 Internal Server Error", "it is kept".to_owned()),
            ("DELETE", _) => {
                self.removed += 1;
                ("200 OK", String::new())
            }
            ("GET", "/metrics") => ("200 OK", self.metrics()),
            ("GET", _) => ("200 OK", serde_json::to_string(&VmList { vms: Vec::new() }).expect("JSON")),
            _ => {
                let name = path.split('/').nth(2)?;
                *self.calls.get_mut(name)? += 1;
                self.dead = fault == Fault::Dies;
                // Nobody may wait for it.
                let _ = called.send(());
                let status = if fault == Fault::Fails { "500 Internal Server Error" } else { "200 OK" };
                (status, worked(&request.body))
            }
        })
    }

    /// Each call waited for a parent that was taken up from its snapshot.
    fn metrics(&self) -> String {
        let lines = self.calls.iter().map(|(name, calls)| {
            let function = format!("function=\"{name}\"");
            let cells = calls + 1;
            format!(
                "spore_forks_total{{{function},start=\"cold\"}} {calls}\nspore_parent_loads_total{{{function}}} {calls}\n\
                 spore_parent_boots_total{{{function}}} 1\nspore_cell_starts_total{{{function}}} {cells}\n"
            )
        });
        lines.collect()
    }
}

/// The answer of a function that has worked as it was asked to.
fn worked(body: &[u8]) -> String {
    let wanted: Value = serde_json::from_slice(body).expect("JSON");
    let [busy_ms, memory_mib] =
        ["busy_ms", "memory_mib"].map(|name| wanted[name].as_u64().expect("a number"));
    format!("busy_ms={busy_ms} memory_mib={memory_mib} pages={} calls=1", memory_mib * 256)
}

fn detail(name: String) -> FunctionDetail {
    FunctionDetail {
        summary: FunctionSummary {
            path: format!("/function/{name}"),
            name,
            runtime: "python3.11".to_owned(),
            revision: "1".to_owned(),
            state: "ready".to_owned(),
            reason: String::new(),
            deployed_at: String::new(),
        },
        contract: Contract::Handler,
        handler: "worker.handler".to_owned(),
        memory_bytes: 1 << 27,
        timeout_ms: 1000,
        env: Vec::new(),
        port: 0,
        max_concurrency: 1,
        package_sha256: String::new(),
        stats: FunctionStats::default(),
    }
}
