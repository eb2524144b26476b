//! Pages from a pack in an object store.

use super::client::Client;
use super::plan::{self, Read};
use super::{PageSource, SourceError};
use crate::snapshot::{Manifest, Snapshot};
use futures_util::future::try_join_all;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::sync::Arc;

/// Bytes that are read although nobody wants them, to save a request.
const GAP_BYTES: u64 = 256 << 10;
/// Most bytes of one request.
const READ_BYTES_MAX: usize = 4 << 20;
/// Most requests under way at once for one call.
const READS_AT_ONCE: usize = 8;

/// Pages from a pack in an object store.
#[derive(Clone)]
pub struct ObjectSource {
    client: Arc<Client>,
    manifest: Arc<Manifest>,
    name: Path,
}

impl ObjectSource {
    pub(super) fn new(client: Arc<Client>, snapshot: &Snapshot) -> ObjectSource {
        let name = client.pack(snapshot.manifest.pack);
        ObjectSource { client, manifest: Arc::clone(&snapshot.manifest), name }
    }

    /// Reads several parts of the pack at once.
    fn fetch(&self, reads: &[Read]) -> Result<Vec<Vec<u8>>, SourceError> {
        let one = |read: &Read| {
            let (client, name) = (Arc::clone(&self.client), self.name.clone());
            let range = read.offset..read.offset + read.bytes as u64;
            async move { client.s3.get_range(&name, range).await }
        };
        let answers = self.client.run(&self.name, try_join_all(reads.iter().map(one).collect::<Vec<_>>()))?;
        for (read, answer) in reads.iter().zip(&answers) {
            let (expected, found) = (read.bytes, answer.len());
            if expected != found {
                let place = format!("{}/{}", self.client.place, self.name);
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
