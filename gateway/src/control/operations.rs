//! Endpoints for operators and their tools.

use crate::app::App;
use crate::error::Failure;
use crate::metrics;
use crate::routes::RouteState;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use std::sync::Arc;

/// The description of the whole HTTP interface.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

const INDEX: &str = "Spore: every request runs in a fork of a VM.

Functions answer at    /function/NAME
What is deployed       /v1/functions
Live VMs               /v1/vms
The whole interface    /openapi.json
Health and metrics     /healthz  /readyz  /metrics  /version

Deploy with `spore deploy PATH`; `spore --help` says more.
";

pub(super) async fn index() -> &'static str {
    INDEX
}

pub(super) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

pub(super) async fn version() -> Response {
    Json(json!({ "name": "spore", "version": env!("CARGO_PKG_VERSION"), "api": "v1" })).into_response()
}

pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// 200 when no stored function is being built any more, else 503. Failed functions do not keep it from ready:
/// waiting would not help them.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let (mut building, mut failed) = (Vec::new(), Vec::new());
    for route in app.routes.all() {
        match route.state() {
            RouteState::Ready(_) => {}
            RouteState::Building => building.push(route.name.clone()),
            RouteState::Failed(reason) => failed.push(json!({ "name": route.name, "reason": reason })),
        }
    }
    let stopping = app.stopping.is_cancelled();
    let ready = building.is_empty() && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": ready, "stopping": stopping, "building": building, "failed": failed });
    (status, Json(body)).into_response()
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let names: Vec<_> = app.routes.all().iter().map(|route| route.name.clone()).collect();
    // It looks at files, so it is not for the threads that serve requests.
    let scrape = move || metrics::scrape(&app.metrics, app.backend.as_ref(), &names);
    let text = tokio::task::spawn_blocking(scrape).await;
    let text = text
        .map_err(|error| Failure::Platform(format!("cannot collect the metrics: {error}")))?
        .map_err(|error| Failure::Platform(format!("cannot encode the metrics: {error}")))?;
    Ok(([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
