//! Bytes of a guest -> HTTP response. Every byte is hostile; whatever cannot be mapped is
//! [`Failure::InvalidResponse`] with the reason. Pure.

mod decoder;
mod fields;
pub(crate) mod lambda;
pub(crate) mod runtime_api;
mod stream;
pub(crate) mod wire;

pub(crate) use decoder::Decoder;
pub(crate) use stream::Beginning;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// A response of a function, checked.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Final status: 200 to 599, or 101.
    pub status: StatusCode,
    /// End-to-end fields only.
    pub headers: HeaderMap,
    /// The whole body; empty where the status forbids one.
    pub body: Bytes,
}

/// Whether a response with this status never has a body.
pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT)
}

/// A status a function may answer with. 1xx is never final, so it is refused.
fn final_status(number: u16) -> Option<StatusCode> {
    StatusCode::from_u16(number).ok().filter(|status| (200..600).contains(&status.as_u16()))
}

use crate::error::Failure;

/// The guest's answer cannot be used.
pub(crate) fn invalid(reason: impl Into<String>) -> Failure {
    Failure::InvalidResponse(reason.into())
}
