//! The data path: `ANY /function/NAME[/path][?query]`.

use crate::app::App;
use crate::body;
use crate::error::Failure;
use crate::event::{self, About};
use crate::metrics::Counted;
use crate::names::{is_function_name, split_function_path};
use crate::reply::{self, Answer};
use crate::routes::{Live, Route};
use crate::stream::{Ongoing, Rest, Streamed};
use axum::body::Body;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use prometheus::IntCounter;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use worker::api::{Contract, Invocation, InvokeError, Reply, StartKind, Timing};

const START: HeaderName = HeaderName::from_static("x-spore-start");
const INSTANCE: HeaderName = HeaderName::from_static("x-spore-instance");

/// A body that is there, or one that comes.
pub(crate) type ResponseBody = Either<Full<Bytes>, Body>;

/// A response and where its time went, if it came from a function.
pub(crate) struct Answered {
    pub response: Response<ResponseBody>,
    pub timing: Option<Timing>,
}

/// Answers one request. Dropping the future, as hyper does when the client goes away, ends the fork.
pub(crate) async fn handle(
    app: &Arc<App>,
    request: Request<Incoming>,
    source: IpAddr,
    request_id: &str,
    started: Instant,
) -> Answered {
    let path = request.uri().path();
    let name = split_function_path(path).map_or("", |(name, _)| name);
    let route = is_function_name(name).then(|| app.routes.get(name)).flatten();
    let Some(route) = route else {
        return rejected(app, Failure::FunctionNotFound(name.chars().take(64).collect()), request_id);
    };
    let Ok(place) = app.places.try_acquire() else {
        let failure = Failure::PlatformOverloaded { limit: app.config.in_flight_max };
        return rejected(app, failure, request_id);
    };
    let _in_flight = Counted::new(&app.metrics.in_flight);
    let mut departure = Departure { counter: &app.metrics.disconnects, answered: false };
    let outcome = invoke(app, &route, request, source, request_id).await;
    departure.answered = true;
    let answered = match outcome {
        Ok((answer, reply, Some(rest))) => {
            let ongoing = Ongoing::new((app, route), place, request_id, started, answer.status);
            let body = Body::new(Streamed::new(answer.body.clone(), rest, ongoing));
            let response = respond(answer, Either::Right(body), &reply);
            return Answered { timing: Some(reply.timing), response };
        }
        Ok((answer, reply, None)) => {
            let body = Either::Left(Full::new(answer.body.clone()));
            Answered { timing: Some(reply.timing), response: respond(answer, body, &reply) }
        }
        Err((failure, reply)) => {
            let mut response = failure.into_response(request_id).map(Either::Left);
            if let Some(reply) = &reply {
                describe(response.headers_mut(), reply);
            }
            Answered { response, timing: reply.map(|reply| reply.timing) }
        }
    };
    app.answered(&route, answered.response.status(), started.elapsed(), answered.timing.as_ref());
    answered
}

fn rejected(app: &App, failure: Failure, request_id: &str) -> Answered {
    app.metrics.rejected.with_label_values(&[failure.code().1]).inc();
    Answered { response: failure.into_response(request_id).map(Either::Left), timing: None }
}

/// Counts a client that went away: a future that was dropped before it answered.
struct Departure<'a> {
    counter: &'a IntCounter,
    answered: bool,
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.counter.inc();
        }
    }
}

/// A failure, with the reply that caused it if there was one.
type Failed = (Failure, Option<Box<Reply>>);

async fn invoke(
    app: &App,
    route: &Route,
    request: Request<Incoming>,
    source: IpAddr,
    request_id: &str,
) -> Result<(Answer, Box<Reply>, Option<Rest>), Failed> {
    let early = |failure| (failure, None);
    if app.stopping.is_cancelled() {
        return Err(early(Failure::ShuttingDown));
    }
    let (parts, body) = request.into_parts();
    check_host(&parts.headers, parts.version).map_err(early)?;
    let deadline = app.config.body_deadline;
    let received = body::read(body, &parts.headers, app.config.body_timeout);
    let received = tokio::time::timeout(deadline, received).await;
    let body = received.unwrap_or(Err(Failure::RequestTimeout(deadline))).map_err(early)?;
    let waited = Instant::now();
    let live = live(app, route).await.map_err(early)?;
    let waited = waited.elapsed();
    let (payload, contract) = payload(route, &parts, &body, source, request_id).map_err(early)?;
    let invocation = Invocation { request_id: request_id.to_owned(), payload };
    let mut reply = live.function.invoke(invocation).await.map_err(|error| early(error.into()))?;
    reply.timing.queue += waited;
    let mut reply = Box::new(reply);
    match map(&mut reply, contract, &parts.method) {
        Ok((answer, rest)) => Ok((answer, reply, rest)),
        Err(failure) => Err((failure, Some(reply))),
    }
}

/// The answer in a reply, and what follows if that is not all.
fn map(reply: &mut Reply, contract: Contract, method: &Method) -> Result<(Answer, Option<Rest>), Failure> {
    let Some(parts) = reply.rest.take() else {
        let answer = match contract {
            Contract::Handler => reply::lambda::answer(&reply.payload),
            Contract::Http => reply::wire::answer(&reply.payload, method),
            Contract::RuntimeApi => reply::runtime_api::answer(&reply.payload),
        };
        return Ok((answer?, None));
    };
    if contract != Contract::Http {
        return Err(reply::invalid("it comes in parts"));
    }
    let (answer, decoder) = reply::wire::begin(&reply.payload, method)?;
    Ok((answer, decoder.map(|decoder| Rest { decoder, parts })))
}

async fn live(app: &App, route: &Route) -> Result<Arc<Live>, Failure> {
    let live = route.live(app.config.build_patience).await;
    live.map_err(|reason| Failure::Invoke(InvokeError::NotReady(reason)))
}

/// HTTP/1.1 demands exactly one `Host`.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Failure> {
    match headers.get_all(HOST).iter().count() {
        1 => Ok(()),
        0 if version < Version::HTTP_11 => Ok(()),
        count => Err(Failure::BadRequest(format!("the request has {count} Host fields instead of one"))),
    }
}

fn payload(
    route: &Route,
    parts: &http::request::Parts,
    body: &Bytes,
    source: IpAddr,
    request_id: &str,
) -> Result<(Bytes, Contract), Failure> {
    let record =
        route.record.as_ref().ok_or_else(|| Failure::Platform("a live function has no record".to_owned()))?;
    let (_, path) = split_function_path(parts.uri.path()).unwrap_or(("", "/"));
    let incoming = event::Incoming {
        method: &parts.method,
        version: parts.version,
        path,
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        source,
        body,
        request_id,
        now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
    };
    let about = About { name: &record.name, memory_bytes: record.memory_bytes, timeout: record.timeout() };
    let payload = match record.contract {
        Contract::Handler => event::lambda::document(&incoming, &about),
        Contract::Http => event::wire::request(&incoming, &record.name),
        Contract::RuntimeApi => event::runtime_api::next(&incoming, &about),
    };
    let limit_bytes = abi::mailbox::REQUEST_MAX;
    if payload.len() as u64 > limit_bytes {
        return Err(Failure::RequestTooLarge { what: "the encoded request", limit_bytes });
    }
    Ok((Bytes::from(payload), record.contract))
}

fn respond(answer: Answer, body: ResponseBody, reply: &Reply) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    describe(response.headers_mut(), reply);
    response
}

/// Says which fork answered.
fn describe(headers: &mut HeaderMap, reply: &Reply) {
    let start = match reply.start {
        StartKind::Recycled => "recycled",
        StartKind::Remapped => "remapped",
        StartKind::New => "new",
    };
    headers.insert(START, HeaderValue::from_static(start));
    if let Ok(instance) = HeaderValue::from_str(&reply.instance) {
        headers.insert(INSTANCE, instance);
    }
}
