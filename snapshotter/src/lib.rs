//! Snapshots: images that VMs read ([`erofs`]), running a VM until it says something ([`drive`]), and building
//! the parent that children are forked from ([`parent`]). Snapshots of parents on disk ([`snapshot`]), and where their pages
//! come from ([`source`]); using a parent while it is still being read ([`pager`]).
#![deny(unsafe_code)]

pub mod drive;
pub mod erofs;
pub mod pager;
pub mod parent;
pub mod snapshot;
pub mod source;
