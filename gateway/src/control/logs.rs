//! The log of a function as lines of JSON.

use super::functions::find;
use crate::app::App;
use crate::error::Failure;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::CONTENT_TYPE;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use worker::api::LogLine;

const TAIL_DEFAULT: usize = 100;
const TAIL_MAX: usize = 10_000;

pub(super) async fn logs(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Failure> {
    let (follow, tail) = parse(&query)?;
    find(&app, &name)?;
    let (lines, receiver) = app.backend.logs(&name, tail);
    let last = lines.last().map(|line| line.seq);
    let past = stream::iter(lines.into_iter().map(|line| encode(&line)));
    let body = if follow {
        Body::from_stream(
            past.chain(following(receiver, last, app.stopping.clone())).map(Ok::<_, Infallible>),
        )
    } else {
        Body::from_stream(past.map(Ok::<_, Infallible>))
    };
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn parse(query: &HashMap<String, String>) -> Result<(bool, usize), Failure> {
    let hint = "Use follow=true or follow=false, and tail=NUMBER.";
    let (mut follow, mut tail) = (false, TAIL_DEFAULT);
    for (name, value) in query {
        let flag = match value.as_str() {
            "true" | "1" | "" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        match (name.as_str(), flag, value.parse::<usize>()) {
            ("follow", Some(flag), _) => follow = flag,
            ("tail", _, Ok(number)) => tail = number.min(TAIL_MAX),
            _ => {
                let shown: String = format!("{name}={value}").chars().take(64).collect();
                let message = format!("the parameter `{}` is not understood", shown.escape_debug());
                return Err(Failure::parameter(message, hint));
            }
        }
    }
    Ok((follow, tail))
}

/// Lines after `last` as they come, until the function or the gateway is gone.
fn following(
    receiver: Receiver<LogLine>,
    last: Option<u64>,
    stopping: CancellationToken,
) -> impl stream::Stream<Item = Bytes> {
    stream::unfold((receiver, last, stopping), |(mut receiver, mut last, stopping)| async move {
        loop {
            let received = tokio::select! {
                received = receiver.recv() => received,
                () = stopping.cancelled() => return None,
            };
            match received {
                Ok(line) if last.is_some_and(|last| line.seq <= last) => {}
                Ok(line) => {
                    last = Some(line.seq);
                    return Some((encode(&line), (receiver, last, stopping)));
                }
                Err(RecvError::Lagged(count)) => {
                    return Some((encode(&missed(count, last)), (receiver, last, stopping)));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

/// What a reader that was too slow is told.
fn missed(count: u64, last: Option<u64>) -> LogLine {
    LogLine {
        seq: last.unwrap_or(0),
        ts: jiff::Timestamp::now().to_string(),
        stream: "system".to_owned(),
        request_id: String::new(),
        line: format!("{count} lines were left out: they came faster than they were read"),
    }
}

fn encode(line: &LogLine) -> Bytes {
    let mut bytes = serde_json::to_vec(line).expect("strings and numbers always encode");
    bytes.push(b'\n');
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::broadcast;

    fn line(seq: u64) -> LogLine {
        LogLine {
            seq,
            ts: String::new(),
            stream: "stdout".into(),
            request_id: String::new(),
            line: String::new(),
        }
    }

    #[tokio::test]
    async fn following_skips_what_was_seen_and_tells_what_was_missed() {
        let (sender, receiver) = broadcast::channel(2);
        for seq in 1..=5 {
            sender.send(line(seq)).unwrap();
        }
        let stream = following(receiver, Some(4), CancellationToken::new());
        drop(sender);
        let lines: Vec<LogLine> = stream.map(|bytes| serde_json::from_slice(&bytes).unwrap()).collect().await;
        assert_eq!(lines.len(), 2);
        assert!(lines[0].stream == "system" && lines[0].line.starts_with("3 lines"));
        assert_eq!(lines[1].seq, 5);
    }

    #[tokio::test]
    async fn following_ends_with_the_gateway() {
        let (_sender, receiver) = broadcast::channel(2);
        let stopping = CancellationToken::new();
        stopping.cancel();
        assert_eq!(following(receiver, None, stopping).count().await, 0);
    }

    #[test]
    fn parameters_are_checked() {
        let parse = |pairs: &[(&str, &str)]| {
            parse(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()).ok()
        };
        assert_eq!(parse(&[]), Some((false, 100)));
        assert_eq!(parse(&[("follow", "true"), ("tail", "5")]), Some((true, 5)));
        assert_eq!(parse(&[("tail", "99999999")]), Some((false, TAIL_MAX)));
        for bad in [("follow", "yes"), ("tail", "-1"), ("tail", "x"), ("other", "1")] {
            assert_eq!(parse(&[bad]), None, "{bad:?}");
        }
    }
}
