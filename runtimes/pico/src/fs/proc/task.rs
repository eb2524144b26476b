//! What `/proc/PID/task` tells about threads, and `/proc/PID/fdinfo` about descriptors.

use super::process::{name, stat_of, status_of};
use crate::file::Descriptor;
use crate::kernel::Kernel;
use crate::process::View;
use alloc::format;
use alloc::vec::Vec;
use linux_raw_sys::general::O_CLOEXEC;

pub(super) fn comm(kernel: &Kernel, _pid: u32, _view: &View<'_>, tid: u32) -> Vec<u8> {
    (name(kernel, tid) + "\n").into_bytes()
}

pub(super) fn stat(kernel: &Kernel, pid: u32, view: &View<'_>, tid: u32) -> Vec<u8> {
    stat_of(kernel, pid, view, tid)
}

pub(super) fn status(kernel: &Kernel, pid: u32, view: &View<'_>, tid: u32) -> Vec<u8> {
    status_of(kernel, pid, view, tid)
}

/// Position, flags, mount and inode of a descriptor.
pub(super) fn descriptor(descriptor: &Descriptor) -> Vec<u8> {
    let open = &descriptor.open;
    let closes = if descriptor.close_on_exec { O_CLOEXEC } else { 0 };
    let (position, flags) = (open.offset.get(), open.flags.get() | closes);
    let (mount, inode) = open.file.stat().map_or((0, 0), |stat| (stat.st_dev, stat.st_ino));
    format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{inode}\n").into_bytes()
}
