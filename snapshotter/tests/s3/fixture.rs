//! A snapshot to store, and a configuration to store it with.

use crate::server::{BUCKET, KEY_ID, SECRET};
use snapshotter::snapshot::{
    Digest, Draft, FileMemory, Host, Kind, PageRange, Snapshot, Store, Wanted, encode_entry,
};
use snapshotter::source::{Credentials, S3Config, Timing};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use vmm::{CpuFingerprint, EntryState};

pub(crate) const RAM: u64 = 64 << 20;
pub(crate) const PAGE: u64 = 4096;
pub(crate) const PAGE_BYTES: usize = 4096;

pub(crate) fn host() -> Host {
    Host {
        abi: abi::VERSION,
        guest_kernel: Digest::of(b"kernel"),
        cpu: CpuFingerprint { leaves: Vec::new(), xcr0: 7 },
        kvm_kind: "kvm_test".to_owned(),
        release: "6.1.0".to_owned(),
    }
}

pub(crate) fn wanted() -> Wanted {
    Wanted {
        kind: Kind::Runtime,
        key: Digest::of(b"key"),
        root_image: Digest::of(b"root"),
        package_image: None,
        ram_bytes: Some(RAM),
        base: None,
    }
}

/// Bytes of a page: different everywhere, so that no two reads can be mixed up.
pub(crate) fn page(number: u64) -> Vec<u8> {
    let words = (0..PAGE / 8).map(|word| (number << 20 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect()
}

/// A store with one snapshot: `used` pages, of which some scattered ones are the working set.
pub(crate) fn store_with(used: impl IntoIterator<Item = u64>) -> (tempfile::TempDir, Store, Snapshot) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(RAM).unwrap();
    for number in used {
        file.write_all_at(&page(number), number * PAGE).unwrap();
    }
    let (state, _) = postcard::take_from_bytes::<EntryState>(&[0; 8192]).unwrap();
    let draft = Draft {
        wanted: wanted(),
        host: host(),
        base: None,
        ram_bytes: RAM,
        entry: encode_entry(&state).unwrap(),
        read_set: vec![PageRange { first: 64, pages: 2 }, PageRange { first: 200, pages: 30 }],
        write_set: vec![PageRange { first: 1000, pages: 1 }],
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let snapshot = store.put(&draft, &FileMemory::new(&file).unwrap()).unwrap();
    (dir, store, snapshot)
}

pub(crate) fn config(address: SocketAddr) -> S3Config {
    S3Config {
        endpoint: Some(format!("http://{address}")),
        bucket: BUCKET.to_owned(),
        prefix: "a/prefix".to_owned(),
        region: "us-east-1".to_owned(),
        credentials: Credentials {
            key_id: KEY_ID.to_owned(),
            secret: SECRET.to_owned(),
            session_token: None,
        },
        timing: Timing::default(),
    }
}

/// Little patience, for servers that will not answer.
pub(crate) fn impatient(address: SocketAddr) -> S3Config {
    let millis = Duration::from_millis;
    S3Config {
        timing: Timing { connect: millis(1000), request: millis(1000), total: millis(1500) },
        ..config(address)
    }
}
