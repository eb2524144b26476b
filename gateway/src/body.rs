//! Receiving a request's body within its limits.

use crate::config::BODY_MAX_BYTES;
use crate::error::Failure;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::time::Duration;

/// A body over the limit is still taken in, up to this many bytes, so that the client gets to read the answer:
/// closing a connection with unread data would destroy it.
const DRAIN_MAX_BYTES: u64 = 32 << 20;

/// The whole body, at most [`BODY_MAX_BYTES`].
pub(crate) async fn read(mut body: Incoming, headers: &HeaderMap, pause: Duration) -> Result<Bytes, Failure> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > BODY_MAX_BYTES {
        // A client that waits for `100 Continue` has sent nothing yet.
        if !headers.contains_key(EXPECT) {
            drain(body, 0, pause).await;
        }
        return Err(too_large());
    }
    let Some(first) = next(&mut body, pause).await? else { return Ok(Bytes::new()) };
    if body.is_end_stream() && first.len() as u64 <= BODY_MAX_BYTES {
        return Ok(first);
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut whole = BytesMut::with_capacity(first.len() + announced);
    whole.extend_from_slice(&first);
    while let Some(more) = next(&mut body, pause).await? {
        if (whole.len() + more.len()) as u64 > BODY_MAX_BYTES {
            drain(body, (whole.len() + more.len()) as u64, pause).await;
            return Err(too_large());
        }
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

/// The next piece of data; trailers are dropped.
async fn next(body: &mut Incoming, pause: Duration) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame =
            tokio::time::timeout(pause, body.frame()).await.map_err(|_| Failure::RequestTimeout(pause))?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => {
                return Err(Failure::BadRequest(format!("the request body is malformed: {error}")));
            }
        }
    }
}

/// Takes in what nobody wants.
pub(crate) async fn drain(mut body: Incoming, mut taken: u64, pause: Duration) {
    while taken <= DRAIN_MAX_BYTES {
        match next(&mut body, pause).await {
            Ok(Some(data)) => taken += data.len() as u64,
            Ok(None) | Err(_) => return,
        }
    }
}

fn too_large() -> Failure {
    Failure::RequestTooLarge { what: "the request body", limit_bytes: BODY_MAX_BYTES }
}
