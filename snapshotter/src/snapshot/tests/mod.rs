//! Tests of the format and the store.

mod crash;
mod disks;
mod golden;
mod hostile;
mod rejections;
mod store;

use super::limits::PAGE_BYTES;
use super::*;
use abi::layout::HUGE;
use std::os::unix::fs::FileExt;
use vmm::{CpuFingerprint, CpuLeaf, EntryState};

/// Bytes of memory of every parent here.
const RAM: u64 = 2 * HUGE;
/// Pages of that memory.
const PAGES: u64 = RAM / PAGE_BYTES as u64;

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// An entry state of zeros.
fn entry() -> Vec<u8> {
    let (state, _) = postcard::take_from_bytes::<EntryState>(&[0; 8192]).unwrap();
    encode_entry(&state).unwrap()
}

fn leaf(function: u32, index: u32, registers: [u32; 4]) -> CpuLeaf {
    CpuLeaf { function, index, registers }
}

fn host() -> Host {
    let name = |part: &[u8; 4]| u32::from_le_bytes(*part);
    let leaves = vec![
        leaf(0, 0, [0x16, name(b"Genu"), name(b"ntel"), name(b"ineI")]),
        leaf(1, 0, [0, 0, 1 << 28, 0]),
        leaf(7, 0, [0, 1 << 5 | 1 << 16, 0, 0]),
        leaf(0xd, 0, [7, 0, 832, 0]),
        leaf(0xd, 2, [256, 576, 0, 0]),
    ];
    Host {
        abi: 1,
        guest_kernel: digest("kernel"),
        cpu: CpuFingerprint { leaves, xcr0: 7 },
        kvm_kind: "kvm_test".to_owned(),
        release: "6.1.0".to_owned(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        kind: Kind::Runtime,
        key: digest("key"),
        root_image: digest("root"),
        package_image: None,
        ram_bytes: Some(RAM),
        base: None,
    }
}

fn range(first: u64, pages: u64) -> PageRange {
    PageRange { first, pages }
}

fn draft() -> Draft {
    Draft {
        wanted: wanted(),
        host: host(),
        base: None,
        ram_bytes: RAM,
        entry: entry(),
        read_set: vec![range(100, 2), range(400, 1)],
        write_set: vec![range(101, 1), range(600, 8)],
    }
}

/// A draft of a function on `base`.
fn draft_on(base: &Snapshot) -> Draft {
    let base = base.as_base();
    let wanted = Wanted {
        kind: Kind::Function,
        key: digest("function"),
        package_image: Some(digest("package")),
        ram_bytes: Some(RAM + HUGE),
        base: Some(base.id),
        ..wanted()
    };
    Draft { wanted, base: Some(base), ram_bytes: RAM + HUGE, ..draft() }
}

/// Bytes of a page that hold its number, and `salt`.
fn page(number: u64, salt: u8) -> Vec<u8> {
    let mut bytes = vec![salt; PAGE_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Memory of `bytes` with something on `pages`.
fn memory_with(bytes: u64, pages: impl IntoIterator<Item = u64>, salt: u8) -> FileMemory {
    let file = tempfile::tempfile().unwrap();
    file.set_len(bytes).unwrap();
    for number in pages {
        file.write_all_at(&page(number, salt), number * PAGE_BYTES as u64).unwrap();
    }
    FileMemory::new(&file).unwrap()
}

/// Pages that hold something in [`memory`]: runs of many lengths.
fn used() -> Vec<u64> {
    (10..50).chain([100, 101, 103, 400]).chain(600..608).chain([PAGES - 1]).collect()
}

fn memory() -> FileMemory {
    memory_with(RAM, used(), 7)
}

fn refused(error: LoadError) -> Refused {
    match error {
        LoadError::Refused { why, .. } => why,
        other => panic!("{other:?}"),
    }
}
