//! The control plane: `/v1/*` and the operational endpoints.

mod form;
mod functions;
mod logs;
mod operations;
mod upload;

pub(crate) use upload::Upload;

use crate::app::App;
use crate::error::Failure;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use std::sync::Arc;

/// Every route of the control plane with its methods, as `/openapi.json` must describe them.
#[cfg(test)]
pub(crate) const ROUTES: [(&str, &[&str]); 11] = [
    ("/", &["get"]),
    ("/healthz", &["get"]),
    ("/readyz", &["get"]),
    ("/metrics", &["get"]),
    ("/version", &["get"]),
    ("/openapi.json", &["get"]),
    ("/v1/functions", &["get"]),
    ("/v1/functions/{name}", &["get", "put", "delete"]),
    ("/v1/functions/{name}/logs", &["get"]),
    ("/v1/vms", &["get"]),
    ("/function/{name}", &["get", "post", "put", "patch", "delete", "head", "options"]),
];

/// The router of the control plane.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(operations::index))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/version", get(operations::version))
        .route("/openapi.json", get(operations::openapi))
        .route("/v1/functions", get(functions::list))
        .route(
            "/v1/functions/{name}",
            put(functions::deploy).get(functions::describe).delete(functions::remove),
        )
        .route("/v1/functions/{name}/logs", get(logs::logs))
        .route("/v1/vms", get(functions::vms))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(app)
}

async fn not_found(request: Request) -> Failure {
    Failure::RouteNotFound(request.uri().path().chars().take(128).collect())
}

async fn method_not_allowed(request: Request) -> Failure {
    let path = request.uri().path().chars().take(128).collect();
    Failure::MethodNotAllowed { method: request.method().to_string(), path }
}

/// The body is made where the request's id is known.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.code().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod openapi_tests;
