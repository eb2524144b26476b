use super::*;
use crate::source::{PageSource, SourceError};
use std::collections::HashSet;

/// All memory of a snapshot, as its chunks give it.
fn restored(store: &Store, snapshot: &Snapshot) -> Vec<u8> {
    let source = store.source(snapshot).unwrap();
    let mut memory = vec![0; usize::try_from(snapshot.manifest.own_bytes()).unwrap()];
    for (index, chunk) in snapshot.manifest.chunk_table().unwrap().chunks().iter().enumerate() {
        let start = usize::try_from(chunk.first_page).unwrap() * PAGE_BYTES;
        let bytes = chunk.pages as usize * PAGE_BYTES;
        source.read_chunk(index, &mut memory[start..start + bytes]).unwrap();
    }
    memory
}

fn original(memory: &FileMemory, bytes: u64) -> Vec<u8> {
    let mut all = vec![0; usize::try_from(bytes).unwrap()];
    memory.read(0, &mut all).unwrap();
    all
}

#[test]
fn what_was_put_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let put = store.put(&draft(), &memory()).unwrap();
    let loaded = store.load(&host(), &wanted()).unwrap();
    assert_eq!(put, loaded);
    store.verify(&loaded).unwrap();
    assert_eq!(restored(&store, &loaded), original(&memory(), RAM));
}

#[test]
fn zero_pages_and_holes_are_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(RAM).unwrap();
    file.write_all_at(&vec![0; 64 * PAGE_BYTES], 0).unwrap();
    file.write_all_at(b"x", 40 * PAGE_BYTES as u64 + 4095).unwrap();
    let snapshot = store.put(&draft(), &FileMemory::new(&file).unwrap()).unwrap();
    let chunks: Vec<_> = snapshot.manifest.chunks.iter().map(|c| (c.first_page, c.pages)).collect();
    assert_eq!((chunks, snapshot.manifest.pack_bytes), (vec![(40, 1)], 4096));
    let empty = store.put(&draft(), &memory_with(RAM, [], 0)).unwrap();
    assert_eq!(empty.manifest.pack_bytes, 0);
    store.verify(&store.load(&host(), &wanted()).unwrap()).unwrap();
}

#[test]
fn the_working_set_comes_first_in_the_pack_and_in_one_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let snapshot = store.put(&draft(), &memory()).unwrap();
    let manifest = &snapshot.manifest;
    let hot: Vec<u64> = manifest.working_set().iter().map(|&at| manifest.chunks[at].first_page).collect();
    assert_eq!(hot, [100, 400, 600]);
    let offsets: Vec<u64> = manifest.working_set().iter().map(|&at| manifest.chunks[at].offset).collect();
    assert_eq!(offsets, [0, 2 * 4096, 3 * 4096]);
    assert!(manifest.chunks.iter().all(|chunk| chunk.pages <= CHUNK_PAGES_MAX));
    let mut seen = Vec::new();
    let source = store.source(&snapshot).unwrap();
    source
        .read_chunks(&manifest.working_set(), &mut |index, bytes| {
            seen.push((manifest.chunks[index].first_page, bytes.len() / PAGE_BYTES));
        })
        .unwrap();
    assert_eq!(seen, [(100, 2), (400, 1), (600, 8)]);
}

#[test]
fn equal_content_is_stored_once_and_removed_with_its_last_user() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = store.put(&draft(), &memory()).unwrap();
    let mut other = draft();
    other.wanted.key = digest("other");
    let second = store.put(&other, &memory()).unwrap();
    assert_eq!(first.manifest.pack, second.manifest.pack);
    assert_ne!(first.id, second.id);
    assert_eq!(store.stats().unwrap().snapshots, 2);
    assert_eq!(store.remove(other.wanted.key).unwrap().files, 1);
    store.load(&host(), &wanted()).unwrap();
    assert_eq!(store.gc(&HashSet::new()).unwrap().files, 2);
    assert_eq!(store.stats().unwrap(), StoreStats::default());
    assert!(matches!(store.load(&host(), &wanted()), Err(LoadError::Absent { .. })));
}

#[test]
fn a_new_snapshot_of_a_key_replaces_the_old_one_and_its_pack() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let old = store.put(&draft(), &memory()).unwrap();
    let reader = store.source(&old).unwrap();
    let new = store.put(&draft(), &memory_with(RAM, used(), 8)).unwrap();
    assert_eq!(store.load(&host(), &wanted()).unwrap().id, new.id);
    assert!(!store.pack_path(old.manifest.pack).exists());
    // Whoever was reading the old one can go on.
    let mut bytes = vec![0; old.manifest.chunks[0].bytes()];
    reader.read_chunk(0, &mut bytes).unwrap();
    assert_eq!(&bytes[..PAGE_BYTES], page(10, 7));
}

#[test]
fn a_function_lies_on_its_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let base = store.put(&draft(), &memory()).unwrap();
    let draft = draft_on(&base);
    let put = store.put(&draft, &memory_with(HUGE, [0, 5], 3)).unwrap();
    let loaded = store.load(&host(), &draft.wanted).unwrap();
    assert_eq!(put, loaded);
    assert_eq!((loaded.manifest.first_own_page(), loaded.manifest.own_bytes()), (PAGES, HUGE));
    assert_eq!(loaded.manifest.chunks[1].first_page, PAGES + 5);
    assert_eq!(loaded.manifest.chunk_table().unwrap().lookup(5), Some(1));
    assert_eq!(restored(&store, &loaded), original(&memory_with(HUGE, [0, 5], 3), HUGE));
    // The base is kept with it.
    store.gc(&HashSet::from([draft.wanted.key])).unwrap();
    assert_eq!(store.stats().unwrap().snapshots, 2);
    // Without the base, or on a new one, it is refused.
    store.put(&super::draft(), &memory_with(RAM, [1], 1)).unwrap();
    let why = refused(store.load(&host(), &draft.wanted).unwrap_err());
    assert!(matches!(why, Refused::BaseChanged { .. }), "{why}");
    std::fs::write(store.manifest_path(base.manifest.key), b"SPORE").unwrap();
    let why = refused(store.load(&host(), &draft.wanted).unwrap_err());
    assert!(matches!(why, Refused::BaseRefused { .. }), "{why}");
    store.remove(base.manifest.key).unwrap();
    let why = refused(store.load(&host(), &draft.wanted).unwrap_err());
    assert!(matches!(why, Refused::BaseMissing { .. }), "{why}");
    assert!(matches!(store.put(&draft, &memory()), Err(StoreError::Draft(Refused::BaseMissing { .. }))));
}

#[test]
fn damage_of_the_pack_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let snapshot = store.put(&draft(), &memory()).unwrap();
    let path = store.pack_path(snapshot.manifest.pack);
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[4096 * 2 + 77] ^= 0x10;
    std::fs::write(&path, &flipped).unwrap();
    let index = snapshot.manifest.chunks.iter().position(|chunk| chunk.offset == 8192).unwrap();
    let source = store.source(&snapshot).unwrap();
    let mut bytes = vec![0; snapshot.manifest.chunks[index].bytes()];
    let damaged = |result| matches!(result, Err(SourceError::Damaged { index: found, .. }) if found == index);
    assert!(damaged(source.read_chunk(index, &mut bytes)));
    let mut given = Vec::new();
    assert!(damaged(source.read_chunks(&snapshot.manifest.working_set(), &mut |at, _| given.push(at))));
    assert!(!given.contains(&index));
    assert!(store.verify(&snapshot).is_err());

    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let why = refused(store.load(&host(), &wanted()).unwrap_err());
    assert!(matches!(why, Refused::PackSize { .. }), "{why}");
    let last = snapshot.manifest.chunks.iter().position(|c| c.offset + 4096 == whole.len() as u64).unwrap();
    let short = store.source(&snapshot).unwrap().read_chunk(last, &mut [0; 4096]);
    assert!(matches!(short, Err(SourceError::Short { expected: 4096, found: 4095, .. })));

    std::fs::remove_file(&path).unwrap();
    let why = refused(store.load(&host(), &wanted()).unwrap_err());
    assert!(matches!(why, Refused::PackMissing { .. }), "{why}");
    assert!(matches!(store.source(&snapshot), Err(SourceError::Missing { .. })));
    // Putting it again heals it.
    store.put(&draft(), &memory()).unwrap();
    store.verify(&store.load(&host(), &wanted()).unwrap()).unwrap();
}

#[test]
fn wrong_questions_get_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let snapshot = store.put(&draft(), &memory()).unwrap();
    let source = store.source(&snapshot).unwrap();
    assert!(matches!(source.read_chunk(99, &mut []), Err(SourceError::NoChunk { index: 99, .. })));
    assert!(matches!(source.read_chunk(0, &mut [0; 7]), Err(SourceError::Buffer { found: 7, .. })));
    assert!(matches!(source.read_chunks(&[0, 99], &mut |_, _| {}), Err(SourceError::NoChunk { .. })));
    source.read_chunks(&[], &mut |_, _| panic!("nothing was asked for")).unwrap();
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse { .. })));
    drop(store);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_manifest_under_another_name_and_a_link_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.put(&draft(), &memory()).unwrap();
    let (from, to) = (store.manifest_path(digest("key")), store.manifest_path(digest("other")));
    std::fs::copy(&from, &to).unwrap();
    let why = refused(store.inspect(digest("other")).unwrap_err());
    assert!(matches!(why, Refused::Key { .. }), "{why}");
    std::fs::remove_file(&to).unwrap();
    std::os::unix::fs::symlink(&from, &to).unwrap();
    assert!(matches!(store.inspect(digest("other")), Err(LoadError::Io { .. })));
}

#[test]
fn memory_outside_of_the_snapshot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let too_large = memory_with(RAM + HUGE, [PAGES + 1], 1);
    let put = store.put(&draft(), &too_large);
    assert!(matches!(put, Err(StoreError::Draft(Refused::PageOutside { .. }))), "{put:?}");
    assert_eq!(store.stats().unwrap(), StoreStats::default());
}

#[test]
fn threads_share_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let keys: Vec<Digest> = (0..4).map(|number| Digest::of(&[number])).collect();
    let keep: HashSet<Digest> = keys.iter().copied().collect();
    std::thread::scope(|scope| {
        for key in keys.clone() {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..5 {
                    let mut draft = draft();
                    draft.wanted.key = key;
                    // All have the same pack; it comes and goes with its users.
                    let put = store.put(&draft, &memory()).unwrap();
                    store.verify(&store.load(&host(), &draft.wanted).unwrap()).unwrap();
                    assert_eq!(store.inspect(key).unwrap(), put);
                }
            });
        }
        for _ in 0..5 {
            store.gc(&keep).unwrap();
            store.remove(digest("nobody")).unwrap();
        }
    });
    assert_eq!(store.stats().unwrap().snapshots, 4);
}

/// What this very host says of itself is accepted on it.
#[test]
fn a_snapshot_of_this_host_is_loaded_on_it() {
    let kvm = || vmm::Kvm::open(std::path::Path::new("/dev/kvm"));
    let (first, second) = match (kvm(), kvm()) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("not tested: {error}");
            return;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let host = Host::new(&first, digest("kernel"));
    assert!(!host.cpu.leaves.is_empty() && !host.release.is_empty());
    let put = store.put(&Draft { host, ..draft() }, &memory()).unwrap();
    assert_eq!(store.load(&Host::new(&second, digest("kernel")), &wanted()).unwrap(), put);
}
