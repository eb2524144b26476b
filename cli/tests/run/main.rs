//! `spore run` end to end: streams, signals and exit codes; and real programs, which must do in a VM what they do
//! on this machine.

#[path = "../common/mod.rs"]
mod common;

mod codes;
mod cpython;
mod processes;
mod programs;
mod rig;
mod signals;
mod streams;
mod terminal;
