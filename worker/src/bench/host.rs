//! What the kernel says about memory.

use serde::Serialize;
use std::fs;

/// Memory of the whole machine, other programs included. What a kernel does not tell is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostMemory {
    /// What programs could still have.
    pub available_bytes: u64,
    /// Small objects of the kernel.
    pub slab_bytes: u64,
    /// Page tables of processes.
    pub page_tables_bytes: u64,
    /// Page tables of VMs.
    pub sec_page_tables_bytes: u64,
    /// Kernel stacks of threads.
    pub kernel_stack_bytes: u64,
}

impl HostMemory {
    /// From `/proc/meminfo`.
    pub fn now() -> Self {
        Self::parse(&read("/proc/meminfo"))
    }

    fn parse(meminfo: &str) -> Self {
        let field = |name| kilobytes(meminfo, name).unwrap_or(0);
        Self {
            available_bytes: field("MemAvailable"),
            slab_bytes: field("Slab"),
            page_tables_bytes: field("PageTables"),
            sec_page_tables_bytes: field("SecPageTables"),
            kernel_stack_bytes: field("KernelStack"),
        }
    }
}

/// A file of the kernel; empty if it is not there.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of a line like `Name:   12 kB`, in bytes.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Open descriptors of this process.
pub(super) fn open_files() -> u64 {
    // One of them is the directory that is being read.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| (entries.count() as u64).saturating_sub(1))
}

/// Threads of this process.
pub(super) fn threads() -> u64 {
    let status = read("/proc/self/status");
    let value = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_whole_name() {
        let text =
            "MemAvailable:   2048 kB\nPageTables:  3 kB\nSecPageTables:   7 kB\nKernelStack: many kB\n";
        let memory = HostMemory::parse(text);
        assert_eq!((memory.available_bytes, memory.page_tables_bytes), (2 << 20, 3 << 10));
        assert_eq!(
            (memory.sec_page_tables_bytes, memory.kernel_stack_bytes, memory.slab_bytes),
            (7 << 10, 0, 0)
        );
        assert_eq!(kilobytes("A: 99999999999999999999 kB\n", "A"), None);
    }

    #[test]
    fn this_process_and_this_machine_have_figures() {
        assert!(open_files() >= 3 && threads() >= 1 && HostMemory::now().available_bytes > 0);
    }
}
