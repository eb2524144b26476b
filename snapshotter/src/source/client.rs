//! Requests to an S3-compatible object store, from threads that block: within a bound of time, with errors that
//! say what to do.

use super::SourceError;
use super::s3::{S3Config, S3ConfigError, Timing};
use crate::snapshot::{BODY_BYTES_MAX, Digest, PREFIX_BYTES, Refused};
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

/// Bytes of one part of an upload.
const PART_BYTES: usize = 8 << 20;

/// A client of one bucket, with a thread of its own.
pub(super) struct Client {
    pub(super) s3: AmazonS3,
    /// Present until dropped.
    runtime: Option<Runtime>,
    pub(super) prefix: Path,
    pub(super) place: String,
    timing: Timing,
}

impl Drop for Client {
    fn drop(&mut self) {
        // Requests nobody waits for any more must not hold up whoever drops this.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Client {
    pub(super) fn new(config: &S3Config) -> Result<Client, S3ConfigError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("spore-s3")
            .enable_all()
            .build()
            .map_err(S3ConfigError::Client)?;
        let prefix = Path::parse(&config.prefix).map_err(|error| S3ConfigError::Settings(error.into()))?;
        Ok(Client {
            s3: config.client()?,
            runtime: Some(runtime),
            prefix,
            place: config.place(),
            timing: config.timing,
        })
    }

    pub(super) fn manifest(&self, key: Digest) -> Path {
        self.prefix.clone().join("manifests").join(format!("{key}.manifest"))
    }

    pub(super) fn pack(&self, pack: Digest) -> Path {
        self.prefix.clone().join("packs").join(format!("{pack}.pack"))
    }

    /// Runs `work` on the client's own thread and waits, within the bound on a call. Works on every thread.
    pub(super) fn run<T: Send + 'static>(
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
    pub(super) fn has(self: &Arc<Self>, name: &Path, bytes: u64) -> Result<bool, SourceError> {
        let (client, asked) = (Arc::clone(self), name.clone());
        match self.run(name, async move { client.s3.head(&asked).await }) {
            Ok(found) => Ok(found.size == bytes),
            Err(SourceError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Fetches a manifest, and no more of it than a manifest can have.
    pub(super) async fn fetch_bounded(&self, name: &Path) -> object_store::Result<Result<Vec<u8>, Refused>> {
        let most = PREFIX_BYTES as u64 + BODY_BYTES_MAX;
        let answer = self.s3.get(name).await?;
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
    pub(super) fn send_file(
        self: &Arc<Self>,
        name: &Path,
        path: &std::path::Path,
        bytes: u64,
    ) -> Result<(), SourceError> {
        let disk = |source| SourceError::Disk { place: path.display().to_string(), source };
        let file = std::fs::File::open(path).map_err(disk)?;
        let mut file = tokio::fs::File::from_std(file);
        if bytes <= PART_BYTES as u64 {
            let (client, to) = (Arc::clone(self), name.clone());
            return self.run(name, async move {
                let part = read_part(&mut file).await?;
                client.s3.put(&to, part.into()).await.map(|_| ())
            });
        }
        let (client, to) = (Arc::clone(self), name.clone());
        let mut upload = self.run(name, async move { client.s3.put_multipart(&to).await })?;
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
