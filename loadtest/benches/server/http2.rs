//! The same over HTTP/2: holds its requests until all are there.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::sync::Barrier;

/// Serves for ever. A connection may have `streams` requests under way.
pub(crate) fn serve(listener: std::net::TcpListener, hold: usize, streams: u32) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let barrier = Arc::new(Barrier::new(hold.max(1)));
    let answer = move |_: Request<Incoming>| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }
    };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let io = TokioIo::new(listener.accept().await?.0);
            let mut server = Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(streams);
            // Its end is seen by the client.
            drop(tokio::spawn(server.serve_connection(io, service_fn(answer.clone()))));
        }
    })
}
