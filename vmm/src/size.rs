//! Guest sizes and offsets as `usize`: this crate exists for x86-64 only.

use abi::layout::{HUGE, PAGE};

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "guest addresses must fit into usize");

/// Bytes in a page.
pub(crate) const PAGE_BYTES: usize = size(PAGE);
/// Bytes in a large page.
pub(crate) const HUGE_BYTES: usize = size(HUGE);

/// A guest size or offset as a host size or offset.
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits, as asserted above")]
pub(crate) const fn size(value: u64) -> usize {
    value as usize
}
