//! What a process holds, and what of it may grow.

use crate::bench::host::{HostMemory, kilobytes, open_files, read, threads};
use serde::Serialize;
use vmm::Machine;

/// Growth of a process's own memory that is not called a leak: the allocator's reserve, not a figure per fork.
const MEMORY_SLACK: u64 = 1 << 20;
/// The same for its page tables.
const PAGE_TABLE_SLACK: u64 = 256 << 10;
/// The same for KVM's, in pages: a guest may meet a place it had not touched before.
const KVM_TABLE_SLACK: u64 = 64;
/// What this process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessSample {
    /// Open descriptors.
    pub open_files: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory, all kinds.
    pub resident_bytes: u64,
    /// Resident memory of its own.
    pub anonymous_bytes: u64,
    /// Page tables.
    pub page_table_bytes: u64,
    /// What KVM keeps for the VMs.
    #[serde(flatten)]
    pub kvm: KvmSample,
    /// The whole machine, other programs included; for comparison, not judged.
    pub host: HostMemory,
}

/// What KVM says it keeps for all VMs together; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KvmSample {
    /// Shadow page tables, in pages: made, less given back.
    pub kvm_table_pages: Option<u64>,
    /// Pages of 4 KiB the guests have mapped.
    pub kvm_mapped_pages: Option<u64>,
}

impl KvmSample {
    pub(super) fn of(machine: &Machine) -> Self {
        let stats = machine.vm_stats().ok();
        let read = |name| stats.as_ref()?.read(name).ok().flatten();
        let tables = || Some(read("mmu_cache_miss")?.saturating_sub(read("mmu_shadow_zapped")?));
        Self { kvm_table_pages: tables(), kvm_mapped_pages: read("pages_4k") }
    }

    pub(super) fn sum(samples: impl IntoIterator<Item = Self>) -> Self {
        let add = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        let sum = samples.into_iter().reduce(|a, b| Self {
            kvm_table_pages: add(a.kvm_table_pages, b.kvm_table_pages),
            kvm_mapped_pages: add(a.kvm_mapped_pages, b.kvm_mapped_pages),
        });
        sum.unwrap_or_default()
    }
}

impl ProcessSample {
    pub(super) fn now(kvm: KvmSample) -> Self {
        let status = read("/proc/self/status");
        let field = |name| kilobytes(&status, name).unwrap_or(0);
        Self {
            open_files: open_files(),
            threads: threads(),
            resident_bytes: field("VmRSS"),
            anonymous_bytes: field("RssAnon"),
            page_table_bytes: field("VmPTE"),
            kvm,
            host: HostMemory::now(),
        }
    }

    /// What `later` has more of than it may.
    pub(super) fn leaks(&self, later: &Self) -> Vec<String> {
        [
            ("open descriptors", self.open_files, later.open_files, 0),
            ("threads", self.threads, later.threads, 0),
            ("bytes of memory of its own", self.anonymous_bytes, later.anonymous_bytes, MEMORY_SLACK),
            ("bytes of page tables", self.page_table_bytes, later.page_table_bytes, PAGE_TABLE_SLACK),
            (
                "pages of KVM's page tables",
                self.kvm.kvm_table_pages.unwrap_or(0),
                later.kvm.kvm_table_pages.unwrap_or(0),
                KVM_TABLE_SLACK,
            ),
        ]
        .into_iter()
        .filter(|(_, before, after, slack)| *after > before + slack)
        .map(|(what, before, after, _)| format!("{what}: {before} became {after}"))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_a_leak_and_slack_is_not() {
        let start =
            ProcessSample { open_files: 9, threads: 3, anonymous_bytes: 5 << 20, ..Default::default() };
        assert!(start.leaks(&start).is_empty());
        let slack =
            ProcessSample { anonymous_bytes: start.anonymous_bytes + MEMORY_SLACK, threads: 2, ..start };
        assert!(start.leaks(&slack).is_empty());
        let more = ProcessSample { open_files: 10, anonymous_bytes: 7 << 20, ..start };
        assert_eq!(
            start.leaks(&more),
            ["open descriptors: 9 became 10", "bytes of memory of its own: 5242880 became 7340032"]
        );
        let host = HostMemory { slab_bytes: 1 << 40, ..Default::default() };
        assert!(start.leaks(&ProcessSample { host, ..start }).is_empty());
    }
}
