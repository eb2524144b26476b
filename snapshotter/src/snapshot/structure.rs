//! What must be true of every manifest, whatever the host: checked before one is written and after one is read.

use super::error::Refused;
use super::limits::{CHUNK_PAGES_MAX, CHUNKS_MAX, LEAVES_MAX, MEMORY_BYTES_MAX, PAGE_BYTES, RANGES_MAX};
use super::manifest::{Kind, Manifest, PageRange, StoredChunk, cpu_digest};
use abi::layout::HUGE;

/// Checks `manifest` against itself.
pub(crate) fn check(manifest: &Manifest) -> Result<(), Refused> {
    check_counts(manifest)?;
    check_size(manifest.ram_bytes)?;
    if let Some(base) = manifest.base {
        if manifest.kind == Kind::Runtime {
            return Err(Refused::BaseUnexpected);
        }
        check_size(base.ram_bytes)?;
        if base.ram_bytes >= manifest.ram_bytes {
            return Err(Refused::RamSize { found: manifest.ram_bytes });
        }
    }
    if cpu_digest(manifest.xcr0, &manifest.cpuid) != manifest.cpu_digest {
        return Err(Refused::CpuDigest { expected: manifest.cpu_digest });
    }
    manifest.entry_state()?;
    let pages = manifest.ram_bytes / PAGE_BYTES as u64;
    check_ranges("the read set", &manifest.read_set, pages)?;
    check_ranges("the write set", &manifest.write_set, pages)?;
    check_chunks(&manifest.chunks, manifest.first_own_page(), pages)?;
    check_pack(&manifest.chunks, manifest.pack_bytes)
}

/// Lists that could not be read back must not be written.
fn check_counts(manifest: &Manifest) -> Result<(), Refused> {
    let too_many = manifest.chunks.len() > CHUNKS_MAX
        || manifest.read_set.len().max(manifest.write_set.len()) > RANGES_MAX
        || manifest.cpuid.len() > LEAVES_MAX;
    if too_many { Err(Refused::Body { what: "a list is longer than allowed" }) } else { Ok(()) }
}

fn check_size(bytes: u64) -> Result<(), Refused> {
    let fits = bytes > 0 && bytes <= MEMORY_BYTES_MAX && bytes.is_multiple_of(HUGE);
    if fits { Ok(()) } else { Err(Refused::RamSize { found: bytes }) }
}

fn check_ranges(what: &'static str, ranges: &[PageRange], pages: u64) -> Result<(), Refused> {
    let mut end = 0;
    for range in ranges {
        if range.pages == 0 || range.first < end {
            return Err(Refused::Unordered { what, page: range.first });
        }
        end = range.first.saturating_add(range.pages);
        if end > pages {
            return Err(Refused::PageOutside { what, page: end - 1 });
        }
    }
    Ok(())
}

fn check_chunks(chunks: &[StoredChunk], first_own: u64, pages: u64) -> Result<(), Refused> {
    let what = "the chunk table";
    let mut end = 0;
    for chunk in chunks {
        let page = chunk.first_page;
        if chunk.pages == 0 || chunk.pages > CHUNK_PAGES_MAX {
            return Err(Refused::ChunkSize { page, pages: chunk.pages });
        }
        if page < first_own {
            return Err(Refused::PageOutside { what, page });
        }
        if page < end {
            return Err(Refused::Unordered { what, page });
        }
        end = page.saturating_add(chunk.pages.into());
        if end > pages {
            return Err(Refused::PageOutside { what, page: end - 1 });
        }
    }
    Ok(())
}

/// The chunks must tile the pack: no byte unused, none used twice.
fn check_pack(chunks: &[StoredChunk], pack_bytes: u64) -> Result<(), Refused> {
    let mut places: Vec<(u64, u64)> =
        chunks.iter().map(|chunk| (chunk.offset, chunk.bytes() as u64)).collect();
    places.sort_unstable();
    let mut end = 0;
    for (offset, bytes) in places {
        if offset != end {
            return Err(Refused::PackLayout { offset: end });
        }
        end += bytes;
    }
    if end == pack_bytes { Ok(()) } else { Err(Refused::PackLayout { offset: end }) }
}

/// Pages of several sets, made for asking.
pub(crate) struct Pages {
    /// First page and end of ranges, sorted, without overlap.
    ranges: Vec<(u64, u64)>,
}

impl Pages {
    pub(crate) fn new<'a>(sets: impl IntoIterator<Item = &'a [PageRange]>) -> Pages {
        let ends = |range: &PageRange| (range.first, range.first.saturating_add(range.pages));
        let mut all: Vec<(u64, u64)> = sets.into_iter().flatten().map(ends).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (first, end) in all {
            match ranges.last_mut() {
                Some(last) if first <= last.1 => last.1 = last.1.max(end),
                _ => ranges.push((first, end)),
            }
        }
        Pages { ranges }
    }

    /// Whether any of `pages` pages from `first` on is in the sets.
    pub(crate) fn touch(&self, first: u64, pages: u64) -> bool {
        let after = self.ranges.partition_point(|&(_, end)| end <= first);
        self.ranges.get(after).is_some_and(|&(start, _)| start < first.saturating_add(pages))
    }
}
