//! Connections that become something else: WebSocket and the like.
//!
//! ```text
//! request with Upgrade --> function --> status 101 --> both directions are streams of bytes
//!                               \-----> anything else: an ordinary answer
//! ```
//!
//! What the client sends then is the rest of its request ([`Outside`]), what the function sends the rest of its response
//! ([`Pending::run`]). The VM belongs to the connection until both ends have closed it, or a limit ends it.

use crate::app::App;
use crate::edge::Edge;
use crate::error::Failure;
use crate::headers::listed_in_connection;
use crate::presence::Attended;
use crate::routes::Route;
use crate::stream::Ongoing;
use crate::turn::Turn;
use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderValue, UPGRADE};
use http::{Method, Request, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use worker::api::{Broken, Feed, FeedKind, Parts, Source};

/// Bytes that are read from a client at once.
const READ_MAX: usize = 64 << 10;

/// Where a connection finds what it is to become once its last response has been sent.
pub(crate) type Slot = Arc<Mutex<Option<Pending>>>;

/// Notes what is to follow on a connection.
pub(crate) fn put(slot: &Slot, pending: Pending) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
}

/// Takes what is to follow on a connection.
pub(crate) fn take(slot: &Slot) -> Option<Pending> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The protocol a request asks for, if a function may be asked: what it would upgrade to is not HTTP itself. (A client that
/// offers HTTP/2 in this way is answered with HTTP/1.1, as by any server that does not speak it.)
pub(crate) fn wanted(request: &Request<Incoming>) -> Option<HeaderValue> {
    let is_plain = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream();
    if is_plain { protocol(request.headers()) } else { None }
}

fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(UPGRADE).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let is_listed = listed_in_connection(headers).iter().any(|name| name == "upgrade");
    let is_http = value.to_str().ok()?.split(',').any(|name| {
        let name = name.trim().to_ascii_lowercase();
        name.is_empty() || ["h2c", "h2", "tls/", "http/"].iter().any(|http| name.starts_with(http))
    });
    (is_listed && !is_http).then(|| value.clone())
}

/// A request that asks for another protocol.
pub(crate) struct Asked {
    on: OnUpgrade,
    opening: Opening,
    upgraded: Upgraded,
}

impl Asked {
    /// The function has agreed: this is what is to follow on the connection.
    pub(crate) fn agreed(self, first: Bytes, parts: Option<Parts>, ongoing: Ongoing) -> Pending {
        let Self { on, opening, upgraded } = self;
        Pending { on, opening, first, parts, ongoing, upgraded }
    }
}

/// Makes a connection that may become something else, if the function may have another; and what the client will send then.
pub(crate) fn ask(
    app: &App,
    route: &Arc<Route>,
    request: &mut Request<Incoming>,
    turn: &Turn,
) -> Result<(Asked, Feed), Failure> {
    let upgraded = Upgraded::enter(app, route)?;
    turn.must_stay();
    let (opening, outside) = Outside::new();
    let feed = Feed { kind: FeedKind::Connection, source: Box::new(outside) };
    Ok((Asked { on: hyper::upgrade::on(request), opening, upgraded }, feed))
}

/// One of the upgraded connections of a function, or a request that may become one.
struct Upgraded {
    count: Arc<Count>,
}

impl Upgraded {
    /// One more, if there may be.
    fn enter(app: &App, route: &Arc<Route>) -> Result<Self, Failure> {
        let limit = app.config.upgrades_max;
        let count = |count: usize| (count < limit).then_some(count + 1);
        let entered = route.upgrades.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        entered.map_err(|_| Failure::UpgradesFull { limit })?;
        Ok(Self { count: Arc::clone(&route.upgrades) })
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many upgraded connections a function has.
pub(crate) type Count = AtomicUsize;

/// When something last went over a connection, in milliseconds since it was made.
struct Pulse {
    begun: Instant,
    last: AtomicU64,
}

impl Pulse {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn beat(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// Returns when nothing has gone over the connection for this long.
    async fn stops(&self, idle: Duration) {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        loop {
            let quiet = self.now().saturating_sub(self.last.load(Ordering::Relaxed));
            if quiet >= idle {
                return;
            }
            tokio::time::sleep(Duration::from_millis(idle - quiet)).await;
        }
    }
}

/// The client's side of a connection that may be upgraded: nothing comes before it is.
struct Outside {
    becoming: Option<oneshot::Receiver<Reading>>,
    reading: Option<Reading>,
}

/// The client's side of a connection that was upgraded.
struct Reading {
    half: OwnedReadHalf,
    /// What came with the request already.
    early: Bytes,
    pulse: Arc<Pulse>,
    counter: prometheus::IntCounter,
}

/// What makes an [`Outside`] begin.
struct Opening(oneshot::Sender<Reading>);

impl Outside {
    fn new() -> (Opening, Self) {
        let (sender, receiver) = oneshot::channel();
        (Opening(sender), Self { becoming: Some(receiver), reading: None })
    }
}

impl Source for Outside {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(becoming) = &mut self.becoming {
            match ready!(std::pin::Pin::new(becoming).poll(context)) {
                Ok(reading) => self.reading = Some(reading),
                // The answer was another one. It may still be on its way, and the client with it.
                Err(_) => {
                    self.becoming = None;
                    return Poll::Pending;
                }
            }
            self.becoming = None;
        }
        match &mut self.reading {
            Some(reading) => reading.poll(context),
            None => Poll::Pending,
        }
    }
}

impl Reading {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if !self.early.is_empty() {
            let len = self.early.len().min(READ_MAX);
            return self.came(self.early.clone().split_to(len), len);
        }
        loop {
            // Memory is taken when there is something to read: most of these connections are quiet.
            if ready!(self.half.as_ref().poll_read_ready(context)).is_err() {
                return Poll::Ready(Some(Err(Broken::Gone)));
            }
            let mut buffer = BytesMut::with_capacity(READ_MAX);
            match self.half.try_read_buf(&mut buffer) {
                Ok(0) => return Poll::Ready(None),
                Ok(_) => return self.came(buffer.freeze(), 0),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Some(Err(Broken::Gone))),
            }
        }
    }

    fn came(&mut self, bytes: Bytes, early: usize) -> Poll<Option<Result<Bytes, Broken>>> {
        self.early = self.early.split_off(early);
        self.pulse.beat();
        self.counter.inc_by(bytes.len() as u64);
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// A connection whose response with status 101 is on its way.
pub(crate) struct Pending {
    on: OnUpgrade,
    opening: Opening,
    /// What the function sent right after its response.
    first: Bytes,
    /// What it will send; nothing if it has closed the connection already.
    parts: Option<Parts>,
    ongoing: Ongoing,
    upgraded: Upgraded,
}

/// Why a connection ended.
enum End {
    /// Both sides have closed it.
    Closed,
    /// The client has gone, or does not take what is sent.
    Lost,
    Failed(Failure),
}

impl Pending {
    /// Passes bytes on until the connection ends.
    pub(crate) async fn run(mut self, app: &App) {
        let Ok(upgraded) = (&mut self.on).await else { return };
        let Ok(inner) = upgraded.downcast::<Edge<Attended>>() else {
            tracing::error!("a connection that was upgraded is none of this server");
            return;
        };
        let _gauge = crate::metrics::Counted::new(&app.metrics.upgraded);
        let (half, mut write) = inner.io.into_inner().into_inner().into_split();
        let pulse = Arc::new(Pulse { begun: Instant::now(), last: AtomicU64::new(0) });
        let bytes = |direction: &str| app.metrics.upgraded_bytes.with_label_values(&[direction]);
        let reading =
            Reading { half, early: inner.read_buf, pulse: Arc::clone(&pulse), counter: bytes("in") };
        // If the function has closed the connection already, nobody takes it.
        drop(self.opening.0.send(reading));
        let idle = app.config.upgrade_idle;
        let limit = self.parts.as_ref().map_or_else(tokio::time::Instant::now, Parts::deadline);
        let limit = limit + app.config.response_grace;
        let counter = bytes("out");
        let end = tokio::select! {
            end = pass_on(&mut write, self.first, &mut self.parts, &pulse, &counter) => end,
            // What the function has sent is passed on for a while after its time; who takes it too slowly loses the rest.
            () = tokio::time::sleep_until(limit) => End::Lost,
            () = pulse.stops(idle) => End::Failed(Failure::UpgradeIdle(idle)),
            () = app.stopping.cancelled() => End::Failed(Failure::ShuttingDown),
        };
        // The client may have gone.
        let _ = write.shutdown().await;
        match end {
            End::Closed => {
                let timing = self.parts.as_ref().and_then(Parts::timing);
                self.ongoing.end(Ok(timing));
            }
            End::Failed(failure) => self.ongoing.end(Err(&failure)),
            // It counts as a client that went away.
            End::Lost => {}
        }
        drop(self.upgraded);
    }
}

/// Sends what the function sends. An empty part is the end of its direction; the connection goes on in the other one.
async fn pass_on(
    write: &mut OwnedWriteHalf,
    mut next: Bytes,
    parts: &mut Option<Parts>,
    pulse: &Pulse,
    counter: &prometheus::IntCounter,
) -> End {
    loop {
        while !next.is_empty() {
            match write.write_buf(&mut next).await {
                Ok(count) => counter.inc_by(count as u64),
                Err(_) => return End::Lost,
            }
            pulse.beat();
        }
        let Some(parts) = parts else { return End::Closed };
        let next_part = tokio::select! {
            part = poll_fn(|context| parts.poll_next(context)) => part,
            // A client that is gone is noticed although nobody reads or writes.
            _ = write.ready(Interest::ERROR) => return End::Lost,
        };
        match next_part {
            Some(Ok(part)) if part.is_empty() => {
                if write.shutdown().await.is_err() {
                    return End::Lost;
                }
            }
            Some(Ok(part)) => next = part,
            Some(Err(error)) => return End::Failed(Failure::Invoke(error)),
            None => return End::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_must_be_listed_and_no_http() {
        let ask = |connection: &'static str, values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONNECTION, HeaderValue::from_static(connection));
            for value in values {
                headers.append(UPGRADE, HeaderValue::from_static(value));
            }
            protocol(&headers).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(ask("keep-alive, Upgrade", &["websocket"]).as_deref(), Some("websocket"));
        assert_eq!(ask("upgrade", &["echo/1, other"]).as_deref(), Some("echo/1, other"));
        for value in ["h2c", "H2C", "websocket, h2c", "TLS/1.3", "HTTP/2.0", "", "a,,b"] {
            assert_eq!(ask("upgrade", &[value]), None, "{value}");
        }
        assert_eq!(ask("keep-alive", &["websocket"]), None);
        assert_eq!(ask("upgrade", &["websocket", "websocket"]), None);
        assert_eq!(ask("upgrade", &[]), None);
    }
}
