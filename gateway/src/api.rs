//! The control API under `/v1/`: its JSON types, used by the gateway and by the CLI.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /v1/functions` | | 200 [`FunctionList`] |
//! | `PUT /v1/functions/{name}` | multipart: `config` = [`DeployConfig`] JSON, `package` = tar | 201 new, 200 replaced: [`FunctionDetail`] |
//! | `GET /v1/functions/{name}` | | 200 [`FunctionDetail`] |
//! | `DELETE /v1/functions/{name}` | | 204 |
//! | `GET /v1/functions/{name}/logs?follow=BOOL&tail=N` | | 200 NDJSON of [`worker::api::LogLine`] |
//! | `GET /v1/vms` | | 200 [`VmList`] |
//!
//! Every error, here and on the invocation path, is an [`ErrorBody`] with a matching HTTP status.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use worker::api::{Contract, FunctionStats, VmInfo};

/// What a user says about a function. Absent fields get defaults; `spore.toml` has the same fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeployConfig {
    /// `python3.11`, `node24`, `native` or `provided`; guessed from the package when absent.
    pub runtime: Option<String>,
    /// Python and Node.js: `module.function`. Native: path of the program in the package, with arguments after spaces.
    pub handler: Option<String>,
    /// Memory of the program: `128MiB` (default; `256MiB` for `node24`), `1GiB`, or bytes.
    pub memory: Option<String>,
    /// Longest run of one request: `3s` (default), `500ms`, `2m`. At most 15 minutes.
    pub timeout: Option<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Port a native program listens on; also given to it as `PORT`. Default 8080.
    pub port: Option<u16>,
    /// Most live VMs at once. Default 128.
    pub max_concurrency: Option<usize>,
}

/// A deployed function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionSummary {
    /// Name.
    pub name: String,
    /// Path of its URL: `/function/NAME`.
    pub path: String,
    /// Runtime.
    pub runtime: String,
    /// Revision: changes with every deploy.
    pub revision: String,
    /// `ready`, `building` or `failed`.
    pub state: String,
    /// Why it failed; empty otherwise.
    pub reason: String,
    /// When it was deployed, RFC 3339.
    pub deployed_at: String,
}

/// All functions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionList {
    /// Sorted by name.
    pub functions: Vec<FunctionSummary>,
}

/// One function with everything known about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionDetail {
    /// The summary.
    #[serde(flatten)]
    pub summary: FunctionSummary,
    /// How it takes requests.
    pub contract: Contract,
    /// Entry point.
    pub handler: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Timeout in milliseconds.
    pub timeout_ms: u64,
    /// Names of the environment variables (values are not shown).
    pub env: Vec<String>,
    /// Port.
    pub port: u16,
    /// Most live VMs at once.
    pub max_concurrency: usize,
    /// SHA-256 of the package, hex.
    pub package_sha256: String,
    /// Totals since the platform started.
    pub stats: FunctionStats,
}

/// All live VMs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VmList {
    /// Sorted by function, then id.
    pub vms: Vec<VmInfo>,
}

/// The error document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// One error: what failed, why, what to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Stable code in the field's manner: `FunctionNotFound`, `FunctionTimeout`, `FunctionOutOfMemory`, ...
    pub code: String,
    /// What failed and why.
    pub message: String,
    /// What to do; empty if there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// For `FunctionError`: the type of the exception.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_type: String,
    /// For a refused deploy: the program's own output.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// The request this answers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}
