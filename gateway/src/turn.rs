//! Where a connection is with its request, and what the client owes meanwhile. The service, the response's body and the layers of
//! the connection share it.

use crate::body::drain;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Whether a response of the gateway is under way on a connection: from the call of the service to the flush after the end of its
/// body.
#[derive(Clone, Default)]
pub(crate) struct Turn(Arc<State>);

#[derive(Default)]
struct State {
    stage: AtomicU8,
    /// There are terms: nobody looks at them otherwise.
    has_terms: AtomicBool,
    terms: Mutex<Terms>,
}

/// What ends a connection before its response has.
#[derive(Default)]
struct Terms {
    /// The client must stay: hyper would not notice that it leaves, as nobody reads what it has sent.
    stays: bool,
    /// When the client must have taken the response.
    deadline: Option<Instant>,
    /// That response is the one before, which is not written yet although the next request has come.
    is_old: bool,
    /// A body that the client has kept back and nobody wants, and how long it may pause.
    unread: Option<(Incoming, Duration)>,
}

impl Turn {
    const NOBODYS: u8 = 0;
    const OURS: u8 = 1;
    /// Its body is over, and perhaps not yet written.
    const OVER: u8 = 2;

    /// A request has come.
    pub(crate) fn begin(&self) {
        self.0.stage.store(Self::OURS, Ordering::Relaxed);
        if self.has_terms() {
            let mut terms = self.terms();
            (terms.stays, terms.is_old) = (false, true);
        }
    }

    pub(crate) fn is_nobodys(&self) -> bool {
        self.0.stage.load(Ordering::Relaxed) == Self::NOBODYS
    }

    /// All that was to be written is.
    pub(crate) fn flushed(&self) {
        let stage = &self.0.stage;
        let over = stage.compare_exchange(Self::OVER, Self::NOBODYS, Ordering::Relaxed, Ordering::Relaxed);
        if self.has_terms() {
            let mut terms = self.terms();
            if over.is_ok() {
                self.0.has_terms.store(false, Ordering::SeqCst);
                (terms.stays, terms.deadline) = (false, None);
            } else if terms.is_old {
                (terms.deadline, terms.is_old) = (None, false);
            }
        }
    }

    /// From now on the client must stay.
    pub(crate) fn must_stay(&self) {
        self.set(|terms| terms.stays = true);
    }

    /// All of its request was read: from now on hyper notices when it leaves.
    pub(crate) fn has_sent_all(&self) {
        self.terms().stays = false;
    }

    /// The client must have taken the response by then.
    pub(crate) fn must_end_by(&self, deadline: Instant) {
        self.set(|terms| (terms.deadline, terms.is_old) = (Some(deadline), false));
    }

    /// Nobody wants this body, for which the client waits to be asked. It is not asked; what it sends nevertheless is taken in
    /// after the response, so that it gets to read that.
    pub(crate) fn leave_unread(&self, body: Incoming, pause: Duration) {
        self.set(|terms| terms.unread = Some((body, pause)));
        if self.0.stage.load(Ordering::SeqCst) != Self::OURS {
            self.drain_unread();
        }
    }

    /// Whether a body is left unread: then no other request can follow.
    pub(crate) fn has_unread(&self) -> bool {
        self.has_terms() && self.terms().unread.is_some()
    }

    fn drain_unread(&self) {
        let unread = self.terms().unread.take();
        if let (Some((body, pause)), Ok(runtime)) = (unread, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(pause, drain(body, 0, pause)));
        }
    }

    /// Whether the client owes anything.
    pub(crate) fn has_terms(&self) -> bool {
        self.0.has_terms.load(Ordering::SeqCst)
    }

    /// Whether the client must stay, and when it must have taken the response.
    pub(crate) fn owed(&self) -> (bool, Option<Instant>) {
        let terms = self.terms();
        (terms.stays, terms.deadline)
    }

    fn set(&self, change: impl FnOnce(&mut Terms)) {
        change(&mut self.terms());
        self.0.has_terms.store(true, Ordering::SeqCst);
    }

    fn terms(&self) -> MutexGuard<'_, Terms> {
        self.0.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A response's body that says when it is over.
pub(crate) struct Watched<B> {
    body: B,
    turn: Turn,
}

impl<B> Watched<B> {
    pub(crate) fn new(body: B, turn: &Turn) -> Self {
        Self { body, turn: turn.clone() }
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.turn.0.stage.store(Turn::OVER, Ordering::SeqCst);
        if self.turn.has_terms() {
            self.turn.drain_unread();
        }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    #[test]
    fn what_a_client_owes_ends_with_the_response_it_was_for() {
        let (turn, soon) = (Turn::default(), Instant::now());
        let body = |turn: &Turn| Watched::new(Full::<Bytes>::default(), turn);
        turn.begin();
        turn.must_stay();
        turn.must_end_by(soon);
        turn.flushed();
        assert_eq!(turn.owed(), (true, Some(soon)), "it goes on");
        drop(body(&turn));
        assert!(!turn.is_nobodys());
        turn.flushed();
        assert!(turn.is_nobodys() && !turn.has_terms());
        // The next request comes before the response is written.
        turn.begin();
        turn.must_stay();
        turn.must_end_by(soon);
        drop(body(&turn));
        turn.begin();
        assert_eq!(turn.owed(), (false, Some(soon)));
        turn.flushed();
        assert_eq!(turn.owed(), (false, None));
    }

    #[test]
    fn who_has_sent_everything_may_leave() {
        let turn = Turn::default();
        turn.begin();
        turn.must_stay();
        turn.has_sent_all();
        assert_eq!(turn.owed(), (false, None));
    }
}
