//! Answers in parts. What comes is told by the path.

use std::sync::Arc;
use tokio::sync::Semaphore;
use worker::api::{InvokeError, Parts, Piece, Timing};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-server: test\r\n\r\n";

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
    let (sender, parts) = Parts::channel();
    let (release, dropped) = (path.ends_with("/steps").then(|| release.clone()), dropped.clone());
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
    Some((first.into_bytes(), parts))
}
