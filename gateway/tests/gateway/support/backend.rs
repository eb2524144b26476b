//! A backend without VMs. What a "function" does is told by the path below its name.

use super::{bodies, streams};
use bytes::Bytes;
use gateway::backend::{Backend, Pending, Prepared};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};
use worker::api::{
    Contract, Feed, FunctionSpec, FunctionStats, Invocation, InvokeError, LogLine, ParentInfo, Parts,
    PrepareError, Reply, StartKind, Timing, VmInfo, WorkerStats,
};

type Log = (Vec<LogLine>, broadcast::Sender<LogLine>);

/// Shared state of all functions.
pub(crate) struct TestBackend {
    stats: Mutex<HashMap<String, FunctionStats>>,
    logs: Mutex<HashMap<String, Log>>,
    /// A permit for every invocation that has begun to hang.
    pub(crate) hanging: Arc<Semaphore>,
    /// A permit for every hanging invocation that was dropped.
    pub(crate) dropped: Arc<Semaphore>,
    /// A permit lets one hanging invocation answer.
    pub(crate) release: Arc<Semaphore>,
    /// A permit for every build that waits at the gate.
    pub(crate) at_gate: Arc<Semaphore>,
    /// A permit lets one build of a function with the variable `GATE` go on.
    pub(crate) gate: Arc<Semaphore>,
    /// Everything that was to be built.
    pub(crate) specs: Mutex<Vec<FunctionSpec>>,
    pub(crate) shutdowns: AtomicU64,
}

impl Default for TestBackend {
    fn default() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self {
            stats: Mutex::default(),
            logs: Mutex::default(),
            hanging: none(),
            dropped: none(),
            release: none(),
            at_gate: none(),
            gate: none(),
            specs: Mutex::default(),
            shutdowns: AtomicU64::new(0),
        }
    }
}

impl TestBackend {
    /// Adds a log line.
    pub(crate) fn log(&self, name: &str, text: &str) {
        let mut logs = self.logs.lock().unwrap();
        let (lines, sender) =
            logs.entry(name.to_owned()).or_insert_with(|| (Vec::new(), broadcast::channel(64).0));
        let line = LogLine {
            seq: lines.len() as u64 + 1,
            ts: "2026-01-01T00:00:00Z".to_owned(),
            stream: "stdout".to_owned(),
            request_id: String::new(),
            line: text.to_owned(),
        };
        lines.push(line.clone());
        let _nobody_follows = sender.send(line);
    }

    /// Whether anything is known of a function.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.logs.lock().unwrap().contains_key(name) || self.stats.lock().unwrap().contains_key(name)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut FunctionStats)) {
        change(self.stats.lock().unwrap().entry(name.to_owned()).or_default());
    }
}

impl Backend for TestBackend {
    fn prepare(&self, spec: FunctionSpec) -> Pending<'_, Result<Arc<dyn Prepared>, PrepareError>> {
        Box::pin(async move {
            self.specs.lock().unwrap().push(spec.clone());
            self.log(&spec.name, "booting");
            if spec.env.contains_key("GATE") {
                self.at_gate.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
            }
            match spec.env.get("FAIL").map(String::as_str) {
                Some("function") => {
                    let reason = "the program exited with status 1 before it was ready".to_owned();
                    return Err(PrepareError::Function {
                        reason,
                        output: "ModuleNotFoundError: nope".to_owned(),
                    });
                }
                Some("invalid") => {
                    return Err(PrepareError::Invalid("16 MiB are too little for this".to_owned()));
                }
                Some("platform") => return Err(PrepareError::Platform("/dev/kvm is missing".to_owned())),
                _ => {}
            }
            let image = std::fs::read(&spec.package.as_ref().unwrap().path).unwrap();
            assert_eq!(image[1024..1028], 0xe0f5_e1e2_u32.to_le_bytes(), "the package is an EROFS image");
            self.change(&spec.name, |stats| {
                stats.parent_boots += 1;
                stats.parent = Some(ParentInfo {
                    build: Duration::from_millis(5),
                    resident_bytes: 4096,
                    runtime_resident_bytes: 8192,
                });
                stats.unsupported = BTreeMap::from([("bpf".to_owned(), 2)]);
                stats.log_dropped_bytes = 7;
                stats.shells = 3;
            });
            let (hanging, dropped, release) =
                (self.hanging.clone(), self.dropped.clone(), self.release.clone());
            Ok(Arc::new(Function { spec, hanging, dropped, release, forks: AtomicU64::new(0) })
                as Arc<dyn Prepared>)
        })
    }

    fn resume(&self, spec: FunctionSpec) -> Pending<'_, Result<Arc<dyn Prepared>, PrepareError>> {
        self.prepare(spec)
    }

    fn collect(&self, _deployed: Vec<FunctionSpec>) -> Pending<'_, Result<(), PrepareError>> {
        Box::pin(async { Ok(()) })
    }

    fn vms(&self) -> Pending<'_, Vec<VmInfo>> {
        let vm = |function: &str, id: &str| VmInfo {
            id: id.to_owned(),
            function: function.to_owned(),
            pid: 1,
            state: "idle".to_owned(),
            age_seconds: 1.5,
            served: 2,
            memory_address: 0x1000,
            shared_bytes: 3,
            private_bytes: 4,
            pss_bytes: 5,
        };
        Box::pin(async move { vec![vm("b", "b-1-0"), vm("a", "a-1-1"), vm("a", "a-1-0")] })
    }

    fn worker_stats(&self) -> WorkerStats {
        WorkerStats {
            vms: 3,
            vms_max: 10,
            memory_short: true,
            snapshot_bytes: Some(4096),
            ..WorkerStats::default()
        }
    }

    fn stats(&self, name: &str) -> FunctionStats {
        self.stats.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    fn logs(&self, name: &str, tail: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let mut logs = self.logs.lock().unwrap();
        let (lines, sender) =
            logs.entry(name.to_owned()).or_insert_with(|| (Vec::new(), broadcast::channel(64).0));
        (lines[lines.len().saturating_sub(tail)..].to_vec(), sender.subscribe())
    }

    fn forget(&self, name: &str) {
        self.stats.lock().unwrap().remove(name);
        self.logs.lock().unwrap().remove(name);
    }

    fn shutdown(&self) -> Pending<'_, ()> {
        self.shutdowns.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {})
    }
}

struct Function {
    spec: FunctionSpec,
    hanging: Arc<Semaphore>,
    dropped: Arc<Semaphore>,
    release: Arc<Semaphore>,
    forks: AtomicU64,
}

/// Tells when an invocation is dropped before it ended.
struct Bomb(Option<Arc<Semaphore>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.add_permits(1);
        }
    }
}

impl Prepared for Function {
    fn invoke(&self, invocation: Invocation) -> Pending<'_, Result<Reply, InvokeError>> {
        Box::pin(async move {
            let Invocation { payload, feed, .. } = invocation;
            let (payload, rest) = match self.spec.contract {
                Contract::Handler => (self.handler(payload).await?, None),
                Contract::Http => self.http(payload, feed).await?,
                Contract::RuntimeApi => self.runtime_api(&payload),
            };
            let start = if self.forks.fetch_add(1, Ordering::SeqCst) == 0 {
                StartKind::New
            } else {
                StartKind::Recycled
            };
            Ok(Reply {
                payload: Bytes::from(payload),
                rest,
                timing: Timing {
                    queue: Duration::from_micros(10),
                    fork: Duration::from_micros(20),
                    run: Duration::from_micros(1500),
                },
                start,
                instance: "00112233445566778899aabbccddeeff".to_owned(),
            })
        })
    }
}

impl Function {
    async fn http(
        &self,
        payload: Bytes,
        mut feed: Option<Feed>,
    ) -> Result<(Vec<u8>, Option<Parts>), InvokeError> {
        let line = String::from_utf8_lossy(&payload).into_owned();
        let path = line.split(' ').nth(1).unwrap_or_default();
        match path {
            "/hang" => {
                let _unread = feed;
                self.hang().await?;
                return Ok((b"HTTP/1.1 201 Created\r\ncontent-length: 8\r\n\r\nreleased".to_vec(), None));
            }
            "/upgrade/late" => drop(self.hang().await?),
            "/large" => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 16 << 20);
                return Ok(([head.as_bytes(), &vec![b'x'; 16 << 20]].concat(), None));
            }
            "/pieces" => {
                self.hanging.add_permits(1);
                return Ok((bodies::count(feed).await?, None));
            }
            _ => {}
        }
        if let Some((first, rest)) = bodies::goes_on(path, &mut feed, &self.dropped) {
            return Ok((first, Some(rest)));
        }
        Ok(match streams::answer(path, &self.release, &self.dropped) {
            Some((first, rest)) => (first, Some(rest)),
            None => (bodies::server(&bodies::whole(payload, feed).await?), None),
        })
    }

    fn runtime_api(&self, next: &[u8]) -> (Vec<u8>, Option<Parts>) {
        let event = next.iter().position(|&byte| byte == b'{').unwrap_or_default();
        let event: Value = serde_json::from_slice(&next[event..]).unwrap();
        match streams::posted(event["rawPath"].as_str().unwrap(), &self.release, &self.dropped) {
            Some((first, rest)) => (first, Some(rest)),
            None => (runtime_api(next), None),
        }
    }

    async fn handler(&self, payload: Bytes) -> Result<Vec<u8>, InvokeError> {
        let document: Value = serde_json::from_slice(&payload).unwrap();
        let event = &document["event"];
        let path = event["rawPath"].as_str().unwrap();
        if path == "/hang" {
            return self.hang().await;
        }
        if let Some(error) = failure(path) {
            return Err(error);
        }
        Ok(match path {
            "/document" => json!({ "result": document }).to_string().into_bytes(),
            "/revision" => json!({ "result": self.spec.revision }).to_string().into_bytes(),
            "/size" => {
                json!({ "result": event["body"].as_str().unwrap_or_default().len() }).to_string().into_bytes()
            }
            // Says what the body says.
            "/say" => event["body"].as_str().unwrap().as_bytes().to_vec(),
            "/raise" => br#"{"error":{"type":"ValueError","message":"no good"}}"#.to_vec(),
            "/memory" => br#"{"error":{"type":"MemoryError","message":""}}"#.to_vec(),
            _ => {
                let answer = json!({
                    "statusCode": 200,
                    "headers": {"content-type": "text/plain", "server-timing": "own;dur=1"},
                    "cookies": ["a=1", "b=2"],
                    "body": format!("{} {path}", event["requestContext"]["http"]["method"].as_str().unwrap()),
                });
                json!({ "result": answer }).to_string().into_bytes()
            }
        })
    }

    async fn hang(&self) -> Result<Vec<u8>, InvokeError> {
        let mut bomb = Bomb(Some(self.dropped.clone()));
        self.hanging.add_permits(1);
        self.release.acquire().await.unwrap().forget();
        bomb.0 = None;
        Ok(br#"{"result":"released"}"#.to_vec())
    }
}

fn failure(path: &str) -> Option<InvokeError> {
    Some(match path {
        "/timeout" => InvokeError::Timeout(Duration::from_secs(3)),
        "/exit" => InvokeError::Exited { status: 3 },
        "/kill" => InvokeError::Killed { number: 11, name: "SIGSEGV".to_owned(), address: 0x10 },
        "/oom" => InvokeError::OutOfMemory { limit_bytes: 1 << 27 },
        "/toolarge" => InvokeError::ResponseTooLarge { limit_bytes: 1 << 24 },
        "/fault" => InvokeError::GuestFault("it broke its page tables".to_owned()),
        "/overload" => InvokeError::Overloaded { limit: 1, retry_after: Duration::from_millis(2500) },
        "/notready" => InvokeError::NotReady("its cell is gone".to_owned()),
        "/requesttoolarge" => InvokeError::RequestTooLarge { limit_bytes: 1 << 24 },
        "/platform" => InvokeError::Platform("no shell could be made".to_owned()),
        "/shutdown" => InvokeError::ShuttingDown,
        _ => return None,
    })
}

/// A program of the Runtime API that posts the event it got, or an error if the path is `/raise`.
fn runtime_api(next: &[u8]) -> Vec<u8> {
    let mut slots = [httparse::EMPTY_HEADER; 16];
    let length = httparse::Response::new(&mut slots).parse(next).unwrap().unwrap();
    let event: Value = serde_json::from_slice(&next[length..]).unwrap();
    if event["rawPath"] == "/raise" {
        return br#"error unhandled
{"errorType":"ValueError","errorMessage":"no good"}"#
            .to_vec();
    }
    [b"response \n", &next[length..]].concat()
}
