//! Where the pages of a snapshot come from: the local disk or an object store. Whatever the source, every chunk is
//! checked against its digest before anybody sees it.
//!
//! All calls block; they are made by threads of their own (pagers), never by tasks.

mod error;
mod local;
mod plan;

pub use error::SourceError;
pub use local::LocalSource;

/// Gives the page data of one snapshot.
pub trait PageSource: Send + Sync {
    /// Fills `bytes` (pages * 4096) with chunk `index`, verified against its digest.
    fn read_chunk(&self, index: usize, bytes: &mut [u8]) -> Result<(), SourceError>;

    /// Reads several chunks in as few reads as possible (a working set), and calls `each` with every verified one.
    /// Chunks come in the order of the pack. After an error some may have been given to `each`; those are good.
    fn read_chunks(&self, indices: &[usize], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), SourceError>;
}

/// Pages in a row that are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The first page.
    pub first_page: u64,
    /// How many; never 0.
    pub pages: u32,
}

/// The chunks of one snapshot, sorted by page, without overlap. Pages in none are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkTable {
    chunks: Vec<Chunk>,
}

impl Chunk {
    /// The page behind the last one.
    pub fn end(&self) -> u64 {
        self.first_page.saturating_add(self.pages.into())
    }
}

impl ChunkTable {
    /// Takes chunks from elsewhere. `None` if they are not in order, overlap or are empty.
    pub fn checked(chunks: Vec<Chunk>) -> Option<ChunkTable> {
        let ordered = chunks.windows(2).all(|pair| pair[0].end() <= pair[1].first_page);
        let filled = chunks.iter().all(|chunk| chunk.pages > 0 && chunk.end() < u64::MAX);
        (ordered && filled).then_some(ChunkTable { chunks })
    }

    /// Takes sorted chunks, as every checked manifest has them.
    pub(crate) fn new(chunks: Vec<Chunk>) -> ChunkTable {
        ChunkTable { chunks }
    }

    /// Index of the chunk that holds `page`; `None` if the page is zero.
    pub fn lookup(&self, page: u64) -> Option<usize> {
        let index = self.chunks.partition_point(|chunk| chunk.first_page <= page).checked_sub(1)?;
        let chunk = self.chunks[index];
        (page - chunk.first_page < chunk.pages.into()).then_some(index)
    }

    /// All of them, in order.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disorder_is_refused() {
        let chunk = |first_page, pages| Chunk { first_page, pages };
        for chunks in [
            vec![chunk(2, 3), chunk(4, 1)],
            vec![chunk(5, 1), chunk(2, 1)],
            vec![chunk(5, 0)],
            vec![chunk(u64::MAX, 1)],
        ] {
            assert_eq!(ChunkTable::checked(chunks), None);
        }
    }

    #[test]
    fn every_page_finds_its_chunk() {
        let chunk = |first_page, pages| Chunk { first_page, pages };
        let table = ChunkTable::new(vec![chunk(2, 3), chunk(5, 1), chunk(100, 16)]);
        let found: Vec<_> = (0..8).map(|page| table.lookup(page)).collect();
        assert_eq!(found, [None, None, Some(0), Some(0), Some(0), Some(1), None, None]);
        assert_eq!((table.lookup(115), table.lookup(116), table.lookup(u64::MAX)), (Some(2), None, None));
        assert_eq!(ChunkTable::default().lookup(0), None);
    }
}
