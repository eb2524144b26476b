//! Snapshots in an S3-compatible object store: storing them there, finding them, reading pages out of them.
//!
//! Names in the bucket are those of the local store: `PREFIX/manifests/KEY.manifest`, `PREFIX/packs/DIGEST.pack`.

use super::plan::{self, Read};
use super::s3::{S3Config, S3ConfigError, Timing};
use super::{PageSource, SourceError};
use crate::snapshot::{
    BODY_BYTES_MAX, Digest, Host, LoadError, Manifest, PREFIX_BYTES, Refused, Snapshot, Store, Wanted,
};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use object_store::aws::AmazonS3;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

/// Bytes that are read although nobody wants them, to save a request.
const GAP_BYTES: u64 = 256 << 10;
/// Most bytes of one request for pages.
const READ_BYTES_MAX: usize = 4 << 20;
/// Most requests under way at once for one call.
const READS_AT_ONCE: usize = 8;
/// Bytes of one part of an upload.
const PART_BYTES: usize = 8 << 20;

/// An object store that holds snapshots.
#[derive(Clone)]
pub struct ObjectTier {
    shared: Arc<Shared>,
}

struct Shared {
    client: AmazonS3,
    /// Present until dropped.
    runtime: Option<Runtime>,
    prefix: Path,
    place: String,
    timing: Timing,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Requests nobody waits for any more must not hold up whoever drops this.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("spore-s3")
            .enable_all()
            .build()
            .map_err(S3ConfigError::Client)?;
        let prefix = Path::parse(&config.prefix).map_err(|error| S3ConfigError::Settings(error.into()))?;
        let shared = Shared {
            client: config.client()?,
            runtime: Some(runtime),
            prefix,
            place: config.place(),
            timing: config.timing,
        };
        Ok(ObjectTier { shared: Arc::new(shared) })
    }

    /// Asks the object store for one name: whether it is there, has the bucket, and lets us in. For the start, where
    /// a wrong setting should be said at once; a missing snapshot says nothing about the settings.
    pub fn check(&self) -> Result<(), SourceError> {
        let shared = Arc::clone(&self.shared);
        self.shared.run(&self.shared.prefix, async move {
            shared.client.list(Some(&shared.prefix)).try_next().await.map(|_| ())
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
        let pack = self.shared.pack(manifest.pack);
        if !self.shared.has(&pack, manifest.pack_bytes)? {
            self.shared.send_file(&pack, &store.pack_path(manifest.pack), manifest.pack_bytes)?;
            bytes += manifest.pack_bytes;
        }
        let name = self.shared.manifest(key);
        let (shared, to) = (Arc::clone(&self.shared), name.clone());
        self.shared.run(&name, async move { shared.client.put(&to, encoded.into()).await.map(|_| ()) })?;
        Ok(Uploaded { id: snapshot.id, bytes })
    }

    /// The snapshot that is `wanted`, if it is there, whole, and can run on `host`. Its pages stay where they are.
    pub fn load(&self, host: &Host, wanted: &Wanted) -> Result<Snapshot, TierError> {
        let key = wanted.key;
        let name = self.shared.manifest(key);
        let (shared, from) = (Arc::clone(&self.shared), name.clone());
        let fetched = self.shared.run(&name, async move { shared.fetch_bounded(&from).await });
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
        ObjectSource {
            name: self.shared.pack(snapshot.manifest.pack),
            manifest: Arc::clone(&snapshot.manifest),
            shared: Arc::clone(&self.shared),
        }
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

impl Shared {
    fn manifest(&self, key: Digest) -> Path {
        self.prefix.clone().join("manifests").join(format!("{key}.manifest"))
    }

    fn pack(&self, pack: Digest) -> Path {
        self.prefix.clone().join("packs").join(format!("{pack}.pack"))
    }

    /// Runs `work` on the client's own thread and waits, within the bound on a call. Works on every thread.
    fn run<T: Send + 'static>(
        &self,
        name: &Path,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, SourceError> {
        let place = format!("{}/{name}", self.place);
        let after = self.timing.total;
        let (sender, receiver) = mpsc::channel();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // If nobody waits any more, nobody needs the answer.
                let _ = sender.send(tokio::time::timeout(after, work).await);
            });
        }
        match receiver.recv() {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(sort(place, after, error)),
            Ok(Err(_elapsed)) => Err(SourceError::Timeout { place, after }),
            Err(closed) => Err(SourceError::Remote { place, source: Box::new(closed) }),
        }
    }

    /// Whether an object of this size is there.
    fn has(self: &Arc<Self>, name: &Path, bytes: u64) -> Result<bool, SourceError> {
        let (shared, asked) = (Arc::clone(self), name.clone());
        match self.run(name, async move { shared.client.head(&asked).await }) {
            Ok(found) => Ok(found.size == bytes),
            Err(SourceError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Fetches a manifest, and no more of it than a manifest can have.
    async fn fetch_bounded(&self, name: &Path) -> object_store::Result<Result<Vec<u8>, Refused>> {
        let most = PREFIX_BYTES as u64 + BODY_BYTES_MAX;
        let answer = self.client.get(name).await?;
        if answer.meta.size > most {
            return Ok(Err(Refused::BodyTooLarge { found: answer.meta.size }));
        }
        let mut file = Vec::new();
        let mut parts = answer.into_stream();
        while let Some(part) = parts.try_next().await? {
            file.extend_from_slice(&part);
            if file.len() as u64 > most {
                return Ok(Err(Refused::BodyTooLarge { found: file.len() as u64 }));
            }
        }
        Ok(Ok(file))
    }

    /// Sends a file in parts. The bound on a call holds for each part.
    fn send_file(
        self: &Arc<Self>,
        name: &Path,
        path: &std::path::Path,
        bytes: u64,
    ) -> Result<(), SourceError> {
        let disk = |source| SourceError::Disk { place: path.display().to_string(), source };
        let file = std::fs::File::open(path).map_err(disk)?;
        let mut file = tokio::fs::File::from_std(file);
        if bytes <= PART_BYTES as u64 {
            let (shared, to) = (Arc::clone(self), name.clone());
            return self.run(name, async move {
                let part = read_part(&mut file).await?;
                shared.client.put(&to, part.into()).await.map(|_| ())
            });
        }
        let (shared, to) = (Arc::clone(self), name.clone());
        let mut upload = self.run(name, async move { shared.client.put_multipart(&to).await })?;
        let mut left = bytes.div_ceil(PART_BYTES as u64);
        loop {
            let step = self.run(name, async move {
                let sent = if left == 0 {
                    upload.complete().await.map(|_| ())
                } else {
                    send_part(&mut file, upload.as_mut()).await
                };
                // An upload that failed must not be kept, and paid for, by the server.
                if sent.is_err() {
                    let _ = upload.abort().await;
                }
                sent.map(|()| (upload, file))
            });
            (upload, file) = step?;
            if left == 0 {
                return Ok(());
            }
            left -= 1;
        }
    }
}

async fn read_part(file: &mut tokio::fs::File) -> object_store::Result<Vec<u8>> {
    let mut part = Vec::new();
    let read = file.take(PART_BYTES as u64).read_to_end(&mut part).await;
    read.map_err(|source| object_store::Error::Generic { store: "disk", source: source.into() })?;
    Ok(part)
}

async fn send_part(file: &mut tokio::fs::File, upload: &mut dyn MultipartUpload) -> object_store::Result<()> {
    let part = read_part(file).await?;
    upload.put_part(PutPayload::from(part)).await
}

/// What the client's error means. What the server answered is not told but in the text.
fn sort(place: String, after: Duration, error: object_store::Error) -> SourceError {
    let no_bucket = |error: &(dyn Error + 'static)| error.to_string().contains("<Code>NoSuchBucket</Code>");
    if chain(&error).any(no_bucket) {
        return SourceError::NoBucket { place };
    }
    let denial = |error: &(dyn Error + 'static)| error.to_string().contains("status code: 403 Forbidden");
    let denied = matches!(
        error,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    ) || chain(&error).any(denial);
    let timeout = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<HttpError>().is_some_and(|error| error.kind() == HttpErrorKind::Timeout)
    };
    let timed_out = chain(&error).any(timeout);
    match error {
        object_store::Error::NotFound { .. } => SourceError::Missing { place },
        error if denied => SourceError::Denied { place, source: error.into() },
        _ if timed_out => SourceError::Timeout { place, after },
        error => SourceError::Remote { place, source: error.into() },
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// Pages from a pack in an object store.
#[derive(Clone)]
pub struct ObjectSource {
    shared: Arc<Shared>,
    manifest: Arc<Manifest>,
    name: Path,
}

impl ObjectSource {
    /// Reads several parts of the pack at once.
    fn fetch(&self, reads: &[Read]) -> Result<Vec<Vec<u8>>, SourceError> {
        let one = |read: &Read| {
            let (shared, name) = (Arc::clone(&self.shared), self.name.clone());
            let range = read.offset..read.offset + read.bytes as u64;
            async move { shared.client.get_range(&name, range).await }
        };
        let answers = self.shared.run(&self.name, try_join_all(reads.iter().map(one).collect::<Vec<_>>()))?;
        for (read, answer) in reads.iter().zip(&answers) {
            let (expected, found) = (read.bytes, answer.len());
            if expected != found {
                let place = format!("{}/{}", self.shared.place, self.name);
                return Err(SourceError::Short { place, expected, found });
            }
        }
        Ok(answers.into_iter().map(Vec::from).collect())
    }

    /// Chunk `index`, on its own. What was damaged on the way is fetched once more; what is stored damaged stays so.
    fn fetch_chunk(&self, index: usize) -> Result<Vec<u8>, SourceError> {
        let chunk = plan::chunk(&self.manifest, index)?;
        let read = [Read { offset: chunk.offset, bytes: chunk.bytes(), chunks: vec![index] }];
        let mut fetched = self.fetch(&read)?.concat();
        if plan::verify(&self.manifest, index, &fetched).is_err() {
            fetched = self.fetch(&read)?.concat();
            plan::verify(&self.manifest, index, &fetched)?;
        }
        Ok(fetched)
    }
}

impl PageSource for ObjectSource {
    fn read_chunk(&self, index: usize, bytes: &mut [u8]) -> Result<(), SourceError> {
        plan::fits(&self.manifest, index, bytes)?;
        bytes.copy_from_slice(&self.fetch_chunk(index)?);
        Ok(())
    }

    fn read_chunks(&self, indices: &[usize], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), SourceError> {
        let reads = plan::reads(&self.manifest, indices, GAP_BYTES, READ_BYTES_MAX)?;
        for wave in reads.chunks(READS_AT_ONCE) {
            for (read, bytes) in wave.iter().zip(self.fetch(wave)?) {
                for &index in &read.chunks {
                    let part = plan::part(&self.manifest, read, index, &bytes)?;
                    match plan::verify(&self.manifest, index, part) {
                        Ok(()) => each(index, part),
                        Err(_) => each(index, &self.fetch_chunk(index)?),
                    }
                }
            }
        }
        Ok(())
    }
}
