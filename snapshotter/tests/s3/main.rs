//! Snapshots in an object store: against a real S3 server, and against servers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod faults;
mod fixture;
mod server;
mod tier;
