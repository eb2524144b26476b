//! The worker's side of cells: starting them, taking shells, admitting requests.

mod admission;
pub(crate) mod archive;
pub(crate) mod cell;
mod control;
mod demand;
mod feeding;
pub(crate) mod fleet;
pub(crate) mod function;
pub(crate) mod home;
pub(crate) mod images;
mod listener;
mod make;
mod paging;
pub(crate) mod parents;
mod places;
pub(crate) mod pressure;
mod run;
mod shells;
pub(crate) mod spares;
mod stream;
pub(crate) mod totals;
mod turns;
