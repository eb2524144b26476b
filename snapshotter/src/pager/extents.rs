//! Ranges of a mapping whose faults are taken.

use crate::source::Chunk;
use abi::layout::PAGE;
use std::ops::Range;

/// Most ranges of a mapping; each splits it, and a process has 65,530 mappings.
const EXTENTS_MAX: usize = 32;

/// Byte ranges that hold all chunks: at most [`EXTENTS_MAX`], for which the smallest gaps are included.
pub(super) fn extents(chunks: &[Chunk]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for chunk in chunks {
        let (start, end) = (chunk.first_page * PAGE, chunk.end() * PAGE);
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    if ranges.len() <= EXTENTS_MAX {
        return ranges;
    }
    let mut gaps: Vec<(u64, usize)> =
        ranges.windows(2).map(|pair| pair[1].start - pair[0].end).zip(0..).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.truncate(EXTENTS_MAX - 1);
    let mut kept: Vec<usize> = gaps.into_iter().map(|(_, before)| before).collect();
    kept.sort_unstable();
    let starts = std::iter::once(0).chain(kept.iter().map(|before| before + 1));
    let ends = kept.iter().copied().chain([ranges.len() - 1]);
    starts.zip(ends).map(|(first, last)| ranges[first].start..ranges[last].end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(first_page: u64, pages: u32) -> Chunk {
        Chunk { first_page, pages }
    }

    #[test]
    fn neighbours_are_joined() {
        assert_eq!(extents(&[]), []);
        let found = extents(&[chunk(1, 2), chunk(3, 1), chunk(5, 1)]);
        assert_eq!(found, [PAGE..4 * PAGE, 5 * PAGE..6 * PAGE]);
    }

    #[test]
    fn the_smallest_gaps_are_given_up() {
        // Gaps of 1, 2, 3, ... pages.
        let mut at = 0;
        let chunks: Vec<_> = (0..100_u64)
            .map(|index| {
                let chunk = chunk(at, 1);
                at = chunk.end() + 1 + index;
                chunk
            })
            .collect();
        let found = extents(&chunks);
        assert_eq!(found.len(), EXTENTS_MAX);
        assert_eq!(found[0].start, 0);
        assert_eq!(found[31].end, chunks[99].end() * PAGE);
        assert!(found.windows(2).all(|pair| pair[1].start - pair[0].end > 68 * PAGE));
        let covered = |page| found.iter().any(|range| range.contains(&(page * PAGE)));
        assert!(chunks.iter().all(|chunk| covered(chunk.first_page)));
    }
}
