//! The worker: owns the cells (one process per function), their pools of shells, and the limits.

pub mod api;
mod worker;

pub use worker::{Function, Worker, WorkerConfig};
