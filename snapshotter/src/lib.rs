//! Snapshots: images that VMs read ([`erofs`]), running a VM until it says something ([`drive`]), building the
//! parent that children are forked from ([`parent`]), keeping it on disk ([`snapshot`]), reading its pages from there
//! or from an object store ([`source`]), and using it while it is still being read ([`pager`]).
#![deny(unsafe_code)]

pub mod drive;
pub mod erofs;
pub mod pager;
pub mod parent;
pub mod snapshot;
pub mod source;
