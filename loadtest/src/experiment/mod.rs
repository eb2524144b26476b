//! What experiments are made of, without a command line: the order of runs, a search for the knee, slopes, single calls that
//! are staged, functions that prove their state, and samples of processes.

pub mod baseline;
pub mod caller;
pub mod functions;
pub mod measures;
pub mod order;
pub mod proof;
pub mod sample;
pub mod search;
pub mod slope;
pub mod staged;
pub mod staging;
