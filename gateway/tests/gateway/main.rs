//! The gateway over real sockets, in front of a backend without VMs. One program, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bodies;
mod control;
mod deploy;
mod hostile;
mod invoke;
mod restart;
mod streams;
mod support;
