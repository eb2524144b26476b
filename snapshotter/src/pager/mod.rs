//! Lazy paging: a parent's memory is used while it is still being read.
//!
//! ```text
//!  worker                                            cell, one per function
//!  PageSource ──► Pager ──► Filler ══ memfd ═══════► mappings of shells and of the read-only view
//!                   ▲                                    │ page fault on a hole
//!                   │                                    ▼
//!                   └──── request(memory, chunk) ─── FaultHandler ◄── filled / failed (memory, chunk)
//! ```
//!
//! The worker is trusted and owns storage and memory ([`Pager`]): the working set first in one batch, then what
//! children wait for, then the rest, each chunk once per host. A cell ([`FaultHandler`]) knows which of its mappings
//! waits for which chunk, asks, and wakes. The two halves exchange numbers only; how these travel is the business of
//! whoever implements [`ChunkRequests`].
//!
//! Nothing waits for ever and nothing goes on with a page that is not the parent's. A page that cannot be had is
//! replaced by a private page of zeros in the mapping that waits for it, after that mapping was marked as broken and
//! its machine was kicked: the machine ends with the reason, whatever it still did. (`UFFDIO_POISON` would do for
//! the guest what a memory error does: KVM sends `SIGBUS` to the thread, which ends the cell.) The memfd keeps its hole,
//! so other cells and later children are not harmed.

mod counters;
mod extents;
mod handler;
mod mappings;
mod queue;
mod reader;

pub use counters::PagerCounters;
pub use handler::{ChunkRequests, FaultHandler, HandlerCounters, LazyMemory};
pub use queue::Answer;
pub use reader::{OnComplete, Pager, PagerError, PagerSpec};
