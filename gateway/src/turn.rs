//! Where a connection is with its request, and what the client owes meanwhile. The service, the response's body and the layers of
//! the connection share it.

use crate::body::drain;
use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Whether a response of the gateway is under way on a connection: from the call of the service to the flush after the end of its
/// body.
#[derive(Clone, Default)]
pub(crate) struct Turn(Arc<State>);

#[derive(Default)]
struct State {
    stage: AtomicU8,
    /// All of the request that is answered has come.
    is_whole: AtomicBool,
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
        self.0.is_whole.store(false, Ordering::Relaxed);
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

    /// All of its request was read: from now on hyper notices when it leaves, unless it has sent even more.
    pub(crate) fn has_sent_all(&self) {
        self.0.is_whole.store(true, Ordering::Relaxed);
        if self.has_terms() {
            self.terms().stays = false;
        }
    }

    /// Whether a request that was read to its end is being answered.
    pub(crate) fn is_answering(&self) -> bool {
        self.0.is_whole.load(Ordering::Relaxed) && self.0.stage.load(Ordering::Relaxed) == Self::OURS
    }

    /// The client must have taken the response by then.
    pub(crate) fn must_end_by(&self, deadline: Instant) {
        self.set(|terms| (terms.deadline, terms.is_old) = (Some(deadline), false));
    }

    /// Nobody wants this body. What comes of it is taken in for a while nevertheless, so that a client that sends first and reads
    /// later gets to read the answer.
    pub(crate) fn put_aside(&self, body: Incoming, is_held_back: bool, pause: Duration) {
        if is_held_back {
            self.leave_unread(body, pause);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(pause, drain(body, 0, pause)));
        }
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

/// A request's body. What nobody has read of it in the end is put aside.
pub(crate) struct Received {
    body: Option<Incoming>,
    /// The client sends nothing before it is asked to.
    is_held_back: bool,
    turn: Turn,
    pause: Duration,
}

impl Received {
    pub(crate) fn new(body: Incoming, headers: &HeaderMap, turn: &Turn, pause: Duration) -> Self {
        let is_held_back = headers.contains_key(EXPECT);
        Self { body: Some(body), is_held_back, turn: turn.clone(), pause }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.turn.put_aside(body, self.is_held_back, self.pause);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_held_back = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if frame.is_none() || body.is_end_stream() {
            self.body = None;
            self.turn.has_sent_all();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
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
