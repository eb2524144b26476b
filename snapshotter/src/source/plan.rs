//! Which bytes of a pack to read for a list of chunks, and handing them out checked.

use super::SourceError;
use crate::snapshot::{Digest, Manifest, StoredChunk};

/// One read: bytes in a row that hold one or more chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// Where it begins in the pack.
    pub(super) offset: u64,
    /// How long it is.
    pub(super) bytes: usize,
    /// The chunks wanted from it, in the order of the pack.
    pub(super) chunks: Vec<usize>,
}

/// The chunk at `index`.
pub(super) fn chunk(manifest: &Manifest, index: usize) -> Result<&StoredChunk, SourceError> {
    let chunks = manifest.chunks.len();
    manifest.chunks.get(index).ok_or(SourceError::NoChunk { index, chunks })
}

/// Joins chunks into reads: over gaps of at most `gap` bytes, up to `most` bytes a read.
pub(super) fn reads(
    manifest: &Manifest,
    indices: &[usize],
    gap: u64,
    most: usize,
) -> Result<Vec<Read>, SourceError> {
    let mut wanted = Vec::with_capacity(indices.len());
    for &index in indices {
        let chunk = chunk(manifest, index)?;
        wanted.push((chunk.offset, chunk.bytes(), index));
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut reads: Vec<Read> = Vec::new();
    for (offset, bytes, index) in wanted {
        let join = reads.last_mut().and_then(|read| {
            let end = read.offset + read.bytes as u64;
            let longer = usize::try_from(offset - read.offset).ok()?.checked_add(bytes)?;
            (offset - end <= gap && longer <= most).then_some((read, longer))
        });
        match join {
            Some((read, longer)) => {
                read.bytes = longer;
                read.chunks.push(index);
            }
            None => reads.push(Read { offset, bytes, chunks: vec![index] }),
        }
    }
    Ok(reads)
}

/// Fails unless `bytes` are those of the chunk.
pub(super) fn verify(manifest: &Manifest, index: usize, bytes: &[u8]) -> Result<(), SourceError> {
    if Digest::of(bytes) == chunk(manifest, index)?.digest {
        Ok(())
    } else {
        Err(SourceError::Damaged { pack: manifest.pack, index })
    }
}

/// The bytes of chunk `index` within those of `read`.
pub(super) fn part<'a>(
    manifest: &Manifest,
    read: &Read,
    index: usize,
    bytes: &'a [u8],
) -> Result<&'a [u8], SourceError> {
    let chunk = chunk(manifest, index)?;
    let start = chunk.offset.checked_sub(read.offset).and_then(|start| usize::try_from(start).ok());
    let range = start.and_then(|start| Some(start..start.checked_add(chunk.bytes())?));
    range.and_then(|range| bytes.get(range)).ok_or(SourceError::Damaged { pack: manifest.pack, index })
}

/// Fails unless `bytes` is as long as the chunk.
pub(super) fn fits(manifest: &Manifest, index: usize, bytes: &[u8]) -> Result<(), SourceError> {
    let (expected, found) = (chunk(manifest, index)?.bytes(), bytes.len());
    if expected == found { Ok(()) } else { Err(SourceError::Buffer { index, expected, found }) }
}
