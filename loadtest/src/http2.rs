//! HTTP/2 without TLS, by prior knowledge (RFC 9113, 3.3).

use crate::call::Call;
use crate::failure::Failure;
use crate::http1::Answer;
use crate::socket::{Opened, Source, refused};
use crate::target::{Address, Target};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::error::Error;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Bytes that a server may send before they are read: of one stream, and of a connection.
const WINDOW: (u32, u32) = (256 << 10, 1 << 20);
/// Bytes of the headers of an answer.
const HEADERS_MAX: u32 = 64 << 10;
/// How long a connection waits when the server's queue is full.
const LATER: Duration = Duration::from_millis(1);

/// A request as HTTP/2 has it.
pub(crate) type Message = Request<Full<Bytes>>;

/// What sends requests.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// Writes a call; none if it cannot be.
pub(crate) fn message(call: &Call, target: &Target) -> Option<Message> {
    let host = call.headers.iter().find(|(name, _)| name == http::header::HOST);
    let host = host.map_or(Some(target.authority.as_str()), |(_, value)| value.to_str().ok())?;
    let uri: Uri = format!("http://{host}{}", call.path).parse().ok()?;
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    for (name, value) in call.headers.iter().filter(|(name, _)| name != http::header::HOST) {
        request.headers_mut().append(name, value.clone());
    }
    Some(request)
}

/// Tasks of this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Makes a connection.
pub(crate) async fn connect(address: &Address, source: &Rc<RefCell<Source>>) -> Result<Sender, Failure> {
    let fd = loop {
        let opened = crate::socket::connect(address, &mut source.borrow_mut())?;
        match opened {
            Opened::Now(fd) | Opened::Soon(fd) => break fd,
            Opened::Later => tokio::time::sleep(LATER).await,
        }
    };
    match address {
        Address::Tcp(_) => {
            let stream = TcpStream::from_std(fd.into()).map_err(|_| Failure::Exhausted)?;
            stream.writable().await.map_err(|_| Failure::Connect)?;
            made(stream.take_error())?;
            handshake(stream).await
        }
        Address::Unix(_) => {
            let stream = UnixStream::from_std(OwnedFd::into(fd)).map_err(|_| Failure::Exhausted)?;
            handshake(stream).await
        }
    }
}

fn made(error: std::io::Result<Option<std::io::Error>>) -> Result<(), Failure> {
    let Ok(None) = error else {
        let number = error.ok().flatten().and_then(|error| error.raw_os_error());
        return Err(
            number.map_or(Failure::Connect, |number| refused(rustix::io::Errno::from_raw_os_error(number)))
        );
    };
    Ok(())
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Result<Sender, Failure> {
    let mut builder = Builder::new(Local);
    builder.initial_stream_window_size(WINDOW.0).initial_connection_window_size(WINDOW.1);
    builder.max_header_list_size(HEADERS_MAX);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| failure(&error))?;
    tokio::task::spawn_local(async move {
        // Its end is seen by those who use it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Sends a request and reads the answer; `keep` gets the parts of its body.
pub(crate) async fn exchange(
    sender: &mut Sender,
    message: &Message,
    mut keep: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Answer, Failure> {
    let response = sender.send_request(message.clone()).await.map_err(|error| failure(&error))?;
    let status = response.status().as_u16();
    let mut start = [0; 12];
    if let Some(value) = response.headers().get("x-spore-start") {
        let len = value.len().min(start.len());
        start[..len].copy_from_slice(&value.as_bytes()[..len]);
    }
    let mut incoming = response.into_body();
    let mut body_bytes = 0;
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.map_err(|error| failure(&error))?.into_data() {
            body_bytes += data.len() as u64;
            keep(&data)?;
        }
    }
    // The library takes a stream or a connection that ends "without an error" for the end of the body.
    if !incoming.is_end_stream() {
        return Err(Failure::Truncated);
    }
    Ok(Answer { status, start, body_bytes })
}

/// What an error of the protocol's library means.
fn failure(error: &hyper::Error) -> Failure {
    let cause = error.source();
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<h2::Error>()) {
        return match error.get_io() {
            Some(io) if is_end(io) => Failure::Truncated,
            Some(_) => Failure::Broken,
            None if error.is_library() => Failure::Protocol,
            None => Failure::Broken,
        };
    }
    match cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(io) if !is_end(io) => Failure::Broken,
        _ if error.is_parse() => Failure::Protocol,
        _ => Failure::Truncated,
    }
}

/// Whether the server ended the connection. The library says "broken pipe" then, and in the middle of a frame "bytes remaining", which
/// is of no kind.
fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, Other, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | BrokenPipe | Other)
}
