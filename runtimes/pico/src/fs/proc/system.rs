//! What `/proc` tells about the machine.

use crate::clock::SECOND;
use crate::kernel::Kernel;
use crate::rewrite::Counts;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Version of Linux whose system calls pico speaks (`uname -r`).
pub const RELEASE: &str = "6.1.0-spore";

pub(super) fn cpuinfo(kernel: &Kernel) -> Vec<u8> {
    let khz = kernel.platform.identity().tsc_khz;
    format!(
        "processor\t: 0\nmodel name\t: x86-64\ncpu MHz\t\t: {}.{:03}\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\n\
         cpu cores\t: 1\naddress sizes\t: 48 bits virtual\n\n",
        khz / 1000,
        khz % 1000
    )
    .into_bytes()
}

pub(super) fn meminfo(kernel: &Kernel) -> Vec<u8> {
    let total = kernel.mm.total() / 1024;
    let used = kernel.mm.used() / 1024;
    let free = total.saturating_sub(used);
    let lines = [
        ("MemTotal:", total),
        ("MemFree:", free),
        ("MemAvailable:", free),
        ("Buffers:", 0),
        ("Cached:", 0),
        ("SwapCached:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("CommitLimit:", total),
        ("Committed_AS:", used),
    ];
    let mut text = String::new();
    for (name, kib) in lines {
        let _ = writeln!(text, "{name:<15}{kib:>9} kB");
    }
    text.into_bytes()
}

/// Which `syscall` instructions of the program no longer trap.
pub(super) fn system_calls(kernel: &Kernel) -> Vec<u8> {
    let Counts { rewritten, refused, crowded } = kernel.rewriter.counts();
    format!("rewritten {rewritten}\nrefused {refused}\ncrowded {crowded}\n").into_bytes()
}

/// Nanoseconds as seconds with two decimals.
fn seconds(ns: u64) -> String {
    format!("{}.{:02}", ns / SECOND, ns % SECOND / (SECOND / 100))
}

pub(super) fn uptime(kernel: &Kernel) -> Vec<u8> {
    format!("{} 0.00\n", seconds(kernel.now())).into_bytes()
}

pub(super) fn stat(kernel: &Kernel) -> Vec<u8> {
    let ticks = kernel.clock.elapsed(kernel.platform.tsc()) / (SECOND / 100);
    let wall = kernel.clock.wall(kernel.platform.tsc());
    let boot = wall.saturating_sub(kernel.now()) / SECOND;
    format!(
        "cpu  {ticks} 0 0 0 0 0 0 0 0 0\ncpu0 {ticks} 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime {boot}\n\
         processes 1\nprocs_running 1\nprocs_blocked 0\n"
    )
    .into_bytes()
}

pub(super) fn version(_kernel: &Kernel) -> Vec<u8> {
    format!("Linux version {RELEASE} (spore) #1\n").into_bytes()
}

pub(super) fn hostname(kernel: &Kernel) -> Vec<u8> {
    [&kernel.names.host[..], b"\n"].concat()
}

pub(super) fn domainname(kernel: &Kernel) -> Vec<u8> {
    [&kernel.names.domain[..], b"\n"].concat()
}

/// 16 bytes as a version 4 UUID and a newline.
fn as_uuid(mut bytes: [u8; 16]) -> Vec<u8> {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text.push('\n');
    text.into_bytes()
}

/// Differs between forks.
pub(super) fn boot_id(kernel: &Kernel) -> Vec<u8> {
    as_uuid(kernel.fork.instance)
}

pub(super) fn uuid(kernel: &Kernel) -> Vec<u8> {
    let mut bytes = [0; 16];
    kernel.random.fill(&mut bytes);
    as_uuid(bytes)
}

/// A number on a line of its own.
pub(super) fn number(number: usize) -> Vec<u8> {
    format!("{number}\n").into_bytes()
}
