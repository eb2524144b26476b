//! How much of a request is taken in before its function runs: all of it, or only its head.

use crate::app::App;
use crate::body;
use crate::error::Failure;
use crate::event::Rest;
use crate::inflow::{self, Inflow, Limits, Refusal};
use crate::routes::Route;
use crate::turn::Turn;
use crate::upgrade::{self, Asked};
use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http::request::Parts;
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use worker::api::{Contract, Feed, FeedKind};

/// A request as far as it was taken in.
pub(crate) struct Intake {
    /// Its body, if that is not streamed.
    pub body: Bytes,
    /// What the function is told of the rest.
    pub rest: Rest,
    /// The rest.
    pub feed: Option<Feed>,
    /// Why the rest was refused.
    pub refusal: Refusal,
    /// What the connection may become.
    pub asked: Option<Asked>,
}

impl Intake {
    fn whole(body: Bytes) -> Self {
        Self { body, rest: Rest::Nothing, feed: None, refusal: Refusal::default(), asked: None }
    }
}

/// Takes in what `route` needs to begin. Only servers read their requests as they come.
pub(crate) async fn take_in(
    app: &App,
    route: &Arc<Route>,
    mut request: Request<Incoming>,
    turn: &Turn,
) -> Result<(Parts, Intake), Failure> {
    let is_server = route.record.as_ref().is_some_and(|record| record.contract == Contract::Http);
    if is_server && let Some(protocol) = upgrade::wanted(&request) {
        let (asked, feed) = upgrade::ask(app, route, &mut request, turn)?;
        let (rest, feed) = (Rest::Upgrade(protocol), Some(feed));
        let intake = Intake { rest, feed, asked: Some(asked), ..Intake::whole(Bytes::new()) };
        return Ok((request.into_parts().0, intake));
    }
    let (parts, body) = request.into_parts();
    if is_server && inflow::is_streamed(&body, &parts.headers) {
        let intake = streamed(app, &parts, body, turn).await?;
        return Ok((parts, intake));
    }
    let deadline = app.config.body_deadline;
    let received = body::read(body, &parts.headers, app.config.body_timeout);
    let received = tokio::time::timeout(deadline, received).await;
    let body = received.unwrap_or(Err(Failure::RequestTimeout(deadline)))?;
    turn.has_sent_all();
    Ok((parts, Intake::whole(body)))
}

async fn streamed(app: &App, parts: &Parts, body: Incoming, turn: &Turn) -> Result<Intake, Failure> {
    let limits = Limits { bytes: app.config.stream_max_bytes, pause: app.config.body_timeout };
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length > limits.bytes) {
        // A client that waits for `100 Continue` has sent nothing yet.
        if !parts.headers.contains_key(EXPECT) {
            let drained = tokio::time::timeout(limits.pause, body::drain(body, 0, limits.pause));
            // What has not come by then is not waited for.
            let _ = drained.await;
        }
        return Err(inflow::too_large(limits));
    }
    let refusal = Refusal::default();
    let counter = app.metrics.body_bytes.clone();
    let mut source = Inflow::new(body, &parts.headers, limits, (turn, &refusal), counter);
    if let Some(whole) = source.whole().await? {
        return Ok(Intake::whole(whole));
    }
    if !source.has_ended() {
        turn.must_stay();
    }
    let feed = Some(Feed { kind: FeedKind::Body, source: Box::new(source) });
    let rest = length.map_or(Rest::Chunked, Rest::Length);
    Ok(Intake { rest, feed, refusal, ..Intake::whole(Bytes::new()) })
}
