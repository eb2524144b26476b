//! Against the real server.

use crate::fixture::{PAGE, PAGE_BYTES, config, host, page, store_with, wanted};
use crate::server::Server;
use snapshotter::snapshot::{Digest, LoadError, Refused, Wanted};
use snapshotter::source::{ObjectTier, PageSource, S3Config, SourceError, TierError};

#[test]
fn a_snapshot_goes_up_and_its_pages_come_down() {
    let server = Server::start();
    let (_dir, store, snapshot) = store_with(0..1100);
    let tier = ObjectTier::new(&config(server.address)).unwrap();
    let up = tier.upload(&store, wanted().key).unwrap();
    assert!(up.id == snapshot.id && up.bytes > 1100 * PAGE);
    let remote = tier.load(&host(), &wanted()).unwrap();
    assert_eq!(remote, snapshot);

    let source = tier.source(&remote);
    let table = remote.manifest.chunk_table().unwrap();
    for number in [0, 63, 64, 1099] {
        let index = table.lookup(number).unwrap();
        let chunk = table.chunks()[index];
        let mut bytes = vec![0; chunk.pages as usize * PAGE_BYTES];
        source.read_chunk(index, &mut bytes).unwrap();
        assert_eq!(bytes[..PAGE_BYTES], page(chunk.first_page));
    }
    let all: Vec<usize> = (0..table.chunks().len()).collect();
    for indices in [remote.manifest.working_set(), all] {
        let mut seen = Vec::new();
        source
            .read_chunks(&indices, &mut |index, bytes| {
                let chunk = table.chunks()[index];
                let expected: Vec<u8> =
                    (chunk.first_page..chunk.first_page + u64::from(chunk.pages)).flat_map(page).collect();
                assert!(bytes == expected, "chunk {index}");
                seen.push(index);
            })
            .unwrap();
        seen.sort_unstable();
        let mut indices = indices;
        indices.sort_unstable();
        assert_eq!(seen, indices);
    }
}

#[test]
fn packs_of_several_parts_are_sent_once() {
    let server = Server::start();
    // 8 MiB and a page: two parts.
    let (_dir, store, snapshot) = store_with(0..2049);
    let tier = ObjectTier::new(&config(server.address)).unwrap();
    assert!(tier.upload(&store, wanted().key).unwrap().bytes > 2049 * PAGE);
    let pack = server.path_of(format!("a/prefix/packs/{}.pack", snapshot.manifest.pack));
    assert_eq!(Digest::of(&std::fs::read(pack).unwrap()), snapshot.manifest.pack);
    let again = tier.upload(&store, wanted().key).unwrap();
    assert!(again.bytes < PAGE * 100, "{again:?}");
}

#[test]
fn what_is_not_there_or_not_allowed_is_said() {
    let server = Server::start();
    let (_dir, store, snapshot) = store_with(0..10);
    let good = config(server.address);
    let tier = ObjectTier::new(&good).unwrap();
    assert!(matches!(tier.load(&host(), &wanted()), Err(TierError::Snapshot(LoadError::Absent { .. }))));
    assert!(matches!(
        tier.source(&snapshot).read_chunk(0, &mut [0; 40960]),
        Err(SourceError::Missing { .. })
    ));

    let no_bucket = ObjectTier::new(&S3Config { bucket: "nowhere".to_owned(), ..good.clone() }).unwrap();
    let error = no_bucket.check().unwrap_err();
    assert!(matches!(error, SourceError::NoBucket { .. }), "{error:?}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    tier.check().unwrap();

    let mut wrong = good.clone();
    wrong.credentials.secret = "wrong".to_owned();
    let error = ObjectTier::new(&wrong).unwrap().upload(&store, wanted().key).unwrap_err();
    assert!(matches!(error, TierError::Source(SourceError::Denied { .. })), "{error:?}");
    assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    let error = ObjectTier::new(&wrong).unwrap().check().unwrap_err();
    assert!(matches!(error, SourceError::Denied { .. }), "{error:?}");
    let mut unknown = good;
    unknown.credentials.key_id = "nobody".to_owned();
    let error = ObjectTier::new(&unknown).unwrap().load(&host(), &wanted()).unwrap_err();
    assert!(matches!(error, TierError::Source(SourceError::Denied { .. })), "{error:?}");
}

#[test]
fn damage_in_the_object_store_is_refused() {
    let server = Server::start();
    let (_dir, store, snapshot) = store_with(0..100);
    let tier = ObjectTier::new(&config(server.address)).unwrap();
    tier.upload(&store, wanted().key).unwrap();
    let pack = server.path_of(format!("a/prefix/packs/{}.pack", snapshot.manifest.pack));
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[5] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let index = snapshot.manifest.chunks.iter().position(|chunk| chunk.offset == 0).unwrap();
    let mut buffer = vec![0; snapshot.manifest.chunks[index].bytes()];
    let error = tier.source(&snapshot).read_chunk(index, &mut buffer).unwrap_err();
    assert!(matches!(error, SourceError::Damaged { .. }), "{error:?}");

    let manifest = server.path_of(format!("a/prefix/manifests/{}.manifest", wanted().key));
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&manifest, &bytes).unwrap();
    let error = tier.load(&host(), &wanted()).unwrap_err();
    let refused = |error: &TierError, expected: fn(&Refused) -> bool| matches!(error, TierError::Snapshot(LoadError::Refused { why, .. }) if expected(why));
    assert!(refused(&error, |why| matches!(why, Refused::BodyDigest { .. })), "{error:?}");
    // The upload mends both: the manifest is always sent, the pack as it has another size now.
    std::fs::write(&pack, b"short").unwrap();
    tier.upload(&store, wanted().key).unwrap();
    tier.source(&tier.load(&host(), &wanted()).unwrap()).read_chunk(index, &mut buffer).unwrap();
    let other = Wanted { root_image: Digest::of(b"other"), ..wanted() };
    let error = tier.load(&host(), &other).unwrap_err();
    assert!(refused(&error, |why| matches!(why, Refused::RootImage { .. })), "{error:?}");
}

#[test]
fn calls_work_on_threads_of_a_runtime_too() {
    let server = Server::start();
    let (_dir, store, _) = store_with(0..10);
    let tier = ObjectTier::new(&config(server.address)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let task = runtime.spawn(async move {
        tier.upload(&store, wanted().key).unwrap();
        drop(tier);
    });
    runtime.block_on(task).unwrap();
}
