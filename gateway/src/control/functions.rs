//! Functions and VMs.

use super::form::Form;
use super::upload;
use crate::api::{FunctionDetail, FunctionList, VmList};
use crate::app::{App, summary};
use crate::deploy;
use crate::error::Failure;
use crate::names::is_function_name;
use crate::routes::Route;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use std::sync::Arc;
use worker::api::Contract;

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    let functions = app.routes.all().iter().map(|route| summary(route)).collect();
    Json(FunctionList { functions }).into_response()
}

pub(super) async fn describe(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<FunctionDetail>, Failure> {
    let route = find(&app, &name)?;
    Ok(Json(detail(&app, &route)))
}

pub(super) async fn deploy(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<FunctionDetail>), Failure> {
    let upload = upload::receive(&app, Form::of(request, app.config.body_timeout).await?).await?;
    if !is_function_name(&name) {
        let message =
            format!("`{}` cannot be the name of a function", name.chars().take(64).collect::<String>());
        let hint = "Use 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end.";
        return Err(Failure::parameter(message, hint));
    }
    let (route, is_new) = deploy::deploy(&app, name, upload).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(detail(&app, &route))))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    find(&app, &name)?;
    deploy::remove(&app, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn vms(State(app): State<Arc<App>>) -> Response {
    let mut vms = app.backend.vms().await;
    vms.sort_by(|one, other| (&one.function, &one.id).cmp(&(&other.function, &other.id)));
    Json(VmList { vms }).into_response()
}

pub(super) fn find(app: &App, name: &str) -> Result<Arc<Route>, Failure> {
    app.routes.get(name).ok_or_else(|| Failure::FunctionNotFound(name.chars().take(64).collect()))
}

/// Everything known about a function; of one whose record is damaged, that is its name and why.
fn detail(app: &App, route: &Route) -> FunctionDetail {
    let record = route.record.as_ref();
    FunctionDetail {
        summary: summary(route),
        contract: record.map_or(Contract::Handler, |record| record.contract),
        handler: record.map(|record| record.handler.clone()).unwrap_or_default(),
        memory_bytes: record.map_or(0, |record| record.memory_bytes),
        timeout_ms: record.map_or(0, |record| record.timeout_ms),
        env: record.map(|record| record.user_env.clone()).unwrap_or_default(),
        port: record.map_or(0, |record| record.port),
        max_concurrency: record.map_or(0, |record| record.max_concurrency),
        package_sha256: record.map(|record| record.package_sha256.clone()).unwrap_or_default(),
        stats: app.backend.stats(&route.name),
    }
}
