//! The data path: `ANY /function/NAME[/path][?query]`.

use crate::app::App;
use crate::config::STREAM_ABOVE_BYTES;
use crate::error::Failure;
use crate::event::{self, About};
use crate::inflow::{self, Refusal};
use crate::intake::{self, Intake};
use crate::metrics::Counted;
use crate::names::{is_function_name, split_function_path};
use crate::reply::{self, Answer, Beginning};
use crate::routes::{Live, Route};
use crate::stream::{self, Ongoing, Rest, Streamed};
use crate::turn::{Received, Turn};
use crate::upgrade::{self, Asked, Slot};
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
use worker::api::{Contract, Invocation, InvokeError, Parts, Reply, StartKind, Timing};

const START: HeaderName = HeaderName::from_static("x-spore-start");
const INSTANCE: HeaderName = HeaderName::from_static("x-spore-instance");

/// A body that is there, or one that comes.
pub(crate) type ResponseBody = Either<Full<Bytes>, Body>;

/// A response and where its time went, if it came from a function.
pub(crate) struct Answered {
    pub response: Response<ResponseBody>,
    pub timing: Option<Timing>,
}

/// Where a request came from.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    /// Its address.
    pub source: IpAddr,
    /// Where its connection finds what it is to become.
    pub slot: &'a Slot,
    /// Where the connection is with it, and what the client owes.
    pub turn: &'a Turn,
}

/// Answers one request. Dropping the future, as hyper does when the client goes away, ends the fork.
pub(crate) async fn handle(
    app: &Arc<App>,
    request: Request<Incoming>,
    client: Client<'_>,
    request_id: &str,
    started: Instant,
) -> Answered {
    let path = request.uri().path();
    let name = split_function_path(path).map_or("", |(name, _)| name);
    let route = is_function_name(name).then(|| app.routes.get(name)).flatten();
    let Some(route) = route else {
        let failure = Failure::FunctionNotFound(name.chars().take(64).collect());
        put_aside(app, request, client.turn);
        return rejected(app, failure, request_id);
    };
    let Ok(place) = app.places.try_acquire() else {
        let failure = Failure::PlatformOverloaded { limit: app.config.in_flight_max };
        put_aside(app, request, client.turn);
        return rejected(app, failure, request_id);
    };
    let _in_flight = Counted::new(&app.metrics.in_flight);
    let mut departure = Departure { counter: &app.metrics.disconnects, answered: false };
    let outcome = invoke(app, &route, request, client, request_id).await;
    departure.answered = true;
    let answered = match outcome {
        Ok((answer, reply, More::Nothing)) => {
            let length = answer.body.len() as u64;
            if length > STREAM_ABOVE_BYTES {
                client.turn.must_end_by(tokio::time::Instant::now() + app.config.time_to_take(length));
            }
            let body = Either::Left(Full::new(answer.body.clone()));
            Answered { timing: Some(reply.timing), response: respond(answer, body, &reply) }
        }
        Ok((answer, reply, more)) => {
            let ongoing = Ongoing::new((app, route), place, request_id, started, answer.status);
            return go_on(answer, &reply, more, ongoing, client);
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

/// A response that is not over when its head is sent.
fn go_on(answer: Answer, reply: &Reply, more: More, ongoing: Ongoing, client: Client<'_>) -> Answered {
    let body = match more {
        More::Nothing => Either::Left(Full::default()),
        More::Body(rest) => {
            client.turn.must_end_by(rest.parts.deadline() + ongoing.grace());
            Either::Right(Body::new(Streamed::new(answer.body.clone(), rest, ongoing)))
        }
        More::Protocol { asked, first, parts } => {
            upgrade::put(client.slot, asked.agreed(first, parts, ongoing));
            Either::Left(Full::default())
        }
    };
    Answered { timing: Some(reply.timing), response: respond(answer, body, reply) }
}

fn rejected(app: &App, failure: Failure, request_id: &str) -> Answered {
    app.metrics.rejected.with_label_values(&[failure.code().1]).inc();
    Answered { response: failure.into_response(request_id).map(Either::Left), timing: None }
}

/// The body of a request that is refused at once.
fn put_aside(app: &App, request: Request<Incoming>, turn: &Turn) {
    let (parts, body) = request.into_parts();
    drop(Received::new(body, &parts.headers, turn, app.config.body_timeout));
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

/// What follows the head of a response.
enum More {
    /// Only the body that is there.
    Nothing,
    /// A body that comes.
    Body(Rest),
    /// Another protocol: what the function has sent of it, and what it will send.
    Protocol { asked: Asked, first: Bytes, parts: Option<Parts> },
}

async fn invoke(
    app: &App,
    route: &Arc<Route>,
    request: Request<Incoming>,
    client: Client<'_>,
    request_id: &str,
) -> Result<(Answer, Box<Reply>, More), Failed> {
    let early = |failure| (failure, None);
    if let Err(failure) = admit(app, &request) {
        put_aside(app, request, client.turn);
        return Err(early(failure));
    }
    let (parts, mut intake) = intake::take_in(app, route, request, client.turn).await.map_err(early)?;
    let waited = Instant::now();
    let live = live(app, route).await.map_err(early)?;
    let waited = waited.elapsed();
    let (payload, contract) = payload(route, &parts, &intake, client.source, request_id).map_err(early)?;
    let invocation = Invocation { request_id: request_id.to_owned(), payload, feed: intake.feed.take() };
    let replied = live.function.invoke(invocation).await;
    let refused = |error| inflow::explained(Failure::Invoke(error), &intake.refusal);
    let mut reply = replied.map_err(|error| early(refused(error)))?;
    reply.timing.queue += waited;
    if let Some(parts) = &mut reply.rest {
        parts.note_wait(waited);
    }
    let mut reply = Box::new(reply);
    match map(&mut reply, contract, &parts.method, (intake.asked, intake.refusal)).await {
        Ok((answer, more)) => Ok((answer, reply, more)),
        Err(failure) => Err((failure, Some(reply))),
    }
}

/// The answer in a reply, and what follows if that is not all.
async fn map(
    reply: &mut Reply,
    contract: Contract,
    method: &Method,
    (asked, refusal): (Option<Asked>, Refusal),
) -> Result<(Answer, More), Failure> {
    if let Some(asked) = asked
        && let Some((answer, first)) = reply::wire::upgrade(&reply.payload)?
    {
        return Ok((answer, More::Protocol { asked, first, parts: reply.rest.take() }));
    }
    let beginning = if contract == Contract::Http { None } else { Beginning::of(&reply.payload) };
    if let Some(beginning) = beginning {
        let (answer, rest) = stream::begin(beginning?, reply.rest.take(), method).await?;
        return Ok((answer, rest.map_or(More::Nothing, More::Body)));
    }
    let Some(parts) = reply.rest.take() else {
        let answer = match contract {
            Contract::Handler => reply::lambda::answer(&reply.payload),
            Contract::Http => reply::wire::answer(&reply.payload, method),
            Contract::RuntimeApi => reply::runtime_api::answer(&reply.payload),
        };
        return Ok((answer?, More::Nothing));
    };
    if contract != Contract::Http {
        return Err(reply::invalid("it comes in parts"));
    }
    let (answer, decoder) = reply::wire::begin(&reply.payload, method)?;
    Ok((answer, decoder.map_or(More::Nothing, |decoder| More::Body(Rest { decoder, parts, refusal }))))
}

async fn live(app: &App, route: &Route) -> Result<Arc<Live>, Failure> {
    let live = route.live(app.config.build_patience).await;
    live.map_err(|reason| Failure::Invoke(InvokeError::NotReady(reason)))
}

/// What is known before the body is looked at.
fn admit(app: &App, request: &Request<Incoming>) -> Result<(), Failure> {
    if app.stopping.is_cancelled() {
        return Err(Failure::ShuttingDown);
    }
    check_host(request.headers(), request.version())
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
    intake: &Intake,
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
        body: &intake.body,
        rest: intake.rest.clone(),
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
        StartKind::Spare => "spare",
        StartKind::New => "new",
        StartKind::Cold => "cold",
    };
    headers.insert(START, HeaderValue::from_static(start));
    if let Ok(instance) = HeaderValue::from_str(&reply.instance) {
        headers.insert(INSTANCE, instance);
    }
}
