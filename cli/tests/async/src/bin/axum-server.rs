//! An axum server on four threads: JSON, bodies in parts both ways, state, blocking work; ends in order on SIGTERM.
//! It listens on `$PORT` and says when it is ready.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_stream::wrappers::IntervalStream;

/// Requests for `/count` so far.
type Calls = Arc<AtomicU64>;

#[derive(Deserialize)]
struct Order {
    name: String,
    amounts: Vec<i64>,
}

#[derive(Serialize)]
struct Receipt {
    name: String,
    total: i64,
    largest: Option<i64>,
}

#[derive(Deserialize)]
struct Parts {
    parts: usize,
}

#[tokio::main(worker_threads = 4)]
async fn main() -> std::io::Result<()> {
    let routes = Router::new()
        .route("/", get(|| async { "axum\n" }))
        .route("/order", post(order))
        .route("/parts", get(parts))
        .route("/sum", post(sum))
        .route("/count", get(count))
        .route("/fibonacci/{n}", get(fibonacci))
        .with_state(Calls::default());
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let mut term = signal(SignalKind::terminate())?;
    println!("ready");
    let asked = async move {
        term.recv().await;
        println!("asked to stop");
    };
    axum::serve(listener, routes).with_graceful_shutdown(asked).await?;
    println!("stopped");
    Ok(())
}

async fn order(Json(order): Json<Order>) -> Json<Receipt> {
    let (total, largest) = (order.amounts.iter().sum(), order.amounts.iter().copied().max());
    Json(Receipt { name: order.name, total, largest })
}

/// A body whose parts come one after the other, a few milliseconds apart.
async fn parts(Query(Parts { parts }): Query<Parts>) -> Body {
    let ticks = IntervalStream::new(interval(Duration::from_millis(5))).take(parts);
    Body::from_stream(ticks.enumerate().map(|(n, _)| Ok::<_, Infallible>(format!("part {n}\n"))))
}

/// How many bytes there were, and their sum.
async fn sum(body: Body) -> Result<String, StatusCode> {
    let (mut bytes, mut sum) = (0, 0_u64);
    let mut parts = body.into_data_stream();
    while let Some(part) = next(&mut parts).await? {
        bytes += part.len();
        sum += part.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }
    Ok(format!("{bytes} {sum}\n"))
}

async fn next(
    parts: &mut (impl Stream<Item = Result<Bytes, axum::Error>> + Unpin),
) -> Result<Option<Bytes>, StatusCode> {
    parts.next().await.transpose().map_err(|_| StatusCode::BAD_REQUEST)
}

async fn count(State(calls): State<Calls>) -> String {
    format!("{}\n", calls.fetch_add(1, Ordering::Relaxed) + 1)
}

/// Computed on a thread for blocking work.
async fn fibonacci(Path(n): Path<u32>) -> Result<String, StatusCode> {
    if n > 32 {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    fn number(n: u32) -> u64 {
        if n < 2 { u64::from(n) } else { number(n - 1) + number(n - 2) }
    }
    let result = tokio::task::spawn_blocking(move || number(n)).await;
    result.map(|number| format!("{number}\n")).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
