//! The parts of an answer that follow the first.

use crate::api::{InvokeError, Timing};
use bytes::Bytes;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;

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
    deadline: Instant,
    waited: Duration,
    timing: Option<Timing>,
    ended: bool,
}

impl Parts {
    /// Parts, and where they are put. The last is there by `deadline`.
    pub fn channel(deadline: Instant) -> (Sender<Piece>, Self) {
        let (sender, pieces) = channel(WAITING_MAX);
        (sender, Self { pieces, deadline, waited: Duration::ZERO, timing: None, ended: false })
    }

    /// When the function's time is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The request has waited so long before it came to the worker.
    pub fn note_wait(&mut self, waited: Duration) {
        self.waited = waited;
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
                self.timing = Some(Timing { queue: timing.queue + self.waited, ..timing });
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn the_wait_before_the_worker_counts_as_queue() {
        let (sender, mut parts) = Parts::channel(Instant::now());
        let second = Duration::from_secs(1);
        let timing = Timing { queue: second, run: second, ..Timing::default() };
        sender.send(Piece::End(Ok(timing))).await.unwrap();
        parts.note_wait(2 * second);
        assert!(poll_fn(|context| parts.poll_next(context)).await.is_none());
        let timing = parts.timing().unwrap();
        assert_eq!((timing.queue, timing.run), (3 * second, second));
    }
}
