//! A request body that goes to the function while it runs: a piece whenever the program has read what it has. Until then the
//! rest waits with the client.

use crate::config::STREAM_ABOVE_BYTES;
use crate::error::Failure;
use crate::turn::Turn;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use prometheus::IntCounter;
use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use worker::api::{Broken, InvokeError, PIECE_MAX, Source};

/// Most bytes of data in a piece; the chunked coding adds a line before and behind it.
const DATA_MAX: usize = PIECE_MAX - 32;

/// Bytes of data that are a piece by themselves; shorter ones are put together, as far as they are there.
const ENOUGH: usize = 16 << 10;

/// How long a body in chunks is looked at before its function runs.
const MOMENT: Duration = Duration::from_millis(50);

/// Why a body was not taken in to its end, for whoever answers the client.
pub(crate) type Refusal = Arc<Mutex<Option<Failure>>>;

/// What really went wrong, if that is that the body was refused.
pub(crate) fn explained(failure: Failure, refusal: &Refusal) -> Failure {
    let reason = match &failure {
        Failure::Invoke(InvokeError::BodyRefused(_)) => {
            refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
        }
        _ => None,
    };
    reason.unwrap_or(failure)
}

/// Whether a body is better taken in while the function runs: it is long, nobody knows how long it is, or the client waits
/// for permission to send it.
pub(crate) fn is_streamed(body: &Incoming, headers: &HeaderMap) -> bool {
    if body.is_end_stream() {
        return false;
    }
    let length = body.size_hint().exact();
    length.is_none_or(|length| length > STREAM_ABOVE_BYTES) || headers.contains_key(EXPECT)
}

/// Limits of a body that is streamed.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Most bytes of it.
    pub bytes: u64,
    /// Longest pause while more is wanted.
    pub pause: Duration,
}

/// How the body ended.
enum Last {
    End,
    Gone,
    Refused(Failure),
}

/// The body of a request that runs.
pub(crate) struct Inflow {
    body: Option<Incoming>,
    /// Whether its length is not known, so that the function is given chunks.
    is_chunked: bool,
    /// The client sends nothing before it is asked to.
    is_held_back: bool,
    limits: Limits,
    taken: u64,
    /// Data that has not gone yet: as it came, or put together.
    left: Bytes,
    gathered: BytesMut,
    /// There was no more data; since then whoever brings it has had a turn.
    has_looked: bool,
    /// What follows that data.
    last: Option<Last>,
    /// When a pause has been too long.
    deadline: Pin<Box<Sleep>>,
    is_waiting: bool,
    turn: Turn,
    refusal: Refusal,
    counter: IntCounter,
}

impl Inflow {
    /// The rest of a request. What is refused goes to `refusal`.
    pub(crate) fn new(
        body: Incoming,
        headers: &HeaderMap,
        limits: Limits,
        (turn, refusal): (&Turn, &Refusal),
        counter: IntCounter,
    ) -> Self {
        Self {
            is_chunked: body.size_hint().exact().is_none(),
            body: Some(body),
            is_held_back: headers.contains_key(EXPECT),
            limits,
            taken: 0,
            left: Bytes::new(),
            gathered: BytesMut::new(),
            has_looked: false,
            last: None,
            deadline: Box::pin(tokio::time::sleep(limits.pause)),
            is_waiting: false,
            turn: turn.clone(),
            refusal: Arc::clone(refusal),
            counter,
        }
    }

    /// All of a body in chunks, if it is short and comes within a moment: then its length is known, and it costs no VM while it
    /// comes. What has come is kept otherwise.
    pub(crate) async fn whole(&mut self) -> Result<Option<Bytes>, Failure> {
        if !self.is_chunked || self.is_held_back {
            return Ok(None);
        }
        let mut moment = pin!(tokio::time::sleep(MOMENT));
        while self.last.is_none() && self.held() as u64 <= STREAM_ABOVE_BYTES {
            let Some(body) = &mut self.body else { break };
            tokio::select! {
                frame = body.frame() => self.came(frame),
                () = &mut moment => break,
            }
        }
        match self.last.take() {
            Some(Last::End) if self.held() as u64 <= STREAM_ABOVE_BYTES => {
                self.body = None;
                self.gather();
                Ok(Some(std::mem::take(&mut self.left)))
            }
            Some(Last::Refused(why)) => Err(why),
            last => {
                self.last = last;
                Ok(None)
            }
        }
    }

    /// Whether all of it has come.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.last, Some(Last::End))
    }

    /// Bytes of data that have not gone.
    fn held(&self) -> usize {
        self.left.len() + self.gathered.len()
    }

    /// Takes what has come of the body: data, its end, or an error.
    fn came(&mut self, frame: Option<Result<Frame<Bytes>, hyper::Error>>) {
        match frame {
            None => {
                self.turn.has_sent_all();
                self.last = Some(Last::End);
            }
            Some(Err(error)) if is_malformed(&error) => {
                self.body = None;
                let text = format!("the request body is malformed: {error}");
                self.last = Some(Last::Refused(Failure::BadRequest(text)));
            }
            Some(Err(_)) => self.last = Some(Last::Gone),
            Some(Ok(frame)) => {
                (self.is_waiting, self.has_looked) = (false, false);
                // Trailers are dropped, as in a body that is taken in as a whole.
                let Ok(data) = frame.into_data() else { return };
                if self.body.as_ref().is_some_and(Body::is_end_stream) {
                    self.turn.has_sent_all();
                }
                self.taken += data.len() as u64;
                if self.taken > self.limits.bytes {
                    self.last = Some(Last::Refused(too_large(self.limits)));
                } else if self.held() == 0 {
                    self.left = data;
                } else {
                    self.gathered.extend_from_slice(&std::mem::take(&mut self.left));
                    self.gathered.extend_from_slice(&data);
                }
            }
        }
    }

    /// Makes one run of bytes of all that is held.
    fn gather(&mut self) {
        if !self.gathered.is_empty() {
            self.left = self.gathered.split().freeze();
        }
    }

    /// The next piece of what has come, in its framing.
    fn piece(&mut self) -> Poll<Option<Result<Bytes, Broken>>> {
        self.gather();
        self.has_looked = false;
        let data = self.left.split_to(self.left.len().min(DATA_MAX));
        self.counter.inc_by(data.len() as u64);
        Poll::Ready(Some(Ok(if self.is_chunked { chunk(&data) } else { data })))
    }

    /// What follows the data: at the end what the framing has for it, if anything.
    fn ended(&mut self, last: Last) -> Option<Result<Bytes, Broken>> {
        match last {
            Last::End => {
                self.body = None;
                self.is_chunked.then(|| Ok(Bytes::from_static(b"0\r\n\r\n")))
            }
            Last::Gone => {
                self.body = None;
                Some(Err(Broken::Gone))
            }
            Last::Refused(why) => {
                let reason = why.to_string();
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                Some(Err(Broken::Refused(reason)))
            }
        }
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.deadline.as_mut().reset(Instant::now() + self.limits.pause);
        }
        self.deadline.as_mut().poll(context)
    }
}

impl Source for Inflow {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let held = self.held();
            if held >= ENOUGH || (held > 0 && self.last.is_some()) {
                return self.piece();
            }
            if let Some(last) = self.last.take() {
                return Poll::Ready(self.ended(last));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            self.is_held_back = false;
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(frame) => self.came(frame),
                Poll::Pending if held == 0 => {
                    if self.poll_pause(context).is_pending() {
                        return Poll::Pending;
                    }
                    self.last = Some(Last::Refused(Failure::RequestTimeout(self.limits.pause)));
                }
                Poll::Pending if self.has_looked => return self.piece(),
                Poll::Pending => {
                    // hyper hands over one chunk at a time: it gets a turn to bring the next, if that is there.
                    self.has_looked = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Inflow {
    /// Nobody wants the rest.
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        self.turn.put_aside(body, self.is_held_back, self.limits.pause);
    }
}

/// Whether what came is no HTTP; otherwise the client has gone.
fn is_malformed(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let kind = source.map(io::Error::kind);
    error.is_parse() || matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

/// What a body over the limit is answered with.
pub(crate) fn too_large(limits: Limits) -> Failure {
    Failure::RequestTooLarge { what: "the request body", limit_bytes: limits.bytes }
}

/// One chunk of the chunked coding.
fn chunk(data: &[u8]) -> Bytes {
    let size = format!("{:x}\r\n", data.len());
    let mut chunk = BytesMut::with_capacity(size.len() + data.len() + 2);
    chunk.extend_from_slice(size.as_bytes());
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chunk_is_a_piece() {
        assert_eq!(chunk(b"0123456789abcdef0"), &b"11\r\n0123456789abcdef0\r\n"[..]);
        assert!(chunk(&vec![0; DATA_MAX]).len() <= PIECE_MAX);
    }
}
