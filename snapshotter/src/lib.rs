//! Snapshots: images that VMs read ([`erofs`]), running a VM until it says something ([`drive`]), and building
//! the parent that children are forked from ([`parent`]).
#![deny(unsafe_code)]

pub mod drive;
pub mod erofs;
pub mod pager;
pub mod parent;
pub mod source;
