//! Figures of a pager.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a pager has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagerCounters {
    /// Requests of cells, each for a chunk at least one child waits for.
    pub requests: u64,
    /// Chunks put in place.
    pub chunks: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Reads that failed, chunk by chunk.
    pub failures: u64,
    /// Chunks of the working set that came with its batch.
    pub working_set_chunks: u64,
    /// How long that batch took; `None` until it is over.
    pub working_set_time: Option<Duration>,
}

/// The same, while it changes.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) chunks: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) working_set_chunks: AtomicU64,
    /// Nanoseconds, and one: 0 is "not yet".
    working_set_time: AtomicU64,
}

impl Counters {
    pub(super) fn working_set_took(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.working_set_time.store(nanoseconds.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> PagerCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PagerCounters {
            requests: read(&self.requests),
            chunks: read(&self.chunks),
            bytes: read(&self.bytes),
            failures: read(&self.failures),
            working_set_chunks: read(&self.working_set_chunks),
            working_set_time: read(&self.working_set_time).checked_sub(1).map(Duration::from_nanos),
        }
    }
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
