//! Snapshots: images that VMs read ([`erofs`]), running a VM until it says something ([`drive`]), building the
//! parent that children are forked from ([`parent`]), and using one while it is still being read ([`source`], [`pager`]).
#![deny(unsafe_code)]

pub mod drive;
pub mod erofs;
pub mod pager;
pub mod parent;
pub mod source;
