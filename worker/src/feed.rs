//! What a request goes on with while it runs: asked for piece by piece, when the program has read what it has.

use bytes::Bytes;
use std::task::{Context, Poll};

/// Most bytes of a piece.
pub const PIECE_MAX: usize = abi::console::STREAM_MAX;

/// What follows the beginning of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The rest of its body.
    Body,
    /// The client's side of the connection, once the program has answered with status 101.
    Connection,
}

/// Why there is no next piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The client has gone: the program is told.
    Gone,
    /// The request is not to go on, for this reason: its VM is destroyed.
    Refused(String),
}

/// Where the pieces come from.
pub trait Source: Send {
    /// The next piece: not empty, and not more than [`PIECE_MAX`] bytes. Nothing after the last.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>>;
}

/// The rest of a request. Dropped when the program has answered, or wants no more.
pub struct Feed {
    /// What it is.
    pub kind: Kind,
    /// Where it comes from.
    pub source: Box<dyn Source>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Feed").field("kind", &self.kind).finish_non_exhaustive()
    }
}
