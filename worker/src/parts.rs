//! The parts of an answer that follow the first.

use crate::api::{InvokeError, Timing};
use bytes::Bytes;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Parts that wait to be read. Whoever makes more of them waits.
const WAITING_MAX: usize = 1;

/// One thing to pass on.
#[derive(Debug)]
pub enum Piece {
    /// The next bytes.
    Part(Bytes),
    /// There is no more: where the time of the whole request went, or why the answer broke off.
    End(Result<Timing, InvokeError>),
}

/// What follows the first part of an answer. Dropping it before the end destroys the VM.
#[derive(Debug)]
pub struct Parts {
    pieces: Receiver<Piece>,
    timing: Option<Timing>,
    ended: bool,
}

impl Parts {
    /// Parts, and where they are put.
    pub fn channel() -> (Sender<Piece>, Self) {
        let (sender, pieces) = channel(WAITING_MAX);
        (sender, Self { pieces, timing: None, ended: false })
    }

    /// The next part; nothing after the last, or after an error.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, InvokeError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(context));
        self.ended = !matches!(piece, Some(Piece::Part(_)));
        Poll::Ready(match piece {
            Some(Piece::Part(bytes)) => Some(Ok(bytes)),
            Some(Piece::End(Ok(timing))) => {
                self.timing = Some(timing);
                None
            }
            Some(Piece::End(Err(error))) => Some(Err(error)),
            None => Some(Err(InvokeError::Platform("nobody passes the answer on any more".to_owned()))),
        })
    }

    /// Where the time of the whole request went, once the answer has ended well.
    pub fn timing(&self) -> Option<Timing> {
        self.timing
    }
}
