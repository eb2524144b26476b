//! What the gateway asks of a worker: plain values, no KVM type.

pub use crate::feed::{Broken, Feed, Kind as FeedKind, PIECE_MAX, Source};
pub use crate::parts::{Parts, Piece};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How a function takes its requests (DESIGN: contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// `app.handler(event, context)`: JSON in, JSON out.
    Handler,
    /// An HTTP server on the declared port: HTTP/1.1 bytes in, HTTP/1.1 bytes out.
    Http,
    /// AWS Lambda's Runtime API: events in, what was posted out, as [`abi::runtime_api`] says.
    #[serde(rename = "runtime-api")]
    RuntimeApi,
}

impl Contract {
    /// The contract of a function; `None` for a program that takes no requests.
    pub fn of(contract: abi::boot::Contract) -> Option<Self> {
        match contract {
            abi::boot::Contract::Handler => Some(Self::Handler),
            abi::boot::Contract::Http => Some(Self::Http),
            abi::boot::Contract::RuntimeApi => Some(Self::RuntimeApi),
            abi::boot::Contract::Program => None,
        }
    }
}

impl From<Contract> for abi::boot::Contract {
    fn from(contract: Contract) -> Self {
        match contract {
            Contract::Handler => Self::Handler,
            Contract::Http => Self::Http,
            Contract::RuntimeApi => Self::RuntimeApi,
        }
    }
}

/// Everything a worker needs to build a function's parent. The package is an EROFS image on disk.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Function name.
    pub name: String,
    /// Changes with every deploy; part of every id and metric of the parent.
    pub revision: String,
    /// Name of the runtime: `python3.11`, `node24`, `native` or `provided`.
    pub runtime: String,
    /// How it takes requests.
    pub contract: Contract,
    /// Program and arguments inside the VM.
    pub command: Vec<String>,
    /// Environment of the program, complete.
    pub env: BTreeMap<String, String>,
    /// Port the program listens on (contract `Http`), or pico answers on (contract `RuntimeApi`).
    pub port: u16,
    /// Memory of the program in bytes.
    pub memory_bytes: u64,
    /// Longest run of one request.
    pub timeout: Duration,
    /// Most live VMs at once.
    pub max_concurrency: usize,
    /// Its package; a runtime has none.
    pub package: Option<Package>,
}

/// A package as the gateway keeps it.
#[derive(Clone, Debug)]
pub struct Package {
    /// EROFS image.
    pub path: PathBuf,
    /// SHA-256 of the image, in hexadecimal.
    pub sha256: String,
}

/// One request for a function.
#[derive(Debug)]
pub struct Invocation {
    /// Request id, unique.
    pub request_id: String,
    /// The invocation document (`Handler`), the HTTP/1.1 request (`Http`) or the answer to `next` (`RuntimeApi`).
    pub payload: Bytes,
    /// What follows the payload (`Http` only).
    pub feed: Option<Feed>,
}

/// How the VM that answered came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartKind {
    /// A shell restored in place to the parent's state after its previous request.
    Recycled,
    /// A shell whose memory was mapped anew from the parent, because it could not be restored in place.
    Remapped,
    /// A shell made ahead of the request, with its page faults behind it.
    Spare,
    /// A shell made while the request waited.
    New,
    /// A shell made while the request waited, of a parent that was not in memory when the request came.
    Cold,
}

/// Where the time of one invocation went.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Waiting for a place, for a shell (being made, if none is idle) or for the parent.
    pub queue: Duration,
    /// From the request's arrival in the shell to entering the VM.
    pub fork: Duration,
    /// In the VM, until the response (or the first part of it) was in the mailbox.
    pub run: Duration,
}

/// The answer of a function: bytes of the guest, not yet checked.
#[derive(Debug)]
pub struct Reply {
    /// Result document (`Handler`) or HTTP/1.1 response (`Http`): all of it, or its first part.
    pub payload: Bytes,
    /// What follows the first part, if that is not all.
    pub rest: Option<Parts>,
    /// Where the time went.
    pub timing: Timing,
    /// How the VM came to be.
    pub start: StartKind,
    /// Random id of the fork that answered (32 hex digits).
    pub instance: String,
}

/// Why an invocation has no reply. Display texts are fit for the client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// The function ran longer than its timeout; its VM was destroyed.
    #[error("the function did not answer within {0:?}")]
    Timeout(Duration),
    /// Its time was over while it waited for the rest of its request.
    #[error("the request body did not arrive before the function's time ({0:?}) was over")]
    BodyTimeout(Duration),
    /// The rest of the request was refused, for this reason.
    #[error("the rest of the request was refused: {0}")]
    BodyRefused(String),
    /// The program ended instead of answering.
    #[error("the function exited with status {status} before it answered")]
    Exited {
        /// Exit status.
        status: u8,
    },
    /// A signal killed the program.
    #[error("the function was killed by {name} (signal {number}) at address {address:#x}")]
    Killed {
        /// Signal number.
        number: u8,
        /// Signal name, `SIGSEGV`.
        name: String,
        /// Fault address.
        address: u64,
    },
    /// Memory was refused to the program and it died of it.
    #[error("the function ran out of memory (limit {limit_bytes} bytes)")]
    OutOfMemory {
        /// The limit.
        limit_bytes: u64,
    },
    /// The response is over the limit.
    #[error("the function's response is larger than {limit_bytes} bytes")]
    ResponseTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The guest broke its own kernel or the contract with the host; the VM was destroyed.
    #[error("the function's VM failed: {0}")]
    GuestFault(String),
    /// All places are taken and the queue is full.
    #[error("the function is at its concurrency limit of {limit}; try again in {retry_after:?}")]
    Overloaded {
        /// Concurrency limit.
        limit: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// All places of the worker are taken, by whatever function, and the queue is full or took too long.
    #[error("the platform is at its limit of {limit} VMs; try again in {retry_after:?}")]
    WorkerOverloaded {
        /// Most VMs that run at once.
        limit: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The function has no usable parent: why its last build failed.
    #[error("the function is not ready: {0}")]
    NotReady(String),
    /// The request does not fit into the mailbox.
    #[error("the encoded request is larger than {limit_bytes} bytes")]
    RequestTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The platform failed, not the function.
    #[error("the platform failed: {0}")]
    Platform(String),
    /// The platform is stopping.
    #[error("the platform is shutting down")]
    ShuttingDown,
}

/// Why a parent could not be built. The first two are the function's fault, with its own output.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PrepareError {
    /// The program failed before it was ready.
    #[error("{reason}")]
    Function {
        /// What happened: exit status, signal, or never ready.
        reason: String,
        /// The last lines it printed.
        output: String,
    },
    /// The specification cannot be run (memory too small, environment too large).
    #[error("{0}")]
    Invalid(String),
    /// The platform failed: no KVM, no image, no cell.
    #[error("{0}")]
    Platform(String),
}

/// What a build of a parent cost.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ParentInfo {
    /// From the start of the cell to the captured parent.
    pub build: Duration,
    /// Memory of the parent that is resident, in bytes, without that of its runtime's parent.
    pub resident_bytes: u64,
    /// Memory of its runtime's parent that is resident, in bytes, shared by all functions that lie on it; 0 if it
    /// lies on none.
    pub runtime_resident_bytes: u64,
}

/// One live VM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VmInfo {
    /// Id of the shell: `NAME-CELL_PID-NUMBER`.
    pub id: String,
    /// Function.
    pub function: String,
    /// Process id of its cell.
    pub pid: u32,
    /// `starting`, `idle` or `serving`.
    pub state: String,
    /// Since the shell was made, in seconds.
    pub age_seconds: f64,
    /// Requests it has answered.
    pub served: u64,
    /// Where its memory begins in the cell's address space (find it in `/proc/PID/smaps`).
    pub memory_address: u64,
    /// Resident bytes it shares with its parent.
    pub shared_bytes: u64,
    /// Resident bytes of its own.
    pub private_bytes: u64,
    /// Proportional set size in bytes.
    pub pss_bytes: u64,
}

/// Running totals of one function since the platform started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FunctionStats {
    /// Parents built: booted, or made of the runtime's.
    pub parent_boots: u64,
    /// Cells started that came to their parent, built or held.
    pub cell_starts: u64,
    /// Parents taken up from their snapshots.
    pub parent_loads: u64,
    /// Parents that left memory because nobody called the function.
    pub parent_evictions: u64,
    /// Forks by kind of start.
    pub forks_recycled: u64,
    /// Forks into shells mapped anew.
    #[serde(default)]
    pub forks_remapped: u64,
    /// Forks into shells made ahead of demand.
    #[serde(default)]
    pub forks_spare: u64,
    /// Forks into shells made while the request waited.
    pub forks_new: u64,
    /// The same, of a parent that was not in memory when the request came.
    #[serde(default)]
    pub forks_cold: u64,
    /// Shells made ahead of demand.
    #[serde(default)]
    pub spares_prepared: u64,
    /// Idle shells ended because they were idle for long.
    #[serde(default)]
    pub trimmed_idle: u64,
    /// Idle shells ended because the machine was short of memory.
    #[serde(default)]
    pub trimmed_pressure: u64,
    /// Idle shells ended to make room for another function's.
    #[serde(default)]
    pub trimmed_room: u64,
    /// Shells destroyed, whatever the reason.
    pub shells_discarded: u64,
    /// Live shells.
    pub shells: u64,
    /// Bytes of log dropped at a limit.
    pub log_dropped_bytes: u64,
    /// What was refused for lack of it, by name: system calls, flags, commands, options (`ptrace`, `ioctl TCSETSW`). At most
    /// 256 names; what is beyond is counted as `others`.
    pub unsupported: BTreeMap<String, u64>,
    /// The current parent.
    pub parent: Option<ParentInfo>,
}

/// What the worker has and has done, whatever the function.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Live VMs.
    pub vms: u64,
    /// Most there may be.
    pub vms_max: u64,
    /// Whether the machine is short of memory: idle VMs and parents leave it.
    pub memory_short: bool,
    /// Snapshots on disk, if they can be counted.
    pub snapshots: Option<u64>,
    /// Bytes of these.
    pub snapshot_bytes: Option<u64>,
    /// Bytes of parents that were paged in, counted when a parent is complete.
    pub paged_bytes: u64,
    /// Pieces of parents that could not be read.
    pub paging_failures: u64,
}

/// One line of a function's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// Position in the function's log; grows by one a line.
    pub seq: u64,
    /// Wall clock, RFC 3339.
    pub ts: String,
    /// `stdout`, `stderr` or `system`.
    pub stream: String,
    /// Request it belongs to; empty while the parent boots.
    pub request_id: String,
    /// Text; invalid UTF-8 is replaced.
    pub line: String,
}
