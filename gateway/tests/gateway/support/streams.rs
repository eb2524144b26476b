//! Answers in parts. What comes is told by the path.

use bytes::Bytes;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use worker::api::{InvokeError, Parts, Piece, Timing};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-server: test\r\n\r\n";

/// A chunk of 64 KiB.
static FLOOD: LazyLock<Bytes> = LazyLock::new(|| format!("10000\r\n{}\r\n", "x".repeat(1 << 16)).into());

/// The first part of the answer and what follows; nothing if the answer to this path is whole. `release`: a permit lets one
/// part of `/stream/steps` go. `dropped`: gets a permit when nobody wants any more.
pub(crate) fn answer(
    path: &str,
    release: &Arc<Semaphore>,
    dropped: &Arc<Semaphore>,
) -> Option<(Vec<u8>, Parts)> {
    let chunked = |rest: &str| format!("{CHUNKED}{rest}");
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234".to_owned();
    let ended = || Piece::End(Ok(Timing::default()));
    let part = |text: &'static str| Piece::Part(text.into());
    let (first, pieces) = match path.strip_prefix("/stream/")? {
        "steps" => {
            (chunked(""), vec![part("3\r\none\r\n"), part("3\r\ntwo\r\n"), part("0\r\n\r\n"), ended()])
        }
        "split" => {
            (chunked("1"), vec![part("0\r\n01234"), part("56789abcdef\r"), part("\n0\r\n\r\n"), ended()])
        }
        "length" => (length, vec![part("567"), part("89"), ended()]),
        "close" => ("HTTP/1.0 200 OK\r\n\r\nuntil ".to_owned(), vec![part("the end"), ended()]),
        "head" => {
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_owned(), vec![part("0123456789"), ended()])
        }
        // A body that looks like what hyper says by itself.
        "poison/steps" => (
            "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nx".to_owned(),
            vec![part("HTTP/1.1 400 x\r\n\r\n"), ended()],
        ),
        // More than sockets hold: 64 MiB.
        "flood" => (chunked(""), (0..1024).map(|_| Piece::Part(FLOOD.clone())).collect()),
        "empty" => ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), vec![part("x"), ended()]),
        "dies" => (chunked("3\r\none\r\n"), vec![Piece::End(Err(InvokeError::Exited { status: 3 }))]),
        "lost" => (chunked("3\r\none\r\n"), Vec::new()),
        "nonsense" => (chunked("3\r\none\r\n"), vec![part("zz\r\n"), ended()]),
        "early" => (chunked("3\r\none\r\n"), vec![ended()]),
        "short" => (length, vec![part("567"), ended()]),
        "long" => (length, vec![part("56789ab"), ended()]),
        "split-head" => ("HTTP/1.1 200 OK\r\n".to_owned(), vec![part("\r\n"), ended()]),
        "garbage" => ("hello\r\n\r\n".to_owned(), vec![ended()]),
        _ => return None,
    };
    Some((
        first.into_bytes(),
        send(pieces, (path.ends_with("/steps"), path == "/stream/flood"), release, dropped),
    ))
}

/// The same for answers of the Runtime API.
pub(crate) fn posted(
    path: &str,
    release: &Arc<Semaphore>,
    dropped: &Arc<Semaphore>,
) -> Option<(Vec<u8>, Parts)> {
    const LINE: &str = "chunks application/vnd.awslambda.http-integration-response\n";
    const HEAD: [&str; 2] = ["1f\r\n{\"statusCode\":418,\"coo", "kies\":[]}\r\n8\r\n\0\0\0\0\0\0\0\0\r\n"];
    let (head, line) = (HEAD.concat(), LINE);
    let ended = || Piece::End(Ok(Timing::default()));
    let part = |text: &'static str| Piece::Part(text.into());
    let whole = |rest: &str| format!("{line}{head}{rest}");
    let (first, pieces) = match path.strip_prefix("/stream/")? {
        "steps" => (
            line.to_owned(),
            vec![part(HEAD[0]), part(HEAD[1]), part("3\r\none\r\n"), part("0\r\n\r\n"), ended()],
        ),
        "at-once" => (whole("3\r\none\r\n"), vec![part("0\r\n\r\n"), ended()]),
        "bodiless" => (
            format!("{line}12\r\n{{\"statusCode\":204}}\r\n8\r\n\0\0\0\0\0\0\0\0\r\n"),
            vec![part("1\r\na\r\n0\r\n\r\n"), ended()],
        ),
        "breaks" => (
            whole("3\r\none\r\n"),
            vec![part("0\r\nLambda-Runtime-Function-Error-Type: Broke\r\n\r\n"), ended()],
        ),
        "abandoned" => (whole("3\r\none\r\n"), vec![part("5\r\nha"), ended()]),
        "early" => {
            (line.to_owned(), vec![part("0\r\nLambda-Runtime-Function-Error-Type: Early\r\n\r\n"), ended()])
        }
        "never" => (line.to_owned(), vec![part("2\r\n{}\r\n0\r\n\r\n"), ended()]),
        "exits" => (line.to_owned(), vec![Piece::End(Err(InvokeError::Exited { status: 3 }))]),
        _ => return None,
    };
    Some((
        first.into_bytes(),
        send(pieces, (path.ends_with("/steps"), path == "/stream/flood"), release, dropped),
    ))
}

/// Sends the pieces; `waits`: for a permit before each.
fn send(
    pieces: Vec<Piece>,
    (waits, floods): (bool, bool),
    release: &Arc<Semaphore>,
    dropped: &Arc<Semaphore>,
) -> Parts {
    let (sender, parts) = Parts::channel(Instant::now() + Duration::from_secs(if floods { 0 } else { 3600 }));
    let (release, dropped) = (waits.then(|| release.clone()), dropped.clone());
    tokio::spawn(async move {
        for piece in pieces {
            let step = async {
                if let Some(release) = &release {
                    release.acquire().await.unwrap().forget();
                }
            };
            tokio::select! {
                () = step => {}
                () = sender.closed() => {}
            }
            if sender.send(piece).await.is_err() {
                return dropped.add_permits(1);
            }
        }
    });
    parts
}
