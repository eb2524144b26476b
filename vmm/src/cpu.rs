//! The CPU model guests see: what KVM supports, less what makes no sense in a VM with one vCPU and no devices.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

/// Extended state a guest may use: x87, SSE, AVX, AVX-512. Not AMX (needs permission and 8 KiB more per
/// context), not PKRU, not MPX.
const XCR0_ALLOWED: u64 = 0xe7;
/// x87 and SSE, which every x86-64 processor has.
const XCR0_LEAST: u64 = 0x3;

/// CPUID table and XCR0 of every guest.
#[derive(Clone, Debug)]
pub(crate) struct CpuModel {
    cpuid: CpuId,
    xcr0: u64,
    tss_type: u8,
}

/// Type of a TSS descriptor: 64-bit, busy.
const TSS_BUSY: u8 = 11;
/// Type of a TSS descriptor: 64-bit, not busy.
const TSS_AVAILABLE: u8 = 9;

impl CpuModel {
    /// Derives the model from what KVM supports. Fails with the name of a feature that is missing.
    /// `host` is the processor's own CPUID.
    pub(crate) fn new(
        mut cpuid: CpuId,
        host: &dyn Fn(u32, u32) -> [u32; 4],
    ) -> Result<CpuModel, &'static str> {
        let mut allowed = XCR0_ALLOWED;
        if runs_natively(cpuid.as_slice()) {
            // Ring 3 runs with the host's own XCR0, whatever KVM is told; then CPUID must say the same, or a
            // program would reserve less than XSAVE writes. Of AMX's states it cannot: KVM offers them to those who have
            // permission only, and puts its own size over another one (docs/COMPATIBILITY.md).
            allowed = u64::MAX;
            cpuid.as_mut_slice().iter_mut().for_each(|entry| add_unprivileged(entry, host));
        }
        cpuid.retain(|entry| !is_dropped(entry.function));
        let leaf_xcr0 = |entry: &kvm_cpuid_entry2| u64::from(entry.eax) | u64::from(entry.edx) << 32;
        let states = cpuid.as_slice().iter().find(|entry| entry.function == 0xd && entry.index == 0);
        let xcr0 = states.map_or(0, leaf_xcr0) & allowed;
        check(cpuid.as_slice(), xcr0)?;
        let area = xsave_bytes(cpuid.as_slice(), xcr0);
        for entry in cpuid.as_mut_slice() {
            mask(entry, xcr0, area);
        }
        Ok(CpuModel { cpuid, xcr0, tss_type: tss_type(host(0, 0)) })
    }

    pub(crate) fn cpuid(&self) -> &CpuId {
        &self.cpuid
    }

    pub(crate) fn xcr0(&self) -> u64 {
        self.xcr0
    }

    /// Type of the segment in the task register.
    pub(crate) fn tss_type(&self) -> u8 {
        self.tss_type
    }
}

/// VMX wants a busy TSS. SVM takes either, but an SVM emulated by QEMU looks at I/O bitmaps of available ones only.
fn tss_type([_, ebx, ecx, edx]: [u32; 4]) -> u8 {
    let vendor = [ebx, edx, ecx].map(u32::to_le_bytes);
    let is = |name: &[u8; 12]| vendor.as_flattened() == name;
    if is(b"AuthenticAMD") || is(b"HygonGenuine") { TSS_AVAILABLE } else { TSS_BUSY }
}

/// Whether this KVM runs guest ring 3 code as ordinary code of the host (`kvm_pvm`): then it reports hardly any
/// feature, not even XSAVE, but offers the extended states all the same.
fn runs_natively(entries: &[kvm_cpuid_entry2]) -> bool {
    let leaf = |function| entries.iter().find(|entry| entry.function == function && entry.index == 0);
    let states = leaf(0xd).is_some_and(|entry| entry.eax & 3 == 3);
    states && leaf(1).is_some_and(|entry| entry.ecx & LEAF1_ECX_XSAVE == 0)
}

/// Instructions that need nothing from the kernel but the registers in [`XCR0_ALLOWED`], by leaf: EAX, EBX, ECX, EDX.
///
/// `kvm_pvm` runs guest ring 3 code natively, AVX-512 included, but reports hardly any feature.
const UNPRIVILEGED: [(u32, u32, [u32; 4]); 4] = [
    // SSE3, PCLMUL, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, AVX, F16C, RDRAND.
    (1, 0, [0, 0, bits([0, 1, 9, 12, 13, 19, 20, 22, 23, 25, 26, 28, 29, 30]), 0]),
    // FSGSBASE, BMI1, AVX2, BMI2, ERMS, AVX512 F, DQ, RDSEED, ADX, IFMA, CLFLUSHOPT, CLWB, CD, SHA, BW, VL;
    // VBMI, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ; FSRM.
    (
        7,
        0,
        [
            0,
            bits([0, 3, 5, 8, 9, 16, 17, 18, 19, 21, 23, 24, 28, 29, 30, 31]),
            bits([1, 6, 8, 9, 10, 11, 12, 14]),
            bits([4]),
        ],
    ),
    // XSAVEOPT, XSAVEC, XGETBV with ECX 1.
    (0xd, 1, [bits([0, 1, 2]), 0, 0, 0]),
    // LAHF, LZCNT, PREFETCHW.
    (0x8000_0001, 0, [0, 0, bits([0, 5, 8]), 0]),
];

fn add_unprivileged(entry: &mut kvm_cpuid_entry2, host: &dyn Fn(u32, u32) -> [u32; 4]) {
    for (function, index, allowed) in UNPRIVILEGED {
        if (entry.function, entry.index) == (function, index) {
            let [eax, ebx, ecx, edx] = host(function, index);
            entry.eax |= eax & allowed[0];
            entry.ebx |= ebx & allowed[1];
            entry.ecx |= ecx & allowed[2];
            entry.edx |= edx & allowed[3];
        }
    }
}

/// CPUID of the processor this process runs on.
pub(crate) fn host_cpuid(function: u32, index: u32) -> [u32; 4] {
    let leaf = std::arch::x86_64::__cpuid_count(function, index);
    [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
}

/// Leaves without use here: performance counters, topology, SGX, processor trace, key locker, AMX, hypervisors.
/// An absent leaf reads as zero.
fn is_dropped(function: u32) -> bool {
    matches!(function, 0xa | 0xb | 0x12 | 0x14 | 0x19 | 0x1d | 0x1e | 0x1f | 0x23)
        || (0x4000_0000..0x5000_0000).contains(&function)
}

fn check(entries: &[kvm_cpuid_entry2], xcr0: u64) -> Result<(), &'static str> {
    let leaf = |function| entries.iter().find(|entry| entry.function == function && entry.index == 0);
    let has = |register: Option<u32>, bit: u32| register.is_some_and(|value| value >> bit & 1 == 1);
    if !has(leaf(1).map(|entry| entry.ecx), 26) || xcr0 & XCR0_LEAST != XCR0_LEAST {
        return Err("XSAVE");
    }
    if !has(leaf(7).map(|entry| entry.ebx), 0) {
        return Err("FSGSBASE");
    }
    let extended = leaf(0x8000_0001).map(|entry| entry.edx);
    if !has(extended, 29) || !has(extended, 20) || !has(extended, 11) {
        return Err("64-bit mode with SYSCALL and no-execute pages");
    }
    Ok(())
}

/// Bytes of an XSAVE area that holds all of `xcr0`.
fn xsave_bytes(entries: &[kvm_cpuid_entry2], xcr0: u64) -> u32 {
    let component = |entry: &&kvm_cpuid_entry2| {
        entry.function == 0xd && (2..63).contains(&entry.index) && xcr0 >> entry.index & 1 == 1
    };
    let end = |entry: &kvm_cpuid_entry2| entry.eax.saturating_add(entry.ebx);
    entries.iter().filter(component).map(end).max().unwrap_or(0).max(576)
}

const fn bits<const N: usize>(numbers: [u32; N]) -> u32 {
    let (mut mask, mut at) = (0, 0);
    while at < N {
        mask |= 1 << numbers[at];
        at += 1;
    }
    mask
}

/// Leaf 1 ECX: MONITOR, VMX, SMX, performance capabilities, x2APIC, TSC deadline timer.
const LEAF1_ECX_OFF: u32 = bits([3, 5, 6, 15, 21, 24]);
const LEAF1_ECX_XSAVE: u32 = bits([26]);
const LEAF1_ECX_OSXSAVE: u32 = bits([27]);
/// Leaf 7 EBX: SGX, MPX, processor trace.
const LEAF7_EBX_OFF: u32 = bits([2, 14, 25]);
/// Leaf 7 ECX: PKU, OSPKE, WAITPKG, shadow stacks, key locker, bus-lock detection, ENQCMD, supervisor keys.
const LEAF7_ECX_OFF: u32 = bits([3, 4, 5, 7, 23, 24, 29, 31]);
/// Leaf 7 EDX: user interrupts, PCONFIG, architectural LBRs, indirect-branch tracking, AMX.
const LEAF7_EDX_OFF: u32 = bits([5, 18, 19, 20, 22, 24, 25]);
/// Leaf 7.1 EAX: AMX FP16, LAM; EDX: AMX complex, user MSRs.
const LEAF7_1_EAX_OFF: u32 = bits([21, 26]);
const LEAF7_1_EDX_OFF: u32 = bits([8, 15]);
/// Leaf 0x80000001 ECX: SVM, MONITORX.
const EXTENDED_ECX_OFF: u32 = bits([2, 29]);

fn mask(entry: &mut kvm_cpuid_entry2, xcr0: u64, area: u32) {
    match (entry.function, entry.index) {
        (1, _) => {
            entry.ecx = entry.ecx & !LEAF1_ECX_OFF | LEAF1_ECX_OSXSAVE;
            // APIC id 0, one logical processor.
            entry.ebx = entry.ebx & 0xffff | 1 << 16;
        }
        // Caches: used by one thread of one core.
        (4, _) => entry.eax &= 0x3fff,
        (7, 0) => {
            entry.ebx &= !LEAF7_EBX_OFF;
            entry.ecx &= !LEAF7_ECX_OFF;
            entry.edx &= !LEAF7_EDX_OFF;
        }
        (7, 1) => {
            entry.eax &= !LEAF7_1_EAX_OFF;
            entry.edx &= !LEAF7_1_EDX_OFF;
        }
        (0xd, 0) => {
            [entry.eax, entry.edx] = halves(xcr0);
            entry.ecx = area;
        }
        // No supervisor states.
        (0xd, 1) => [entry.ecx, entry.edx] = [0, 0],
        (0xd, component) if xcr0.checked_shr(component).unwrap_or(0) & 1 == 0 => {
            [entry.eax, entry.ebx, entry.ecx, entry.edx] = [0; 4];
        }
        (0x8000_0001, _) => entry.ecx &= !EXTENDED_ECX_OFF,
        // One physical core.
        (0x8000_0008, _) => entry.ecx = 0,
        _ => {}
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of 64 bits")]
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(function: u32, index: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 { function, index, eax, ebx, ecx, edx, ..Default::default() }
    }

    fn plausible() -> Vec<kvm_cpuid_entry2> {
        vec![
            entry(1, 0, [0, 0x0714_0800, u32::MAX, u32::MAX]),
            entry(7, 0, [1, u32::MAX, u32::MAX, u32::MAX]),
            entry(0xb, 0, [1, 2, 3, 4]),
            // x87, SSE, AVX, MPX, PKRU and AMX.
            entry(0xd, 0, [0x6_021f, 0, 0x2b00, 0]),
            entry(0xd, 2, [256, 576, 0, 0]),
            entry(0xd, 9, [8, 2688, 0, 0]),
            entry(0xd, 18, [8192, 2816, 0, 0]),
            entry(0x4000_0000, 0, [1, 1, 1, 1]),
            entry(0x8000_0001, 0, [0, 0, u32::MAX, u32::MAX]),
        ]
    }

    fn intel(function: u32, _: u32) -> [u32; 4] {
        let name = |part: &[u8; 4]| u32::from_le_bytes(*part);
        if function == 0 { [0x16, name(b"Genu"), name(b"ntel"), name(b"ineI")] } else { [u32::MAX; 4] }
    }

    fn find(model: &CpuModel, function: u32, index: u32) -> Option<kvm_cpuid_entry2> {
        let entries = model.cpuid().as_slice();
        entries.iter().find(|entry| entry.function == function && entry.index == index).copied()
    }

    #[test]
    fn the_model_keeps_avx_and_drops_what_makes_no_sense() {
        let model = CpuModel::new(CpuId::from_entries(&plausible()).unwrap(), &intel).unwrap();
        assert_eq!(model.xcr0(), 0x7);
        let states = find(&model, 0xd, 0).unwrap();
        assert_eq!((states.eax, states.ecx, states.edx), (7, 576 + 256, 0));
        assert_eq!(find(&model, 0xd, 18).unwrap().eax, 0);
        assert!(find(&model, 0x4000_0000, 0).is_none());
        assert!(find(&model, 0xb, 0).is_none());
        let one = find(&model, 1, 0).unwrap();
        assert_eq!(one.ecx & LEAF1_ECX_OFF, 0);
        assert_eq!(one.ebx >> 16, 1);
        let seven = find(&model, 7, 0).unwrap();
        assert_eq!(seven.ecx & bits([3, 4]), 0);
        assert_eq!(seven.ebx & 1, 1);
    }

    #[test]
    fn the_host_adds_unprivileged_instructions_only() {
        let entries =
            [entry(1, 0, [0; 4]), entry(7, 0, [0; 4]), entry(0xd, 0, [0x2ff, 0, 0, 0]), plausible()[8]];
        let model = CpuModel::new(CpuId::from_entries(&entries).unwrap(), &intel).unwrap();
        let (one, seven) = (find(&model, 1, 0).unwrap(), find(&model, 7, 0).unwrap());
        assert_eq!(one.ecx, UNPRIVILEGED[0].2[2] | LEAF1_ECX_OSXSAVE);
        assert_eq!((one.edx, seven.eax, model.xcr0()), (0, 0, 0x2ff));
        assert_eq!(seven.ebx & bits([2, 7, 14, 20, 25]), 0);
    }

    #[test]
    fn the_task_register_suits_the_vendor() {
        let name = |part: &[u8; 4]| u32::from_le_bytes(*part);
        assert_eq!(tss_type(intel(0, 0)), TSS_BUSY);
        assert_eq!(tss_type([0x10, name(b"Auth"), name(b"cAMD"), name(b"enti")]), TSS_AVAILABLE);
    }

    #[test]
    fn a_processor_without_fsgsbase_is_refused() {
        let mut entries = plausible();
        entries[1].ebx = 0;
        assert_eq!(CpuModel::new(CpuId::from_entries(&entries).unwrap(), &intel).unwrap_err(), "FSGSBASE");
        assert_eq!(CpuModel::new(CpuId::from_entries(&[]).unwrap(), &intel).unwrap_err(), "XSAVE");
    }
}
