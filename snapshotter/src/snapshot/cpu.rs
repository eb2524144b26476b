//! Whether a guest that was started on one processor can go on on another. What is missing is named.

use super::error::Refused;
use vmm::CpuFingerprint;

/// Registers that hold feature bits: function, index, register, name in messages.
const FEATURES: [(u32, u32, usize); 13] = [
    (1, 0, ECX),
    (1, 0, EDX),
    (7, 0, EBX),
    (7, 0, ECX),
    (7, 0, EDX),
    (7, 1, EAX),
    (7, 1, EDX),
    (0xd, 1, EAX),
    (0x8000_0001, 0, ECX),
    (0x8000_0001, 0, EDX),
    (0x8000_0007, 0, EDX),
    (0x8000_0008, 0, EBX),
    (0x8000_0021, 0, EAX),
];
const EAX: usize = 0;
const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;
const REGISTERS: [&str; 4] = ["EAX", "EBX", "ECX", "EDX"];

/// Names of the bits that programs ask for most.
const NAMES: [(u32, usize, u32, &str); 46] = [
    (1, ECX, 0, "SSE3"),
    (1, ECX, 1, "PCLMULQDQ"),
    (1, ECX, 9, "SSSE3"),
    (1, ECX, 12, "FMA"),
    (1, ECX, 13, "CMPXCHG16B"),
    (1, ECX, 19, "SSE4.1"),
    (1, ECX, 20, "SSE4.2"),
    (1, ECX, 22, "MOVBE"),
    (1, ECX, 23, "POPCNT"),
    (1, ECX, 25, "AES"),
    (1, ECX, 26, "XSAVE"),
    (1, ECX, 28, "AVX"),
    (1, ECX, 29, "F16C"),
    (1, ECX, 30, "RDRAND"),
    (7, EBX, 0, "FSGSBASE"),
    (7, EBX, 3, "BMI1"),
    (7, EBX, 5, "AVX2"),
    (7, EBX, 8, "BMI2"),
    (7, EBX, 9, "ERMS"),
    (7, EBX, 16, "AVX512F"),
    (7, EBX, 17, "AVX512DQ"),
    (7, EBX, 18, "RDSEED"),
    (7, EBX, 19, "ADX"),
    (7, EBX, 21, "AVX512_IFMA"),
    (7, EBX, 23, "CLFLUSHOPT"),
    (7, EBX, 24, "CLWB"),
    (7, EBX, 28, "AVX512CD"),
    (7, EBX, 29, "SHA"),
    (7, EBX, 30, "AVX512BW"),
    (7, EBX, 31, "AVX512VL"),
    (7, ECX, 1, "AVX512_VBMI"),
    (7, ECX, 6, "AVX512_VBMI2"),
    (7, ECX, 8, "GFNI"),
    (7, ECX, 9, "VAES"),
    (7, ECX, 10, "VPCLMULQDQ"),
    (7, ECX, 11, "AVX512_VNNI"),
    (7, ECX, 12, "AVX512_BITALG"),
    (7, ECX, 14, "AVX512_VPOPCNTDQ"),
    (7, EDX, 4, "FSRM"),
    (0xd, EAX, 0, "XSAVEOPT"),
    (0xd, EAX, 1, "XSAVEC"),
    (0x8000_0001, ECX, 0, "LAHF"),
    (0x8000_0001, ECX, 5, "LZCNT"),
    (0x8000_0001, ECX, 8, "PREFETCHW"),
    (0x8000_0001, EDX, 27, "RDTSCP"),
    (0x8000_0007, EDX, 8, "invariant TSC"),
];

/// Fails unless a guest that was shown `made_on` can run on a host that shows `host`.
pub(crate) fn check(made_on: &CpuFingerprint, host: &CpuFingerprint) -> Result<(), Refused> {
    let (here, there) = (vendor(host), vendor(made_on));
    if here != there {
        return Err(Refused::CpuVendor { host: here, found: there });
    }
    let missing = missing(made_on, host);
    if !missing.is_empty() {
        return Err(Refused::CpuFeature { missing });
    }
    check_states(made_on, host)
}

fn vendor(cpu: &CpuFingerprint) -> String {
    let [_, ebx, ecx, edx] = cpu.leaf(0, 0);
    let bytes = [ebx, edx, ecx].map(u32::to_le_bytes);
    String::from_utf8_lossy(bytes.as_flattened()).into_owned()
}

fn missing(made_on: &CpuFingerprint, host: &CpuFingerprint) -> Vec<String> {
    let mut names = Vec::new();
    for (function, index, register) in FEATURES {
        let lost = made_on.leaf(function, index)[register] & !host.leaf(function, index)[register];
        let bits = (0..32).filter(|bit| lost >> bit & 1 == 1);
        names.extend(bits.map(|bit| feature(function, index, register, bit)));
    }
    names
}

fn feature(function: u32, index: u32, register: usize, bit: u32) -> String {
    let known = |entry: &&(u32, usize, u32, &str)| (entry.0, entry.1, entry.2) == (function, register, bit);
    let named = index == u32::from(function == 0xd);
    match NAMES.iter().find(known).filter(|_| named) {
        Some((.., name)) => (*name).to_owned(),
        None => format!("CPUID {function:#x}.{index} {} bit {bit}", REGISTERS[register]),
    }
}

/// A program reserved as much for its extended registers as it was told, in the layout it was told.
fn check_states(made_on: &CpuFingerprint, host: &CpuFingerprint) -> Result<(), Refused> {
    let differs = |what: String| Err(Refused::CpuState { what });
    if made_on.xcr0 != host.xcr0 {
        return differs(format!("XCR0 was {:#x} and is {:#x} here", made_on.xcr0, host.xcr0));
    }
    for component in (2..63_u32).filter(|component| made_on.xcr0 >> component & 1 == 1) {
        let layout = |cpu: &CpuFingerprint| cpu.leaf(0xd, component)[..2].to_vec();
        if layout(made_on) != layout(host) {
            return differs(format!("component {component} lies elsewhere or has another size"));
        }
    }
    let area = |cpu: &CpuFingerprint| cpu.leaf(0xd, 0)[ECX];
    if area(made_on) != area(host) {
        return differs(format!("its area had {} bytes and has {} here", area(made_on), area(host)));
    }
    Ok(())
}
