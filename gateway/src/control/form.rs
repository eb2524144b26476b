//! A multipart form whose reader keeps little in memory: it would hold any number of bytes before it finds a field.

use crate::error::Failure;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use bytes::Bytes;
use hyper::body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Most bytes before a field: what comes ahead of the form, and the field's head.
const BETWEEN_MAX_BYTES: u64 = 16 << 10;

/// A form that is being received.
pub(crate) struct Form {
    multipart: Multipart,
    room: Arc<Room>,
    pause: Duration,
}

impl Form {
    /// The form that a request carries. `pause`: the longest wait for a field.
    pub(crate) async fn of(request: Request, pause: Duration) -> Result<Self, Failure> {
        let room = Arc::new(Room::default());
        let request =
            request.map(|body| Body::new(Metered { body, room: Arc::clone(&room), has_given: false }));
        let multipart = Multipart::from_request(request, &()).await;
        let multipart = multipart.map_err(|rejection| Failure::BadRequest(rejection.body_text()))?;
        Ok(Self { multipart, room, pause })
    }

    /// The next field, when its head has come. What is not read of the one before counts as what comes between.
    pub(crate) async fn next_field(&mut self) -> Result<Option<Field<'_>>, Failure> {
        self.room.set(BETWEEN_MAX_BYTES);
        let field = tokio::time::timeout(self.pause, self.multipart.next_field()).await;
        let field = field.map_err(|_| Failure::RequestTimeout(self.pause))?;
        self.room.set(u64::MAX);
        field.map_err(|error| if self.room.was_exceeded() { too_large() } else { malformed(error) })
    }
}

/// What a form that cannot be read is answered with.
pub(crate) fn malformed(error: MultipartError) -> Failure {
    Failure::BadRequest(format!("the form is malformed: {}", error.body_text()))
}

fn too_large() -> Failure {
    Failure::RequestTooLarge { what: "what the form has ahead of a field", limit_bytes: BETWEEN_MAX_BYTES }
}

/// How many bytes may still come.
#[derive(Default)]
struct Room {
    /// [`u64::MAX`] is any number.
    left: AtomicU64,
    was_exceeded: AtomicBool,
}

impl Room {
    fn set(&self, bytes: u64) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// Takes up so many bytes. Only when nothing was left before are they too many.
    fn take(&self, bytes: u64) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            self.was_exceeded.store(true, Ordering::Relaxed);
        } else if left != u64::MAX {
            self.set(left.saturating_sub(bytes));
        }
        left > 0
    }

    fn was_exceeded(&self) -> bool {
        self.was_exceeded.load(Ordering::Relaxed)
    }
}

/// A body that fails when more is wanted than may come. Whoever reads it looks at every frame before the next: what ends the
/// search for a field is found before the limit counts.
struct Metered {
    body: Body,
    room: Arc<Room>,
    /// The last frame has not been looked at.
    has_given: bool,
}

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map(Bytes::len);
        let Some(length) = length else { return Poll::Ready(frame) };
        if !self.room.take(length as u64) {
            return Poll::Ready(Some(Err(axum::Error::new(too_large()))));
        }
        self.has_given = true;
        Poll::Ready(frame)
    }
}
