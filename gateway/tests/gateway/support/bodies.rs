//! Requests that go on while their function runs.

use bytes::Bytes;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use worker::api::{Broken, Feed, FeedKind, InvokeError, Parts, Piece};

/// Bytes of a part of what floods the client.
const FLOOD: usize = 1 << 20;

/// A request with all of its body, as it comes.
pub(crate) async fn whole(payload: Bytes, feed: Option<Feed>) -> Result<Vec<u8>, InvokeError> {
    let mut all = payload.to_vec();
    let Some(mut feed) = feed.filter(|feed| feed.kind == FeedKind::Body) else { return Ok(all) };
    while let Some(piece) = next(&mut feed).await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

async fn next(feed: &mut Feed) -> Result<Option<Bytes>, InvokeError> {
    match poll_fn(|context| feed.source.poll_piece(context)).await {
        None => Ok(None),
        Some(Ok(piece)) => Ok(Some(piece)),
        Some(Err(Broken::Gone)) => Err(InvokeError::GuestFault("nobody is there".to_owned())),
        Some(Err(Broken::Refused(why))) => Err(InvokeError::BodyRefused(why)),
    }
}

/// An answer that says in how many pieces a body in chunks came, and how many bytes of data it had.
pub(crate) async fn count(feed: Option<Feed>) -> Result<Vec<u8>, InvokeError> {
    let mut feed = feed.expect("the body is streamed");
    let (mut pieces, mut data) = (0, 0);
    while let Some(piece) = next(&mut feed).await? {
        pieces += 1;
        let mut rest = &piece[..];
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            data += size;
            rest = &rest[end + 2 + size + 2..];
        }
        assert!(rest.is_empty(), "a piece is whole chunks");
    }
    let text = format!("{pieces} {data}");
    Ok(format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes())
}

/// An answer that has begun while its request goes on, if it is one to this path. `dropped`: gets a permit when nobody wants any
/// more.
pub(crate) fn goes_on(
    path: &str,
    feed: &mut Option<Feed>,
    dropped: &Arc<Semaphore>,
) -> Option<(Vec<u8>, Parts)> {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: raw\r\nconnection: upgrade\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
    let is_begun = path == "/begin";
    let (head, floods) = match path {
        "/begin" => (chunked, false),
        "/upgrade/silent" | "/upgrade/late" => (switch, false),
        "/upgrade/flood" => (switch, true),
        _ => return None,
    };
    let far = Duration::from_secs(if floods { 0 } else { 3600 });
    let (sender, parts) = Parts::channel(Instant::now() + far);
    let (mut feed, dropped) = (feed.take(), Arc::clone(dropped));
    tokio::spawn(async move {
        while let (true, Some(reading)) = (is_begun, &mut feed) {
            match next(reading).await {
                Ok(Some(_)) => {}
                Ok(None) => feed = None,
                Err(error) => return drop(sender.send(Piece::End(Err(error))).await),
            }
        }
        while floods && sender.send(Piece::Part(vec![0; FLOOD].into())).await.is_ok() {}
        sender.closed().await;
        dropped.add_permits(1);
        drop((sender, feed));
    });
    Some((head.as_bytes().to_vec(), parts))
}

/// An HTTP server that answers with the request it got, chunked.
pub(crate) fn server(request: &[u8]) -> Vec<u8> {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut slots);
    let length = head.parse(request).unwrap().unwrap();
    match head.path.unwrap() {
        "/garbage" => return b"this is not HTTP\r\n\r\n".to_vec(),
        "/short" => return b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
        "/empty" => return Vec::new(),
        _ => {}
    }
    if head.method == Some("HEAD") {
        return b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n".to_vec();
    }
    let mut response =
        b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\nx-server: test\r\nconnection: close\r\n\r\n"
            .to_vec();
    for part in [&request[..length], &request[length..]] {
        if !part.is_empty() {
            response.extend(format!("{:x}\r\n", part.len()).bytes());
            response.extend(part);
            response.extend(b"\r\n");
        }
    }
    response.extend(b"0\r\n\r\n");
    response
}
