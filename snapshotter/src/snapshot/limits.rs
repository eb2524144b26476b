//! Bounds on everything a snapshot holds. A file beyond them is refused before memory is taken for it.

use abi::layout::{PAGE, RAM_MAX};

/// Version of the format; `docs/SNAPSHOT-FORMAT.md` describes it. Any change of layout or meaning is a new one.
pub const FORMAT_VERSION: u32 = 1;
/// First bytes of a manifest. The last four catch a file that went through a text conversion.
pub const MAGIC: [u8; 8] = *b"SPORE\r\n\x1a";
/// Most bytes of a manifest's body.
pub const BODY_BYTES_MAX: u64 = 64 << 20;
/// Most chunks of one snapshot.
pub const CHUNKS_MAX: usize = 1 << 20;
/// Most pages of one chunk: 64 KiB.
pub const CHUNK_PAGES_MAX: u32 = 16;
/// Most ranges of the read set, and of the write set.
pub const RANGES_MAX: usize = 1 << 16;
/// Most bytes of an entry state.
pub const ENTRY_BYTES_MAX: usize = 64 << 10;
/// Most CPUID leaves of a CPU fingerprint.
pub const LEAVES_MAX: usize = 256;
/// Most bytes of the names of a KVM and of a kernel release.
pub const NAME_BYTES_MAX: usize = 128;
/// Most bytes of guest-physical memory: a base, what lies on it, and copies of changed pages.
pub const MEMORY_BYTES_MAX: u64 = 3 * RAM_MAX;

/// Bytes of a page.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Bytes of the largest chunk.
pub(super) const CHUNK_BYTES_MAX: usize = PAGE_BYTES * CHUNK_PAGES_MAX as usize;

const _: () = assert!(PAGE_BYTES as u64 == PAGE, "a page is what the guest's contract says");
