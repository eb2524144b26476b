//! Page data: what of a memory is stored, in which order, and writing it.

use super::digest::Digest;
use super::disk::Unfinished;
use super::error::{Refused, StoreError};
use super::limits::{CHUNK_BYTES_MAX, CHUNK_PAGES_MAX, CHUNKS_MAX, PAGE_BYTES};
use super::manifest::{Manifest, StoredChunk};
use super::memory::Memory;
use super::structure::Pages;

/// Pages in a row that are stored together: the first, by the memory's own count, and how many.
type Run = (u64, u32);

/// Writes all pages of `memory` that are not zero to `file`, those of the working set first, and enters them in
/// `manifest`.
pub(super) fn write(
    manifest: &mut Manifest,
    memory: &dyn Memory,
    file: &mut Unfinished<'_>,
) -> Result<(), StoreError> {
    let runs = scan(memory, manifest.own_bytes() / PAGE_BYTES as u64)?;
    let first_own = manifest.first_own_page();
    let hot = Pages::new([&manifest.read_set[..], &manifest.write_set[..]]);
    let (early, late): (Vec<Run>, Vec<Run>) =
        runs.into_iter().partition(|&(page, pages)| hot.touch(first_own + page, pages.into()));
    let mut whole = blake3::Hasher::new();
    let mut offset = 0;
    let mut buffer = vec![0; CHUNK_BYTES_MAX];
    for (page, pages) in early.into_iter().chain(late) {
        let mut chunk = StoredChunk { first_page: first_own + page, pages, offset, digest: manifest.pack };
        let bytes = &mut buffer[..chunk.bytes()];
        memory.read(page, bytes).map_err(StoreError::Memory)?;
        chunk.digest = Digest::of(bytes);
        whole.update(bytes);
        file.write(bytes)?;
        offset += bytes.len() as u64;
        manifest.chunks.push(chunk);
    }
    manifest.chunks.sort_unstable_by_key(|chunk| chunk.first_page);
    manifest.pack = Digest(*whole.finalize().as_bytes());
    manifest.pack_bytes = offset;
    Ok(())
}

/// Finds the pages that are not zero. Runs end at multiples of 16 pages.
fn scan(memory: &dyn Memory, own_pages: u64) -> Result<Vec<Run>, StoreError> {
    let outside = |page| Refused::PageOutside { what: "the memory", page };
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(range) = memory.next(at).map_err(StoreError::Memory)? {
        if range.end > own_pages {
            return Err(StoreError::Draft(outside(range.end - 1)));
        }
        if range.start < at || range.end <= range.start {
            return Err(StoreError::Draft(Refused::Unordered { what: "the memory", page: range.start }));
        }
        at = range.end;
        let mut page = range.start;
        while page < range.end {
            let window = u64::from(CHUNK_PAGES_MAX);
            let end = ((page / window + 1) * window).min(range.end);
            scan_window(memory, page, end, &mut runs)?;
            page = end;
        }
        if runs.len() > CHUNKS_MAX {
            return Err(StoreError::TooMany { what: "chunks", found: runs.len(), max: CHUNKS_MAX });
        }
    }
    Ok(runs)
}

fn scan_window(memory: &dyn Memory, page: u64, end: u64, runs: &mut Vec<Run>) -> Result<(), StoreError> {
    let mut buffer = [0; CHUNK_BYTES_MAX];
    let pages = usize::try_from(end - page).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX / PAGE_BYTES);
    let bytes = &mut buffer[..pages * PAGE_BYTES];
    memory.read(page, bytes).map_err(StoreError::Memory)?;
    let mut open = false;
    for (number, content) in (page..).zip(bytes.as_chunks::<PAGE_BYTES>().0) {
        let zero = is_zero(content);
        match runs.last_mut() {
            Some((_, pages)) if open && !zero => *pages += 1,
            _ if !zero => runs.push((number, 1)),
            _ => {}
        }
        open = !zero;
    }
    Ok(())
}

fn is_zero(page: &[u8; PAGE_BYTES]) -> bool {
    page.as_chunks::<16>().0.iter().all(|word| u128::from_ne_bytes(*word) == 0)
}
