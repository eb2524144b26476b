//! The worker's side of cells: starting them, taking shells, admitting requests.

pub(crate) mod archive;
pub(crate) mod cell;
mod control;
pub(crate) mod function;
pub(crate) mod home;
pub(crate) mod parents;
mod run;
mod shells;
pub(crate) mod totals;
