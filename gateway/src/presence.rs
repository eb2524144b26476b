//! A client's connection that fails when the client does not do what it owes ([`Turn`]): when it leaves while nobody reads what
//! it has sent, which hyper would not notice, or when it takes too long to take its response.

use crate::turn::Turn;
use futures_util::FutureExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A connection to a client.
pub(crate) struct Attended {
    io: TokioIo<TcpStream>,
    turn: Turn,
    /// How long a client that sends nothing more may wait for an answer before it counts as gone.
    grace: Duration,
    /// hyper waits for what the client sends, and would notice that it leaves. It does not while it holds bytes of the next
    /// request.
    is_heard: bool,
    /// Only while the client owes something.
    attention: Option<Attention>,
}

/// What notices that a client does not do what it owes.
#[derive(Default)]
struct Attention {
    watch: Option<Watch>,
    limit: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Attended {
    pub(crate) fn new(stream: TcpStream, turn: Turn, grace: Duration) -> Self {
        Self { io: TokioIo::new(stream), turn, grace, is_heard: false, attention: None }
    }

    /// The connection itself.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.io.into_inner()
    }

    /// An error if the client does not do what it owes. hyper flushes whenever it has done something, so this is asked often.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.turn.has_terms() || self.is_ahead() { self.demand(cx) } else { Ok(()) }
    }

    /// Whether the client has sent more than the request that is answered.
    fn is_ahead(&self) -> bool {
        !self.is_heard && self.turn.is_answering()
    }

    /// Whether the client must stay, and when it must have taken the response.
    fn owed(&self) -> (bool, Option<Instant>) {
        let (stays, deadline) = self.turn.owed();
        (stays || self.is_ahead(), deadline)
    }

    #[cold]
    fn demand(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let (stays, deadline) = self.owed();
        let attention = self.attention.get_or_insert_default();
        attention.poll_limit(cx, deadline)?;
        if stays {
            return attention.poll_watch(cx, self.io.inner(), self.grace);
        }
        attention.watch = None;
        Ok(())
    }

    /// All that was to be written is: what the client owes may have ended with that.
    #[cold]
    fn flushed(&mut self) {
        self.turn.flushed();
        if self.owed() == (false, None) {
            self.attention = None;
        }
    }
}

impl Attention {
    fn poll_limit(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> io::Result<()> {
        if deadline != self.limit.as_ref().map(|(at, _)| *at) {
            self.limit = deadline.map(|at| (at, Box::pin(sleep_until(at))));
        }
        if let Some((_, limit)) = &mut self.limit
            && limit.as_mut().poll(cx).is_ready()
        {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client did not take its response in time",
            ));
        }
        Ok(())
    }

    /// A client that cannot be watched, for want of a descriptor, is served nevertheless.
    fn poll_watch(&mut self, cx: &mut Context<'_>, stream: &TcpStream, grace: Duration) -> io::Result<()> {
        if self.watch.is_none() {
            self.watch = Watch::of(stream).inspect_err(log_once).ok();
        }
        match self.watch.as_mut().map(|watch| watch.poll(cx, grace)) {
            Some(Poll::Ready(left)) => Err(left?),
            _ => Ok(()),
        }
    }
}

fn log_once(error: &io::Error) {
    static LOGGED: Once = Once::new();
    LOGGED.call_once(|| {
        tracing::warn!(%error, "a client cannot be watched: that it leaves may be noticed late; not said again");
    });
}

/// Looks at a socket without reading from it.
struct Watch {
    /// The client's socket once more.
    socket: TcpStream,
    /// The client sends nothing more: when that counts as having gone.
    farewell: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    fn of(stream: &TcpStream) -> io::Result<Self> {
        let socket = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        Ok(Self { socket: TcpStream::from_std(socket)?, farewell: None })
    }

    /// Ready when the client has gone.
    fn poll(&mut self, cx: &mut Context<'_>, grace: Duration) -> Poll<io::Result<io::Error>> {
        let farewell = match &mut self.farewell {
            Some(farewell) => farewell,
            none => {
                ready!(poll_closed(&self.socket, cx))?;
                let grace = if is_dead(&self.socket)? { Duration::ZERO } else { grace };
                none.insert(Box::pin(sleep(grace)))
            }
        };
        ready!(farewell.as_mut().poll(cx));
        Poll::Ready(Ok(io::Error::new(io::ErrorKind::ConnectionReset, "the client has left")))
    }
}

/// Ready when nothing more will come. What comes until then is left where it is.
fn poll_closed(socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        if let Some(state) = socket.ready(Interest::READABLE).now_or_never()
            && state?.is_read_closed()
        {
            return Poll::Ready(Ok(()));
        }
        // The next event is waited for. This is an error by design.
        let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

/// Whether neither direction is open.
fn is_dead(socket: &TcpStream) -> io::Result<bool> {
    let mut entry = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut entry, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(entry[0].revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

impl Read for Attended {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.is_heard = read.is_pending();
        ready!(read)?;
        let later = self.grace;
        let watch = self.attention.as_mut().and_then(|attention| attention.watch.as_mut());
        if let Some(farewell) = watch.and_then(|watch| watch.farewell.as_mut()) {
            // What it sent before is still being read, and hyper will come to the end.
            farewell.as_mut().reset(Instant::now() + later);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Attended {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if self.attention.is_some() {
            self.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::Watched;
    use bytes::Bytes;
    use http_body_util::Full;
    use std::task::Waker;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn attention_ends_with_the_response() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let turn = Turn::default();
        let mut attended = Attended::new(stream, turn.clone(), Duration::from_secs(600));
        let mut flush = || {
            let flushed = Pin::new(&mut attended).poll_flush(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(flushed, Poll::Ready(Ok(()))));
            attended.attention.as_ref().map(|now| (now.watch.is_some(), now.limit.is_some()))
        };
        turn.begin();
        assert_eq!(flush(), None);
        turn.must_stay();
        assert_eq!(flush(), Some((true, false)));
        turn.must_end_by(Instant::now() + Duration::from_secs(600));
        assert_eq!(flush(), Some((true, true)));
        drop(Watched::new(Full::<Bytes>::default(), &turn));
        assert_eq!(flush(), None);
        assert!(turn.is_nobodys());
        drop(client);
    }
}
