//! Load for HTTP servers, and what it says about them.
//!
//! Latency in an open loop counts from when a request was *meant* to be sent ([`arrivals`]): a server that stalls makes all
//! those late that should have been sent meanwhile (no coordinated omission; Tene, "How NOT to Measure Latency").

#![forbid(unsafe_code)]

pub mod arrivals;
pub mod bench;
pub mod call;
mod clock;
pub mod engine;
pub mod expect;
pub mod experiment;
pub mod failure;
mod http1;
mod http2;
pub mod report;
pub mod significance;
mod socket;
pub mod tally;
pub mod target;
pub mod trace;
pub mod workloads;
