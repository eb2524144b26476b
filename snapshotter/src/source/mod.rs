//! Where the pages of a snapshot come from: the local disk or an object store. Whatever the source, every chunk is
//! checked against its digest before anybody sees it.
//!
//! All calls block; they are made by threads of their own (pagers), never by tasks.

mod client;
mod error;
mod local;
mod object;
mod plan;
mod s3;
mod tier;

pub use error::SourceError;
pub use local::LocalSource;
pub use object::ObjectSource;
pub use s3::{Credentials, S3Config, S3ConfigError, Timing};
pub use tier::{ObjectTier, TierError, Uploaded};

/// Gives the page data of one snapshot.
pub trait PageSource: Send + Sync {
    /// Fills `bytes` (pages * 4096) with chunk `index`, verified against its digest.
    fn read_chunk(&self, index: usize, bytes: &mut [u8]) -> Result<(), SourceError>;

    /// Reads several chunks in as few reads as possible (a working set), and calls `each` with every verified one.
    /// Chunks come in the order of the pack. After an error some may have been given to `each`; those are good.
    fn read_chunks(&self, indices: &[usize], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), SourceError>;
}

/// A run of pages that is read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// First page.
    pub first_page: u64,
    /// Pages, at least one.
    pub pages: u32,
}

impl Chunk {
    /// The page behind the last one.
    pub fn end(&self) -> u64 {
        self.first_page.saturating_add(self.pages.into())
    }
}

/// The chunks of one memory, in order. Pages in no chunk are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkTable(Vec<Chunk>);

impl ChunkTable {
    /// Takes chunks in order. `None` if they are not in order, overlap or are empty.
    pub fn checked(chunks: Vec<Chunk>) -> Option<ChunkTable> {
        let ordered = chunks.windows(2).all(|pair| pair[0].end() <= pair[1].first_page);
        let filled = chunks.iter().all(|chunk| chunk.pages > 0 && chunk.end() < u64::MAX);
        (ordered && filled).then_some(ChunkTable(chunks))
    }

    /// All chunks.
    pub fn chunks(&self) -> &[Chunk] {
        &self.0
    }

    /// The chunk that holds `page`.
    pub fn lookup(&self, page: u64) -> Option<usize> {
        let index = self.0.partition_point(|chunk| chunk.first_page <= page).checked_sub(1)?;
        (page < self.0[index].end()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(first_page: u64, pages: u32) -> Chunk {
        Chunk { first_page, pages }
    }

    #[test]
    fn pages_are_found_in_their_chunks_only() {
        let table = ChunkTable::checked(vec![chunk(2, 3), chunk(5, 1), chunk(9, 2)]).unwrap();
        let found: Vec<_> = (0..12).map(|page| table.lookup(page)).collect();
        let [a, b, c] = [Some(0), Some(1), Some(2)];
        assert_eq!(found, [None, None, a, a, a, b, None, None, None, c, c, None]);
        assert_eq!(ChunkTable::default().lookup(0), None);
    }

    #[test]
    fn disorder_is_refused() {
        for chunks in [
            vec![chunk(2, 3), chunk(4, 1)],
            vec![chunk(5, 1), chunk(2, 1)],
            vec![chunk(5, 0)],
            vec![chunk(u64::MAX, 1)],
        ] {
            assert_eq!(ChunkTable::checked(chunks), None);
        }
    }
}
