//! What outlives the process: one [`Record`] a function ([`Store`]) and the packages ([`packages`]).
//!
//! ```text
//! DATA/lock                      held while a platform runs on DATA
//! DATA/spore.redb                records, by function name
//! DATA/packages/SHA256.erofs     package images, by content
//! ```

pub(crate) mod lock;
pub(crate) mod packages;
pub(crate) mod redb;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use worker::api::{Contract, FunctionSpec, Package};

/// Version of [`Record`] that this program writes, and the only one it reads.
const RECORD_VERSION: u32 = 1;

/// Everything that is kept about a deployed function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub version: u32,
    pub name: String,
    pub revision: String,
    pub runtime: String,
    pub contract: Contract,
    pub handler: String,
    pub command: Vec<String>,
    /// The complete environment of the program.
    pub env: BTreeMap<String, String>,
    /// Names in `env` that the user set.
    pub user_env: Vec<String>,
    pub port: u16,
    pub memory_bytes: u64,
    pub timeout_ms: u64,
    pub max_concurrency: usize,
    pub package_sha256: String,
    pub deployed_at: String,
}

impl Record {
    /// A record of the current version needs this number.
    pub(crate) const VERSION: u32 = RECORD_VERSION;

    /// What the worker needs, with the package at `package`.
    pub(crate) fn spec(&self, package: PathBuf) -> FunctionSpec {
        FunctionSpec {
            name: self.name.clone(),
            revision: self.revision.clone(),
            runtime: self.runtime.clone(),
            contract: self.contract,
            command: self.command.clone(),
            env: self.env.clone(),
            port: self.port,
            memory_bytes: self.memory_bytes,
            timeout: self.timeout(),
            max_concurrency: self.max_concurrency,
            package: Some(Package { path: package, sha256: self.package_sha256.clone() }),
        }
    }

    /// Longest run of one request.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Decodes what [`Store::load`] found under `name`; says why it cannot be used.
    fn decode(name: &str, bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let version = serde_json::from_slice::<Version>(bytes)
            .map_err(|error| format!("its stored record is damaged: {error}"))?;
        if version.version != RECORD_VERSION {
            return Err(format!(
                "its stored record has version {}, this program reads version {RECORD_VERSION}",
                version.version
            ));
        }
        let record: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("its stored record is damaged: {error}"))?;
        if record.name != name {
            return Err("its stored record is damaged: it names another function".to_owned());
        }
        Ok(record)
    }
}

/// One entry of the store: a record, or why there is none.
pub(crate) type Loaded = (String, Result<Record, String>);

/// Keeps records. Calls block and are atomic and durable when they return.
pub(crate) trait Store: Send + Sync {
    /// All records.
    fn load(&self) -> Result<Vec<Loaded>, StoreError>;
    /// Stores a record under its name, replacing an older one.
    fn put(&self, record: &Record) -> Result<(), StoreError>;
    /// Removes a record; whether there was one.
    fn remove(&self, name: &str) -> Result<bool, StoreError>;
}

/// The store failed: which step and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} the function store: {reason}")]
pub struct StoreError {
    step: &'static str,
    reason: String,
}

#[cfg(test)]
pub(crate) fn example_record(name: &str) -> Record {
    Record {
        version: RECORD_VERSION,
        name: name.to_owned(),
        revision: "r1".to_owned(),
        runtime: "native".to_owned(),
        contract: Contract::Http,
        handler: "server".to_owned(),
        command: vec!["/var/task/server".to_owned()],
        env: BTreeMap::from([("PORT".to_owned(), "8080".to_owned())]),
        user_env: Vec::new(),
        port: 8080,
        memory_bytes: 128 << 20,
        timeout_ms: 3000,
        max_concurrency: 128,
        package_sha256: "0".repeat(64),
        deployed_at: "2026-01-01T00:00:00Z".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back() {
        let record = example_record("a");
        let bytes = serde_json::to_vec(&record).unwrap();
        assert_eq!(Record::decode("a", &bytes), Ok(record));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        let mut newer = example_record("a");
        newer.version = 2;
        let newer = serde_json::to_vec(&newer).unwrap();
        assert!(Record::decode("a", &newer).unwrap_err().contains("version 2"));
        let bytes = serde_json::to_vec(&example_record("a")).unwrap();
        assert!(Record::decode("b", &bytes).unwrap_err().contains("another function"));
        assert!(Record::decode("a", &bytes[..bytes.len() - 1]).unwrap_err().contains("damaged"));
        assert!(Record::decode("a", b"{\"version\":1}").unwrap_err().contains("damaged"));
    }
}
