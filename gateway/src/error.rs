//! Every failure the gateway can answer with, and the one place where a failure becomes an HTTP response.

use crate::api::{ErrorBody, ErrorDetail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use std::time::Duration;
use worker::api::InvokeError;

/// A failure, as the client sees it. Nothing here may tell more than a client should know.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    BadRequest(String),
    #[error("{message}")]
    InvalidParameter { message: String, hint: String },
    #[error("there is no function named `{0}`")]
    FunctionNotFound(String),
    #[error("there is no route `{0}`")]
    RouteNotFound(String),
    #[error("`{path}` does not take {method}")]
    MethodNotAllowed { method: String, path: String },
    #[error("the request body did not arrive in time (limit {0:?})")]
    RequestTimeout(Duration),
    #[error("a deploy or removal of `{0}` is already running")]
    DeployInProgress(String),
    #[error("{what} is larger than {limit_bytes} bytes")]
    RequestTooLarge { what: &'static str, limit_bytes: u64 },
    #[error("the function was not deployed: {reason}")]
    DeployRefused { reason: String, output: String },
    #[error("the platform is at its limit of {limit} requests in flight")]
    PlatformOverloaded { limit: usize },
    #[error("the function is at its limit of {limit} upgraded connections")]
    UpgradesFull { limit: usize },
    #[error("nothing went over the upgraded connection for {0:?}")]
    UpgradeIdle(Duration),
    #[error("the function raised {kind}: {message}")]
    FunctionError { kind: String, message: String },
    #[error("the function's response cannot be used: {0}")]
    InvalidResponse(String),
    #[error("{0}")]
    Invoke(#[from] InvokeError),
    #[error("the platform failed: {0}")]
    Platform(String),
    #[error("the platform is shutting down")]
    ShuttingDown,
}

impl Failure {
    /// A parameter that is understood but cannot be used.
    pub(crate) fn parameter(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::InvalidParameter { message: message.into(), hint: hint.into() }
    }

    /// Status and stable code.
    pub(crate) fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::InvalidParameter { .. } => (StatusCode::BAD_REQUEST, "InvalidParameter"),
            Self::FunctionNotFound(_) => (StatusCode::NOT_FOUND, "FunctionNotFound"),
            Self::RouteNotFound(_) => (StatusCode::NOT_FOUND, "RouteNotFound"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::RequestTimeout(_) => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
            Self::DeployInProgress(_) => (StatusCode::CONFLICT, "DeployInProgress"),
            Self::RequestTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge"),
            Self::DeployRefused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "DeployRefused"),
            Self::PlatformOverloaded { .. } | Self::UpgradesFull { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "Overloaded")
            }
            Self::UpgradeIdle(_) => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
            Self::FunctionError { kind, .. } if kind == "MemoryError" => {
                (StatusCode::BAD_GATEWAY, "FunctionOutOfMemory")
            }
            Self::FunctionError { .. } => (StatusCode::BAD_GATEWAY, "FunctionError"),
            Self::InvalidResponse(_) => (StatusCode::BAD_GATEWAY, "InvalidResponse"),
            Self::Invoke(error) => invoke_code(error),
            Self::Platform(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Platform"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "ShuttingDown"),
        }
    }

    /// What the client can do about it.
    fn hint(&self) -> String {
        let text = match self {
            Self::InvalidParameter { hint, .. } => return hint.clone(),
            Self::BadRequest(_) => "Correct the request; sending it again unchanged will fail again.",
            Self::FunctionNotFound(_) => {
                "List the functions with `spore ls`, or deploy it with `spore deploy`."
            }
            Self::RouteNotFound(_) => {
                "Functions answer at /function/NAME; the control API is described at /openapi.json."
            }
            Self::MethodNotAllowed { .. } => "The control API is described at /openapi.json.",
            Self::RequestTimeout(_) => "Send the whole body without long pauses.",
            Self::DeployInProgress(_) => "Wait until it has finished, then try again.",
            Self::RequestTooLarge { .. } => "Send less, or pass a reference to the data.",
            Self::DeployRefused { output, .. } if output.is_empty() => {
                "Correct the package or the settings and deploy again."
            }
            Self::DeployRefused { .. } => "Correct what the program's output says and deploy again.",
            Self::PlatformOverloaded { .. } | Self::UpgradesFull { .. } => "Try again later.",
            Self::UpgradeIdle(_) => "Let one side send something now and then, a ping for instance.",
            Self::FunctionError { .. } => "The traceback is in the function's logs: `spore logs NAME`.",
            Self::InvalidResponse(_) => {
                "Return a JSON value, or an object with statusCode, headers and a string body."
            }
            Self::Invoke(error) => invoke_hint(error),
            Self::Platform(_) => "See the platform's own log.",
            Self::ShuttingDown => "Try again once it has been started anew.",
        };
        text.to_owned()
    }

    /// When to try again, if that can help.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Invoke(
                InvokeError::Overloaded { retry_after, .. }
                | InvokeError::WorkerOverloaded { retry_after, .. },
            ) => Some(*retry_after),
            Self::PlatformOverloaded { .. }
            | Self::UpgradesFull { .. }
            | Self::ShuttingDown
            | Self::DeployInProgress(_)
            | Self::Invoke(InvokeError::NotReady(_) | InvokeError::ShuttingDown) => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// The response: an [`ErrorBody`] with its status.
    pub(crate) fn into_response(self, request_id: &str) -> Response<Full<Bytes>> {
        let (status, code) = self.code();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(request_id, error = %self, "request failed");
        }
        let retry_after = self.retry_after();
        let mut detail = ErrorDetail {
            code: code.to_owned(),
            message: self.to_string(),
            hint: self.hint(),
            error_type: String::new(),
            output: String::new(),
            request_id: request_id.to_owned(),
        };
        match self {
            Self::FunctionError { kind, message } => {
                detail.message =
                    if message.is_empty() { format!("the function raised {kind}") } else { message };
                detail.error_type = kind;
            }
            Self::DeployRefused { output, .. } => detail.output = output,
            _ => {}
        }
        let body = serde_json::to_vec(&ErrorBody { error: detail }).expect("strings always encode");
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(delay) = retry_after {
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// Status and code of a failed invocation. No wildcard: a new error must decide here.
fn invoke_code(error: &InvokeError) -> (StatusCode, &'static str) {
    match error {
        InvokeError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "FunctionTimeout"),
        InvokeError::BodyTimeout(_) => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
        InvokeError::BodyRefused(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
        InvokeError::Exited { .. } => (StatusCode::BAD_GATEWAY, "FunctionExited"),
        InvokeError::Killed { .. } => (StatusCode::BAD_GATEWAY, "FunctionKilled"),
        InvokeError::OutOfMemory { .. } => (StatusCode::BAD_GATEWAY, "FunctionOutOfMemory"),
        InvokeError::ResponseTooLarge { .. } => (StatusCode::BAD_GATEWAY, "ResponseTooLarge"),
        InvokeError::GuestFault(_) => (StatusCode::BAD_GATEWAY, "FunctionFault"),
        InvokeError::Overloaded { .. } | InvokeError::WorkerOverloaded { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "Overloaded")
        }
        InvokeError::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "FunctionNotReady"),
        InvokeError::RequestTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge"),
        InvokeError::Platform(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Platform"),
        InvokeError::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "ShuttingDown"),
    }
}

fn invoke_hint(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::Timeout(_) => "Make it faster, or deploy it with a longer --timeout.",
        InvokeError::BodyTimeout(_) => {
            "Send the body faster, or deploy the function with a longer --timeout: it runs while the body arrives."
        }
        InvokeError::BodyRefused(_) => "Correct the request; sending it again unchanged will fail again.",
        InvokeError::Exited { .. } => "Let the program answer instead of exiting; see `spore logs NAME`.",
        InvokeError::Killed { .. } => "See `spore logs NAME` for what it printed before.",
        InvokeError::OutOfMemory { .. } => "Use less memory, or deploy it with a larger --memory.",
        InvokeError::ResponseTooLarge { .. } => "Return less, or a reference to the data.",
        InvokeError::GuestFault(_) => "See `spore logs NAME`; if the program is innocent, report this.",
        InvokeError::Overloaded { .. } | InvokeError::WorkerOverloaded { .. } => {
            "Try again after the time in Retry-After."
        }
        InvokeError::NotReady(_) => "Deploy it again, or see `spore logs NAME` for why it does not start.",
        InvokeError::RequestTooLarge { .. } => "Send less, or pass a reference to the data.",
        InvokeError::Platform(_) => "See the platform's own log.",
        InvokeError::ShuttingDown => "Try again once it has been started anew.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn answer(failure: Failure) -> (u16, Option<String>, ErrorDetail) {
        let response = failure.into_response("id-1");
        let retry = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body: ErrorBody = serde_json::from_slice(&bytes).unwrap();
        (status, retry, body.error)
    }

    fn every_invoke_error() -> Vec<(InvokeError, u16, &'static str)> {
        let second = Duration::from_millis(1500);
        vec![
            (InvokeError::Timeout(second), 504, "FunctionTimeout"),
            (InvokeError::BodyTimeout(second), 408, "RequestTimeout"),
            (InvokeError::BodyRefused(String::new()), 400, "BadRequest"),
            (InvokeError::Exited { status: 3 }, 502, "FunctionExited"),
            (InvokeError::Killed { number: 11, name: "SIGSEGV".into(), address: 16 }, 502, "FunctionKilled"),
            (InvokeError::OutOfMemory { limit_bytes: 1 }, 502, "FunctionOutOfMemory"),
            (InvokeError::ResponseTooLarge { limit_bytes: 1 }, 502, "ResponseTooLarge"),
            (InvokeError::GuestFault("x".into()), 502, "FunctionFault"),
            (InvokeError::Overloaded { limit: 1, retry_after: second }, 429, "Overloaded"),
            (InvokeError::WorkerOverloaded { limit: 1, retry_after: second }, 429, "Overloaded"),
            (InvokeError::NotReady("x".into()), 503, "FunctionNotReady"),
            (InvokeError::RequestTooLarge { limit_bytes: 1 }, 413, "RequestTooLarge"),
            (InvokeError::Platform("x".into()), 500, "Platform"),
            (InvokeError::ShuttingDown, 503, "ShuttingDown"),
        ]
    }

    #[tokio::test]
    async fn every_invoke_error_has_its_status_code_and_hint() {
        for (error, status, code) in every_invoke_error() {
            let text = error.to_string();
            let (got_status, retry, detail) = answer(Failure::Invoke(error)).await;
            assert_eq!((got_status, detail.code.as_str()), (status, code));
            assert_eq!(detail.message, text);
            assert_eq!(detail.request_id, "id-1");
            assert!(!detail.hint.is_empty());
            assert_eq!(retry.is_some(), status == 429 || status == 503, "{code}");
        }
    }

    #[tokio::test]
    async fn retry_after_is_rounded_up_to_whole_seconds() {
        let overloaded = |millis| {
            let retry_after = Duration::from_millis(millis);
            Failure::Invoke(InvokeError::Overloaded { limit: 1, retry_after })
        };
        assert_eq!(answer(overloaded(1500)).await.1.as_deref(), Some("2"));
        assert_eq!(answer(overloaded(0)).await.1.as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn a_function_error_keeps_type_and_message() {
        let failure = Failure::FunctionError { kind: "ValueError".into(), message: "no".into() };
        let (status, _, detail) = answer(failure).await;
        assert_eq!((status, detail.code.as_str()), (502, "FunctionError"));
        assert_eq!((detail.error_type.as_str(), detail.message.as_str()), ("ValueError", "no"));
        let memory = Failure::FunctionError { kind: "MemoryError".into(), message: String::new() };
        let (_, _, detail) = answer(memory).await;
        assert_eq!(detail.code, "FunctionOutOfMemory");
        assert_eq!(detail.message, "the function raised MemoryError");
    }

    #[tokio::test]
    async fn a_refused_deploy_carries_the_output_of_the_program() {
        let failure = Failure::DeployRefused { reason: "exit 1".into(), output: "Traceback".into() };
        let (status, _, detail) = answer(failure).await;
        assert_eq!(
            (status, detail.code.as_str(), detail.output.as_str()),
            (422, "DeployRefused", "Traceback")
        );
    }
}
