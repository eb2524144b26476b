//! Snapshots: images that VMs read ([`erofs`]), running a VM until it says something ([`drive`]), building the
//! parent that children are forked from ([`parent`]), keeping it on disk ([`snapshot`]), and reading its pages
//! from there or from an object store ([`source`]).
#![deny(unsafe_code)]

pub mod drive;
pub mod erofs;
pub mod parent;
pub mod snapshot;
pub mod source;
