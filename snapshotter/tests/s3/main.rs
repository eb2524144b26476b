//! Snapshots in an object store: against a real S3 server, and against servers that misbehave.

mod faults;
mod fixture;
mod server;
mod tier;
