//! What a guest sees of the processor, as plain values: recorded with a snapshot and compared before it is used.

use crate::cpu::CpuModel;
use serde::{Deserialize, Serialize};

/// One CPUID leaf as guests see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CpuLeaf {
    /// EAX on entry.
    pub function: u32,
    /// ECX on entry; 0 where the leaf has no sub-leaves.
    pub index: u32,
    /// EAX, EBX, ECX, EDX.
    pub registers: [u32; 4],
}

/// The CPU model of guests: every leaf, sorted, and the extended states a guest may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuFingerprint {
    /// CPUID leaves, sorted by function and index.
    pub leaves: Vec<CpuLeaf>,
    /// XCR0 of guests.
    pub xcr0: u64,
}

impl CpuFingerprint {
    pub(crate) fn of(model: &CpuModel) -> CpuFingerprint {
        let leaf = |entry: &kvm_bindings::kvm_cpuid_entry2| CpuLeaf {
            function: entry.function,
            index: entry.index,
            registers: [entry.eax, entry.ebx, entry.ecx, entry.edx],
        };
        let mut leaves: Vec<CpuLeaf> = model.cpuid().as_slice().iter().map(leaf).collect();
        leaves.sort_unstable();
        CpuFingerprint { leaves, xcr0: model.xcr0() }
    }

    /// EAX, EBX, ECX, EDX of a leaf; an absent leaf reads as zero.
    pub fn leaf(&self, function: u32, index: u32) -> [u32; 4] {
        let found = self.leaves.iter().find(|leaf| (leaf.function, leaf.index) == (function, index));
        found.map_or([0; 4], |leaf| leaf.registers)
    }
}
