//! Sockets: accepting, connections with their limits, and the end of both.

use crate::app::App;
use crate::backend::Backend;
use crate::config::{FIELDS_MAX, GatewayConfig, HEAD_MAX_BYTES, ServeError};
use crate::control;
use crate::data::{self, Answered, Client, ResponseBody};
use crate::edge::Edge;
use crate::error::Failure;
use crate::metrics::Counted;
use crate::names::{REQUEST_ID, request_id};
use crate::presence::Attended;
use crate::turn::{Received, Turn, Watched};
use crate::upgrade::{self, Slot};
use axum::Router;
use http::header::CONNECTION;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use worker::api::Timing;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// How long accepting pauses after an error, for instance when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Pending connections the kernel keeps.
const BACKLOG: u32 = 1024;

/// A gateway that is bound to its address and not yet accepting.
pub struct Gateway {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
}

/// What others may do with a gateway while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    app: Arc<App>,
    address: SocketAddr,
}

impl Handle {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns when every stored function is rebuilt or has failed to be.
    pub async fn ready(&self) {
        self.app.rebuilt().await;
    }
}

/// Runs a gateway until `shutdown` is done: [`Gateway::bind`] and [`Gateway::run`].
pub async fn serve(
    config: GatewayConfig,
    backend: Arc<dyn Backend>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Gateway::bind(config, backend).await?.run(shutdown).await;
    Ok(())
}

impl Gateway {
    /// Opens the data directory, binds the address and starts to rebuild stored functions.
    pub async fn bind(config: GatewayConfig, backend: Arc<dyn Backend>) -> Result<Self, ServeError> {
        let address = config.listen;
        let failed = |source| ServeError::Listen { address, source };
        // The data directory comes first: whoever holds it is the better explanation for a taken address.
        let app = Arc::new(App::open(config, backend)?);
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        app.rebuild();
        Ok(Self { app, listener, address })
    }

    /// A handle for others.
    pub fn handle(&self) -> Handle {
        Handle { app: Arc::clone(&self.app), address: self.address }
    }

    /// Answers requests until `shutdown` is done, then lets running ones finish and ends the backend.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { app, listener, .. } = self;
        let mut connections = JoinSet::new();
        accept(&app, &listener, &mut connections, shutdown).await;
        drop(listener);
        app.stopping.cancel();
        let all_done = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(app.config.drain_timeout, all_done).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut off at shutdown");
        }
        connections.shutdown().await;
        app.backend.shutdown().await;
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    app: &Arc<App>,
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(app.config.connections_max));
    let control = control::router(Arc::clone(app));
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = next_connection(app, listener, &places) => accepted,
            // Ended connections are forgotten at once, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
            () = &mut shutdown => return,
        };
        let (app, control) = (Arc::clone(app), control.clone());
        connections.spawn(async move {
            let _place = place;
            let _open = Counted::new(&app.metrics.connections);
            connection(&app, control, stream, peer).await;
        });
    }
}

/// The next connection, when there is a place for it.
async fn next_connection(
    app: &App,
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, IpAddr, OwnedSemaphorePermit) {
    let place = match Arc::clone(places).try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            app.metrics.connections_delayed.inc();
            Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed")
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip().to_canonical(), place),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(app: &Arc<App>, control: Router, stream: TcpStream, peer: IpAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    // Who does not read loses the connection (tcp(7), TCP_USER_TIMEOUT): its request would keep its place for ever.
    let pause = u32::try_from(app.config.body_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, pause) {
        tracing::debug!(%error, "cannot set TCP_USER_TIMEOUT");
    }
    let control = TowerToHyperService::new(control);
    let (slot, turn) = (Slot::default(), Turn::default());
    let service = service_fn(|request: Request<Incoming>| {
        turn.begin();
        if request.body().is_end_stream() {
            turn.has_sent_all();
        }
        let (app, control, slot, turn) = (Arc::clone(app), control.clone(), Arc::clone(&slot), turn.clone());
        async move {
            let client = Client { source: peer, slot: &slot, turn: &turn };
            let mut response = answer(&app, control, request, client).await;
            if turn.has_unread() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Watched::new(body, &turn)))
        }
    });
    let attended = Attended::new(stream, turn.clone(), app.config.leave_grace);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.head_timeout)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(FIELDS_MAX)
        .serve_connection(Edge::new(attended, turn.clone()), service)
        .with_upgrades();
    // What hyper holds is dropped with this block: an upgrade would wait for ever for a connection that failed in between.
    let ended = {
        let mut serving = pin!(serving);
        tokio::select! {
            ended = serving.as_mut() => ended,
            () = app.stopping.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    };
    match (ended, upgrade::take(&slot)) {
        (Err(error), _) => tracing::debug!(%peer, %error, "connection ended"),
        (Ok(()), Some(pending)) => pending.run(app).await,
        (Ok(()), None) => {}
    }
}

/// Answers one request and adds what every response has.
async fn answer(
    app: &Arc<App>,
    control: TowerToHyperService<Router>,
    request: Request<Incoming>,
    client: Client<'_>,
) -> Response<ResponseBody> {
    let started = Instant::now();
    let id = request_id(request.headers());
    let (mut response, timing) = if request.uri().path().starts_with("/function/") {
        let Answered { response, timing } = data::handle(app, request, client, &id, started).await;
        (response, timing)
    } else {
        let pause = app.config.body_timeout;
        let (parts, body) = request.into_parts();
        let body = Received::new(body, &parts.headers, client.turn, pause);
        (control_answer(control, Request::from_parts(parts, body), &id).await, None)
    };
    let headers = response.headers_mut();
    headers.append(SERVER_TIMING, server_timing(timing.as_ref(), started.elapsed()));
    let id = HeaderValue::from_str(&id).expect("a request id is visible ASCII");
    headers.insert(HeaderName::from_static(REQUEST_ID), id);
    response
}

/// Handlers of the control API leave a [`Failure`] in the response's extensions; here it gets its body.
async fn control_answer(
    control: TowerToHyperService<Router>,
    request: Request<Received>,
    id: &str,
) -> Response<ResponseBody> {
    let Ok(mut response) = control.call(request).await;
    match response.extensions_mut().remove::<Failure>() {
        Some(failure) => {
            let mut described = failure.into_response(id).map(Either::Left);
            if let Some(allow) = response.headers_mut().remove(http::header::ALLOW) {
                described.headers_mut().insert(http::header::ALLOW, allow);
            }
            described
        }
        None => response.map(Either::Right),
    }
}

fn server_timing(timing: Option<&Timing>, total: Duration) -> HeaderValue {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let total = millis(total);
    let text = match timing {
        Some(timing) => format!(
            "queue;dur={:.3}, fork;dur={:.3}, run;dur={:.3}, total;dur={total:.3}",
            millis(timing.queue),
            millis(timing.fork),
            millis(timing.run)
        ),
        None => format!("total;dur={total:.3}"),
    };
    HeaderValue::try_from(text).expect("names and numbers are visible ASCII")
}
