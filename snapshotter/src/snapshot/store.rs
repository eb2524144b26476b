//! The store: one directory with manifests, named by key, and packs, named by content.

use super::digest::Digest;
use super::disk::{Disk, Gate};
use super::error::Refused;
use super::failure::{LoadError, StoreError};
use super::host::{Draft, Host, Wanted};
use super::limits::CHUNK_BYTES_MAX;
use super::lock::Lock;
use super::manifest::{Base, Kind, Manifest};
use super::memory::Memory;
use super::pack;
use super::prefix::{PREFIX_BYTES, Prefix};
use crate::source::{LocalSource, PageSource, SourceError};
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A verified manifest and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Digest of the manifest's file.
    pub id: Digest,
    /// What it says.
    pub manifest: Arc<Manifest>,
}

impl Snapshot {
    /// Reads the bytes of a manifest's file.
    pub fn decode(file: &[u8]) -> Result<Snapshot, Refused> {
        Ok(Snapshot { id: Digest::of(file), manifest: Arc::new(Manifest::decode(file)?) })
    }

    /// How another snapshot names this one as its base.
    pub fn as_base(&self) -> Base {
        Base { key: self.manifest.key, id: self.id, ram_bytes: self.manifest.ram_bytes }
    }
}

/// Snapshots in a directory. One process at a time; its threads share it.
pub struct Store {
    pub(super) manifests: PathBuf,
    pub(super) packs: PathBuf,
    pub(super) disk: Disk,
    /// Held by whoever changes files.
    pub(super) writing: Mutex<()>,
    /// Locked for as long as the store is open.
    _lock: Lock,
}

impl Store {
    /// Opens the store in `directory`, which is made if needed, and removes what a crash left behind.
    pub fn open(directory: &Path) -> Result<Store, StoreError> {
        Store::open_with(directory, Box::new(|_| Ok(())))
    }

    pub(super) fn open_with(directory: &Path, gate: Box<Gate>) -> Result<Store, StoreError> {
        let (manifests, packs) = (directory.join("manifests"), directory.join("packs"));
        for path in [&manifests, &packs] {
            std::fs::create_dir_all(path).map_err(|e| StoreError::io(path, "making the directory", e))?;
        }
        let lock = Lock::take(&directory.join("lock"))?;
        let store = Store { manifests, packs, disk: Disk::new(gate), writing: Mutex::new(()), _lock: lock };
        store.sweep()?;
        Ok(store)
    }

    /// Stores a snapshot and makes it the one of its key. Either all of it is there afterwards, durably, or nothing.
    pub fn put(&self, draft: &Draft, memory: &dyn Memory) -> Result<Snapshot, StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut manifest = draft.manifest();
        // Whatever is wrong with the draft is found before anything is written.
        manifest.encode().map_err(StoreError::Draft)?;
        self.check_base(&manifest).map_err(|error| match error {
            LoadError::Io { path, source } => StoreError::io(&path, "reading the base", source),
            LoadError::Refused { why, .. } => StoreError::Draft(why),
            LoadError::Absent { key } => StoreError::Draft(Refused::BaseMissing { key }),
        })?;
        let mut file = self.disk.create(&self.packs)?;
        pack::write(&mut manifest, memory, &mut file)?;
        let encoded = manifest.encode().map_err(StoreError::Draft)?;
        let snapshot = Snapshot::decode(&encoded).map_err(StoreError::Draft)?;
        let before = self.read(manifest.key).ok().map(|before| before.manifest.pack);
        let finished = file.finish(&self.pack_path(manifest.pack));
        let written = finished.and_then(|()| self.write_manifest(manifest.key, &encoded));
        if written.is_err() || before.is_some_and(|before| before != manifest.pack) {
            // The pack without a manifest, or the one that was replaced. If that fails too, the next sweep does it.
            let _ = self.sweep_packs();
        }
        written?;
        Ok(snapshot)
    }

    fn write_manifest(&self, key: Digest, encoded: &[u8]) -> Result<(), StoreError> {
        let mut file = self.disk.create(&self.manifests)?;
        file.write(encoded)?;
        file.finish(&self.manifest_path(key))
    }

    /// The snapshot that is `wanted`, if it is whole and can run on `host`.
    pub fn load(&self, host: &Host, wanted: &Wanted) -> Result<Snapshot, LoadError> {
        let snapshot = self.inspect(wanted.key)?;
        let refused = |why| LoadError::Refused { key: wanted.key, why };
        snapshot.manifest.check(host, wanted).map_err(refused)?;
        self.check_base(&snapshot.manifest)?;
        Ok(snapshot)
    }

    /// The snapshot of `key`, if it is whole; whether it can run here is not asked.
    pub fn inspect(&self, key: Digest) -> Result<Snapshot, LoadError> {
        let snapshot = self.read(key)?;
        let refused = |why| LoadError::Refused { key, why };
        if snapshot.manifest.key != key {
            return Err(refused(Refused::Key { wanted: key, found: snapshot.manifest.key }));
        }
        let (pack, expected) = (snapshot.manifest.pack, snapshot.manifest.pack_bytes);
        let path = self.pack_path(pack);
        match std::fs::symlink_metadata(&path) {
            Ok(data) if data.is_file() && data.len() == expected => Ok(snapshot),
            Ok(data) => Err(refused(Refused::PackSize { pack, expected, found: data.len() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(refused(Refused::PackMissing { pack }))
            }
            Err(source) => Err(LoadError::Io { path, source }),
        }
    }

    /// Reads all page data of a snapshot and checks every chunk. Loading does not: pages are checked as they come.
    pub fn verify(&self, snapshot: &Snapshot) -> Result<(), SourceError> {
        let source = self.source(snapshot)?;
        let mut buffer = vec![0; CHUNK_BYTES_MAX];
        for (index, chunk) in snapshot.manifest.chunks.iter().enumerate() {
            source.read_chunk(index, &mut buffer[..chunk.bytes()])?;
        }
        Ok(())
    }

    /// The page data of a snapshot.
    pub fn source(&self, snapshot: &Snapshot) -> Result<LocalSource, SourceError> {
        LocalSource::open(Arc::clone(&snapshot.manifest), &self.pack_path(snapshot.manifest.pack))
    }

    /// Where the manifest of `key` lies.
    pub fn manifest_path(&self, key: Digest) -> PathBuf {
        self.manifests.join(format!("{key}.manifest"))
    }

    /// Where a pack lies.
    pub fn pack_path(&self, pack: Digest) -> PathBuf {
        self.packs.join(format!("{pack}.pack"))
    }

    /// The base must be there, whole, and the very one the snapshot was made on.
    fn check_base(&self, manifest: &Manifest) -> Result<(), LoadError> {
        let Some(Base { key, id, ram_bytes }) = manifest.base else { return Ok(()) };
        let refused = |why| Err(LoadError::Refused { key: manifest.key, why });
        let because = |why| refused(Refused::BaseRefused { key, why: Box::new(why) });
        let base = match self.inspect(key) {
            Ok(base) => base,
            Err(LoadError::Absent { .. }) => return refused(Refused::BaseMissing { key }),
            Err(LoadError::Refused { why, .. }) => return because(why),
            Err(error) => return Err(error),
        };
        if base.id != id {
            return refused(Refused::BaseChanged { wanted: base.id, found: id });
        }
        if base.manifest.kind != Kind::Runtime {
            return because(Refused::Kind { wanted: Kind::Runtime, found: base.manifest.kind });
        }
        if base.manifest.ram_bytes != ram_bytes {
            return because(Refused::RamBytes { wanted: ram_bytes, found: base.manifest.ram_bytes });
        }
        Ok(())
    }

    /// Reads and checks a manifest; not its pack.
    pub(super) fn read(&self, key: Digest) -> Result<Snapshot, LoadError> {
        let path = self.manifest_path(key);
        let refused = |why| LoadError::Refused { key, why };
        let file = read_bounded(&path).map_err(|error| match error {
            ReadError::Refused(why) => refused(why),
            ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => LoadError::Absent { key },
            ReadError::Io(source) => LoadError::Io { path: path.clone(), source },
        })?;
        Snapshot::decode(&file).map_err(refused)
    }
}

enum ReadError {
    Refused(Refused),
    Io(io::Error),
}

/// Reads a manifest's file. Its prefix decides how much memory is taken.
fn read_bounded(path: &Path) -> Result<Vec<u8>, ReadError> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(ReadError::Io)?;
    let length = file.metadata().map_err(ReadError::Io)?.len();
    let mut bytes = Vec::with_capacity(PREFIX_BYTES);
    (&mut file).take(PREFIX_BYTES as u64).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    let (prefix, _) = Prefix::read(&bytes, length).map_err(ReadError::Refused)?;
    let body = prefix.body_bytes.get();
    bytes.reserve_exact(usize::try_from(body).unwrap_or(0));
    file.take(body).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    Ok(bytes)
}
