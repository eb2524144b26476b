//! The worker: owns the cells (one process per function), their pools of shells, and the limits.
//!
//! | module | what it knows |
//! |---|---|
//! | [`api`] | what the gateway asks of a worker: plain values |
//! | [`cell`] | the cell process: builds the parent, runs a thread per shell |
//! | `protocol`, `message` | what worker and cell say to each other |
//! | `feed`, `parts` | requests that go on while they run, and responses that do |
//! | `host` | the worker's side: starting cells, pools, admission |
//! | [`run`] | one program in a VM of its own, without a platform |
//! | `logs` | what functions print |
//! | [`bench`] | measurements of this machine |
//! | [`doctor`] | what this machine can do |
#![deny(unsafe_code)]

pub mod api;
pub mod bench;
pub mod cell;
pub mod doctor;
mod feed;
mod host;
mod logs;
mod message;
mod names;
mod parts;
mod protocol;
pub mod run;
mod worker;

pub use worker::{Function, Worker, WorkerConfig};

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
