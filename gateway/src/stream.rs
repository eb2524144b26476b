//! A response that goes on after its head was sent: the body as it comes, and what is counted when it ends.

use crate::app::App;
use crate::error::Failure;
use crate::inflow::{self, Refusal};
use crate::reply::{Answer, Beginning, Decoder, is_bodiless};
use crate::routes::Route;
use bytes::Bytes;
use http::{Method, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::SemaphorePermit;
use worker::api::{Parts, Timing};

/// What follows of an answer.
pub(crate) struct Rest {
    pub decoder: Decoder,
    pub parts: Parts,
    /// Why the request's body was refused, if it was.
    pub refusal: Refusal,
}

/// Waits until enough of a streamed answer has come to know its head. Gives back what follows, unless that is nothing or
/// nobody's business.
pub(crate) async fn begin(
    mut beginning: Beginning,
    rest: Option<Parts>,
    method: &Method,
) -> Result<(Answer, Option<Rest>), Failure> {
    let Some(mut parts) = rest else { return Ok((beginning.whole()?, None)) };
    loop {
        if let Some(answer) = beginning.head()? {
            let wanted = method != Method::HEAD && !is_bodiless(answer.status);
            if !wanted {
                // What has come by now would be taken for all there is to come.
                return Ok((Answer { body: Bytes::new(), ..answer }, None));
            }
            let (decoder, refusal) = (beginning.into_decoder(), Refusal::default());
            return Ok((answer, Some(Rest { decoder, parts, refusal })));
        }
        match poll_fn(|context| parts.poll_next(context)).await {
            Some(part) => beginning.take(part.map_err(Failure::Invoke)?)?,
            None => return Ok((beginning.whole()?, None)),
        }
    }
}

/// The body of a response that goes on. An error ends the client's connection, which tells it that the body is not whole.
pub(crate) struct Streamed {
    /// Decoded bytes that have not gone yet.
    first: Bytes,
    rest: Rest,
    ongoing: Ongoing,
    ended: bool,
}

impl Streamed {
    /// The body that begins with `first`.
    pub(crate) fn new(first: Bytes, rest: Rest, ongoing: Ongoing) -> Self {
        Self { first, rest, ongoing, ended: false }
    }

    /// The next bytes of the body. Those that complete it by their number are held back until the request is over: who knows
    /// the length of a body does not look for its end.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Failure>> {
        loop {
            if !self.first.is_empty() && !self.rest.decoder.is_complete() {
                return Poll::Ready(Ok(std::mem::take(&mut self.first)));
            }
            match ready!(self.rest.parts.poll_next(context)) {
                Some(Ok(part)) => {
                    let bytes = self.rest.decoder.decode(part)?;
                    if self.first.is_empty() {
                        self.first = bytes;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(Failure::Invoke(error))),
                None => {
                    self.rest.decoder.finish()?;
                    self.ended = true;
                    return Poll::Ready(Ok(std::mem::take(&mut self.first)));
                }
            }
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = ready!(self.poll_bytes(context));
        let polled = polled.map_err(|failure| inflow::explained(failure, &self.rest.refusal));
        self.ended |= polled.is_err();
        if self.ended {
            let timing = self.rest.parts.timing();
            self.ongoing.end(polled.as_ref().map(|_| timing));
        }
        Poll::Ready(match polled {
            Ok(bytes) if bytes.is_empty() => None,
            other => Some(other.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest.decoder.left() {
            Some(left) if !self.ended => SizeHint::with_exact(left + self.first.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// A request whose response is being sent. It keeps the request's place, and counts it when it ends.
pub(crate) struct Ongoing {
    app: Arc<App>,
    route: Arc<Route>,
    request_id: String,
    started: Instant,
    status: StatusCode,
    ended: bool,
}

impl Ongoing {
    /// A request that has `place` and is answered with `status`.
    pub(crate) fn new(
        (app, route): (&Arc<App>, Arc<Route>),
        place: SemaphorePermit<'_>,
        request_id: &str,
        started: Instant,
        status: StatusCode,
    ) -> Self {
        // Given back in `drop`.
        place.forget();
        app.metrics.in_flight.inc();
        let (app, request_id) = (Arc::clone(app), request_id.to_owned());
        Self { app, route, request_id, started, status, ended: false }
    }

    /// How long after the function's time its response may still be taken.
    pub(crate) fn grace(&self) -> Duration {
        self.app.config.response_grace
    }

    /// The response has ended well, or broken off.
    pub(crate) fn end(&mut self, outcome: Result<Option<Timing>, &Failure>) {
        self.ended = true;
        let (status, timing) = match outcome {
            Ok(timing) => (self.status, timing),
            Err(failure) => {
                let (status, code) = failure.code();
                let (request_id, function) = (&self.request_id, &self.route.name);
                tracing::warn!(request_id, function, code, error = %failure, "a response broke off");
                (status, None)
            }
        };
        self.app.answered(&self.route, status, self.started.elapsed(), timing.as_ref());
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if !self.ended {
            self.app.metrics.disconnects.inc();
        }
        self.app.metrics.in_flight.dec();
        self.app.places.add_permits(1);
    }
}
