//! Why pages do not come.

use crate::snapshot::Digest;
use std::io;
use std::time::Duration;

/// Why a chunk could not be read. Texts name the place and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The snapshot has no such chunk.
    #[error("the snapshot has {chunks} chunks, there is no chunk {index}")]
    NoChunk {
        /// The chunk asked for.
        index: usize,
        /// How many there are.
        chunks: usize,
    },
    /// The caller's buffer has another size than the chunk.
    #[error("chunk {index} has {expected} bytes, the buffer {found}")]
    Buffer {
        /// The chunk.
        index: usize,
        /// Bytes of the chunk.
        expected: usize,
        /// Bytes of the buffer.
        found: usize,
    },
    /// The bytes are not those that were stored.
    #[error("pack {pack}: chunk {index} is damaged, its digest does not match; the snapshot must be rebuilt")]
    Damaged {
        /// The pack.
        pack: Digest,
        /// The chunk.
        index: usize,
    },
    /// Fewer bytes came than asked for.
    #[error("{place}: {found} bytes came instead of {expected}")]
    Short {
        /// The pack's file or address.
        place: String,
        /// Bytes asked for.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// The pack is gone.
    #[error("{place}: does not exist; the snapshot must be rebuilt")]
    Missing {
        /// The pack's file or address.
        place: String,
    },
    /// The local disk failed.
    #[error("{place}: cannot be read")]
    Disk {
        /// The pack's file.
        place: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bucket is not there.
    #[error(
        "{place}: the bucket does not exist; create it, or correct the bucket's name in the configuration"
    )]
    NoBucket {
        /// The address.
        place: String,
    },
    /// The object store does not let us.
    #[error(
        "{place}: access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may use the bucket"
    )]
    Denied {
        /// The address.
        place: String,
        /// What the server said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object store does not answer in time.
    #[error("{place}: no complete answer within {}.{:03} s", .after.as_secs(), .after.subsec_millis())]
    Timeout {
        /// The address.
        place: String,
        /// How long was waited in all, retries included.
        after: Duration,
    },
    /// The object store cannot be reached, or what it answers cannot be understood.
    #[error("{place}: the object store failed")]
    Remote {
        /// The address.
        place: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
