//! Snapshots in an S3-compatible object store: storing them there, finding them, reading pages out of them.
//!
//! Names in the bucket are those of the local store: `PREFIX/manifests/KEY.manifest`, `PREFIX/packs/DIGEST.pack`.

use super::SourceError;
use super::client::Client;
use super::object::ObjectSource;
use super::s3::{S3Config, S3ConfigError};
use crate::snapshot::{Digest, Host, LoadError, Snapshot, Store, Wanted};
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;

/// An object store that holds snapshots.
#[derive(Clone)]
pub struct ObjectTier {
    client: Arc<Client>,
}

/// What an upload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Id of the snapshot.
    pub id: Digest,
    /// Bytes sent. Packs that are there already are not sent again.
    pub bytes: u64,
}

impl ObjectTier {
    /// Prepares to use an object store. Nothing is sent yet.
    pub fn new(config: &S3Config) -> Result<ObjectTier, S3ConfigError> {
        Ok(ObjectTier { client: Arc::new(Client::new(config)?) })
    }

    /// Asks the object store for one name: whether it is there, has the bucket, and lets us in. For the start, where
    /// a wrong setting should be said at once; a missing snapshot says nothing about the settings.
    pub fn check(&self) -> Result<(), SourceError> {
        let client = Arc::clone(&self.client);
        self.client.run(&self.client.prefix, async move {
            client.s3.list(Some(&client.prefix)).try_next().await.map(|_| ())
        })
    }

    /// Stores the snapshot of `key` out of `store`: its pack, then its manifest, so that a visible snapshot is whole.
    /// Its base, if it has one, is a snapshot of its own.
    pub fn upload(&self, store: &Store, key: Digest) -> Result<Uploaded, TierError> {
        let snapshot = store.inspect(key)?;
        store.verify(&snapshot)?;
        let manifest = &snapshot.manifest;
        let encoded = manifest.encode().map_err(|why| LoadError::Refused { key, why })?;
        let mut bytes = encoded.len() as u64;
        let pack = self.client.pack(manifest.pack);
        if !self.client.has(&pack, manifest.pack_bytes)? {
            self.client.send_file(&pack, &store.pack_path(manifest.pack), manifest.pack_bytes)?;
            bytes += manifest.pack_bytes;
        }
        let name = self.client.manifest(key);
        let (client, to) = (Arc::clone(&self.client), name.clone());
        self.client.run(&name, async move { client.s3.put(&to, encoded.into()).await.map(|_| ()) })?;
        Ok(Uploaded { id: snapshot.id, bytes })
    }

    /// The snapshot that is `wanted`, if it is there, whole, and can run on `host`. Its pages stay where they are.
    pub fn load(&self, host: &Host, wanted: &Wanted) -> Result<Snapshot, TierError> {
        let key = wanted.key;
        let name = self.client.manifest(key);
        let (client, from) = (Arc::clone(&self.client), name.clone());
        let fetched = self.client.run(&name, async move { client.fetch_bounded(&from).await });
        let file = fetched.map_err(|error| match error {
            SourceError::Missing { .. } => TierError::Snapshot(LoadError::Absent { key }),
            error => TierError::Source(error),
        })?;
        let checked = file.and_then(|file| {
            let snapshot = Snapshot::decode(&file)?;
            snapshot.manifest.check(host, wanted)?;
            Ok(snapshot)
        });
        checked.map_err(|why| TierError::Snapshot(LoadError::Refused { key, why }))
    }

    /// The page data of a snapshot.
    pub fn source(&self, snapshot: &Snapshot) -> ObjectSource {
        ObjectSource::new(Arc::clone(&self.client), snapshot)
    }
}

/// Why a snapshot was not exchanged with the object store.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    /// The snapshot is absent, or cannot be used.
    #[error(transparent)]
    Snapshot(#[from] LoadError),
    /// Bytes could not be read or sent.
    #[error(transparent)]
    Source(#[from] SourceError),
}
