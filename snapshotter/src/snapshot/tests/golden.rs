//! Golden files: what was written once must be read for as long as the format has this version, and today's writer
//! must write exactly that.

use super::*;
use std::path::PathBuf;

/// Set to write the golden files instead of comparing with them, after a deliberate change.
const WRITE: &str = "SPORE_WRITE_GOLDEN";

/// Written by format version 1. A test that fails here means: the format changed (the entry state of `vmm` is part
/// of it). Once a version is released, raise [`FORMAT_VERSION`] and add new files beside these.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/snapshot-v1").join(name)
}

fn golden_memory() -> FileMemory {
    memory_with(RAM, [3, 4, 100, PAGES - 1], 1)
}

#[test]
fn todays_writer_writes_the_golden_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let snapshot = store.put(&draft(), &golden_memory()).unwrap();
    let manifest = std::fs::read(store.manifest_path(digest("key"))).unwrap();
    let pack = std::fs::read(store.pack_path(snapshot.manifest.pack)).unwrap();
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(golden("")).unwrap();
        std::fs::write(golden("manifest"), &manifest).unwrap();
        std::fs::write(golden("pack"), &pack).unwrap();
    }
    assert_eq!(manifest, std::fs::read(golden("manifest")).unwrap());
    assert_eq!(pack, std::fs::read(golden("pack")).unwrap());
}

#[test]
fn the_golden_files_are_read() {
    let bytes = std::fs::read(golden("manifest")).unwrap();
    let snapshot = Snapshot::decode(&bytes).unwrap();
    snapshot.manifest.check(&host(), &wanted()).unwrap();
    let pages: Vec<_> = snapshot.manifest.chunks.iter().map(|c| (c.first_page, c.pages, c.offset)).collect();
    // Page 100 is in the working set, so it is the first in the pack.
    assert_eq!(pages, [(3, 2, 4096), (100, 1, 0), (PAGES - 1, 1, 3 * 4096)]);
    let pack = std::fs::read(golden("pack")).unwrap();
    assert_eq!(Digest::of(&pack), snapshot.manifest.pack);
    assert_eq!(&pack[..PAGE_BYTES], page(100, 1));
    // Fields of the prefix, by the offsets of the document.
    assert_eq!(&bytes[..8], b"SPORE\r\n\x1a");
    assert_eq!(bytes[8..16], [1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(bytes[16..24], (bytes.len() as u64).to_le_bytes());
    assert_eq!(bytes[24..32], (bytes.len() as u64 - 64).to_le_bytes());
    assert_eq!(bytes[32..64], Digest::of(&bytes[64..]).0);
}
