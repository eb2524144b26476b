//! One case per field: what is wrong is refused with an error of its own, and the text says what and why.

use super::prefix::Prefix;
use super::*;
use zerocopy::IntoBytes;

/// The file of a manifest, whatever is wrong with it.
pub(super) fn seal(manifest: &Manifest) -> Vec<u8> {
    let body = postcard::to_stdvec(manifest).unwrap();
    [Prefix::new(manifest.kind, &body).as_bytes(), &body].concat()
}

/// A store with one good snapshot.
fn stored() -> (tempfile::TempDir, Store, Snapshot) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let snapshot = store.put(&draft(), &memory()).unwrap();
    (dir, store, snapshot)
}

/// What loading says of a manifest's file.
fn verdict(file: &[u8]) -> Refused {
    let (_dir, store, _) = stored();
    std::fs::write(store.manifest_path(digest("key")), file).unwrap();
    refused(store.load(&host(), &wanted()).unwrap_err())
}

/// What loading says after a change of the manifest.
fn changed(change: impl FnOnce(&mut Manifest)) -> Refused {
    let (.., snapshot) = stored();
    let mut manifest = (*snapshot.manifest).clone();
    change(&mut manifest);
    let why = verdict(&seal(&manifest));
    assert_eq!(manifest.encode().is_err(), verdict_is_structural(&why), "{why}");
    why
}

/// Whether the writer refuses it too: all that does not depend on host and caller.
fn verdict_is_structural(why: &Refused) -> bool {
    use Refused::*;
    !matches!(
        why,
        Kind { .. }
            | Key { .. }
            | Abi { .. }
            | GuestKernel { .. }
            | RootImage { .. }
            | PackageImage { .. }
            | CpuVendor { .. }
            | CpuFeature { .. }
            | CpuState { .. }
            | KvmKind { .. }
            | RamBytes { .. }
            | PackMissing { .. }
            | PackSize { .. }
    )
}

/// What loading says after a change of the file's first bytes.
fn patched(at: usize, bytes: &[u8]) -> Refused {
    let (.., snapshot) = stored();
    let mut file = seal(&snapshot.manifest);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    verdict(&file)
}

#[test]
fn prefix_fields() {
    assert_eq!(patched(0, b"PK"), Refused::Magic);
    assert_eq!(patched(8, &[2]), Refused::Newer { found: 2 });
    assert_eq!(patched(8, &[0]), Refused::Older { found: 0 });
    assert_eq!(patched(12, &[9]), Refused::Flags { found: 9 });
    assert_eq!(patched(13, &[1]), Refused::Flags { found: 0x101 });
    assert!(matches!(patched(12, &[2]), Refused::Kind { wanted: Kind::Function, found: Kind::Runtime }));
    assert!(matches!(patched(16, &[0, 0]), Refused::Lengths { .. }));
    assert!(matches!(patched(24, &u64::MAX.to_le_bytes()), Refused::BodyTooLarge { found: u64::MAX }));
    assert!(matches!(patched(32, &[0, 0]), Refused::BodyDigest { .. }));
    assert!(matches!(patched(80, &[0xa5, 0x5a]), Refused::BodyDigest { .. }));
}

#[test]
fn lengths_of_the_file() {
    let (.., snapshot) = stored();
    let mut file = seal(&snapshot.manifest);
    for length in [0, 3, 8, 63, 64, file.len() - 1] {
        assert!(matches!(verdict(&file[..length]), Refused::Truncated { .. }), "{length}");
    }
    file.push(0);
    assert!(matches!(verdict(&file), Refused::TrailingBytes { .. }));
    // Left over inside of the body.
    let body = [postcard::to_stdvec(&*snapshot.manifest).unwrap(), vec![0]].concat();
    let sealed = [Prefix::new(Kind::Runtime, &body).as_bytes(), &body].concat();
    assert_eq!(verdict(&sealed), Refused::Body { what: "bytes are left over" });
    let cut = &body[..body.len() / 2];
    let sealed = [Prefix::new(Kind::Runtime, cut).as_bytes(), cut].concat();
    assert_eq!(verdict(&sealed), Refused::Body { what: "it ends in the middle of a value" });
}

#[test]
fn kind_key_and_versions() {
    let function = changed(|m| m.kind = Kind::Function);
    assert_eq!(function, Refused::Kind { wanted: Kind::Runtime, found: Kind::Function });
    assert!(matches!(changed(|m| m.key = digest("another")), Refused::Key { .. }));
    assert_eq!(changed(|m| m.abi = 2), Refused::Abi { wanted: 1, found: 2 });
    assert!(matches!(changed(|m| m.guest_kernel = digest("old")), Refused::GuestKernel { .. }));
    assert!(matches!(changed(|m| m.root_image = digest("old")), Refused::RootImage { .. }));
    let package = changed(|m| m.package_image = Some(digest("old")));
    assert!(matches!(package, Refused::PackageImage { wanted: None, .. }));
    assert!(package.to_string().contains("the function has no package"), "{package}");
}

#[test]
fn processor() {
    assert!(matches!(changed(|m| m.cpu_digest = digest("x")), Refused::CpuDigest { .. }));
    assert!(matches!(changed(|m| m.cpuid[2].registers[1] |= 1 << 30), Refused::CpuDigest { .. }));
    let redigested = |change: fn(&mut Manifest)| {
        changed(|m| {
            change(m);
            m.cpu_digest = manifest::cpu_digest(m.xcr0, &m.cpuid);
        })
    };
    let missing = redigested(|m| m.cpuid[2].registers[1] |= 1 << 30 | 1 << 6);
    let names = ["CPUID 0x7.0 EBX bit 6", "AVX512BW"].map(str::to_owned);
    assert_eq!(missing, Refused::CpuFeature { missing: names.to_vec() });
    assert!(missing.to_string().contains("AVX512BW"));
    let vendor = redigested(|m| m.cpuid[0].registers[2] = 0);
    assert!(matches!(vendor, Refused::CpuVendor { ref host, .. } if host == "GenuineIntel"), "{vendor}");
    assert!(matches!(redigested(|m| m.xcr0 = 0xe7), Refused::CpuState { .. }));
    assert!(matches!(redigested(|m| m.cpuid[3].registers[2] = 900), Refused::CpuState { .. }));
    assert!(matches!(redigested(|m| m.cpuid[4].registers[1] = 640), Refused::CpuState { .. }));
    assert!(matches!(changed(|m| m.kvm_kind = "kvm_amd".to_owned()), Refused::KvmKind { .. }));
}

#[test]
fn what_the_host_has_more_is_no_reason() {
    let (_dir, store, snapshot) = stored();
    let mut newer = host();
    newer.cpu.leaves[2].registers[1] |= 1 << 30;
    newer.release = "7.0.0".to_owned();
    assert_eq!(store.load(&newer, &wanted()).unwrap(), snapshot);
}

#[test]
fn sizes_and_entry() {
    assert_eq!(changed(|m| m.ram_bytes = 0), Refused::RamSize { found: 0 });
    assert_eq!(changed(|m| m.ram_bytes += 4096), Refused::RamSize { found: RAM + 4096 });
    assert!(matches!(changed(|m| m.ram_bytes = 1 << 60), Refused::RamSize { .. }));
    assert_eq!(changed(|m| m.ram_bytes += HUGE), Refused::RamBytes { wanted: RAM, found: RAM + HUGE });
    assert_eq!(changed(|m| m.entry.clear()), Refused::Entry);
    assert_eq!(changed(|m| m.entry.push(0)), Refused::Entry);
    let long = changed(|m| m.entry = vec![0; ENTRY_BYTES_MAX + 1]);
    assert!(matches!(long, Refused::Body { .. }), "{long}");
}

#[test]
fn sets() {
    let unordered = |change: fn(&mut Manifest)| {
        let why = changed(change);
        assert!(matches!(why, Refused::Unordered { .. }), "{why}");
    };
    unordered(|m| m.read_set = vec![range(5, 0)]);
    unordered(|m| m.read_set = vec![range(5, 2), range(6, 1)]);
    unordered(|m| m.write_set = vec![range(5, 2), range(1, 1)]);
    let outside = changed(|m| m.write_set = vec![range(PAGES - 1, 2)]);
    assert_eq!(outside, Refused::PageOutside { what: "the write set", page: PAGES });
    let huge = changed(|m| m.read_set = vec![range(1, u64::MAX)]);
    assert!(matches!(huge, Refused::PageOutside { what: "the read set", .. }));
    let many = changed(|m| m.read_set = (0..=RANGES_MAX as u64).map(|at| range(at, 1)).collect());
    assert_eq!(many, Refused::Body { what: "a list or a name is longer than allowed" });
}

#[test]
fn chunks_and_pack() {
    assert!(matches!(changed(|m| m.chunks[0].pages = 17), Refused::ChunkSize { page: 10, pages: 17 }));
    assert!(matches!(changed(|m| m.chunks[0].pages = 0), Refused::ChunkSize { .. }));
    assert!(matches!(changed(|m| m.chunks[1].first_page = 11), Refused::Unordered { page: 11, .. }));
    assert!(matches!(changed(|m| m.chunks.swap(0, 1)), Refused::Unordered { .. }));
    let last = |m: &mut Manifest| m.chunks.last_mut().unwrap().first_page = PAGES;
    assert!(matches!(changed(last), Refused::PageOutside { page: PAGES, .. }));
    let far = |m: &mut Manifest| m.chunks.last_mut().unwrap().first_page = u64::MAX;
    assert!(matches!(changed(far), Refused::PageOutside { .. }));
    assert!(matches!(changed(|m| m.chunks[0].offset += 4096), Refused::PackLayout { .. }));
    assert!(matches!(changed(|m| m.chunks[0].offset = u64::MAX), Refused::PackLayout { .. }));
    assert!(matches!(changed(|m| m.chunks.truncate(1)), Refused::PackLayout { .. }));
    assert!(matches!(changed(|m| m.pack_bytes += 1), Refused::PackLayout { .. }));
    assert!(matches!(changed(|m| m.pack = digest("gone")), Refused::PackMissing { .. }));
}

#[test]
fn bases() {
    let (_dir, store, snapshot) = stored();
    let base = snapshot.as_base();
    assert_eq!(changed(|m| m.base = Some(base)), Refused::BaseUnexpected);
    let draft = draft_on(&snapshot);
    let function = store.put(&draft, &memory_with(HUGE, [1], 1)).unwrap();
    let says = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = (*function.manifest).clone();
        change(&mut manifest);
        std::fs::write(store.manifest_path(draft.wanted.key), seal(&manifest)).unwrap();
        refused(store.load(&host(), &draft.wanted).unwrap_err())
    };
    let with = |base: Base| says(&move |m: &mut Manifest| m.base = Some(base));
    assert!(matches!(says(&|m| m.base = None), Refused::BaseChanged { .. }));
    assert!(matches!(with(Base { id: digest("x"), ..base }), Refused::BaseChanged { .. }));
    assert!(matches!(with(Base { key: digest("x"), ..base }), Refused::BaseMissing { .. }));
    assert!(matches!(with(Base { ram_bytes: 12345, ..base }), Refused::RamSize { found: 12345 }));
    assert!(matches!(with(Base { ram_bytes: RAM + HUGE, ..base }), Refused::RamSize { .. }));
    assert!(matches!(with(Base { ram_bytes: HUGE, ..base }), Refused::BaseRefused { .. }));
    let below = says(&|m| m.chunks[0].first_page = 3);
    assert_eq!(below, Refused::PageOutside { what: "the chunk table", page: 3 });
}

#[test]
fn a_newer_snapshot_is_replaced_by_a_rebuild() {
    let (_dir, store, _) = stored();
    let path = store.manifest_path(digest("key"));
    let mut file = std::fs::read(&path).unwrap();
    file[8] = 200;
    std::fs::write(&path, file).unwrap();
    let error = store.load(&host(), &wanted()).unwrap_err();
    assert!(error.to_string().contains("built again"), "{error}");
    store.put(&draft(), &memory()).unwrap();
    store.load(&host(), &wanted()).unwrap();
}
