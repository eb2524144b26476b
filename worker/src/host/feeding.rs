//! The worker's side of a request that goes on: a piece for each time the shell wants one.

use super::run::{Frames, News};
use crate::api::{Broken, Feed, FeedKind, PIECE_MAX};
use crate::logs::LogWriter;
use crate::message::{Kind, prefix};
use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use std::future::poll_fn;
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// A message on its way to the shell.
type Message = Chain<Bytes, Bytes>;

/// What a request goes on with, and how far it has come.
#[derive(Default)]
pub(super) struct Feeding {
    feed: Option<Feed>,
    /// The shell wants a piece that has not come.
    wanted: bool,
    /// What the shell has not taken yet.
    sending: Option<Message>,
    /// The shell has wanted a piece: it has taken the request.
    was_asked: bool,
}

impl Feeding {
    pub(super) fn new(feed: Option<Feed>) -> Self {
        Self { feed, ..Self::default() }
    }

    /// What the request goes on with.
    pub(super) fn kind(&self) -> Option<FeedKind> {
        self.feed.as_ref().map(|feed| feed.kind)
    }

    /// Whether the program waits for more of its body.
    pub(super) fn is_awaited(&self) -> bool {
        self.wanted && self.kind() == Some(FeedKind::Body)
    }

    /// Whether the shell has wanted more of the request. Then nobody else may be given what is left of it.
    pub(super) fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// Whether the shell has all or nothing of each message.
    pub(super) fn is_whole(&self) -> bool {
        self.sending.is_none()
    }

    /// What nothing was taken of, for another try.
    pub(super) fn take(&mut self) -> Option<Feed> {
        self.feed.take()
    }

    /// Waits until the shell says something of the answer, and gives it what it wants meanwhile. May be given up and called again.
    pub(super) async fn news(
        &mut self,
        socket: &mut UnixStream,
        frames: &mut Frames,
        log: &mut LogWriter,
    ) -> io::Result<News> {
        let (mut from, mut to) = socket.split();
        loop {
            let Self { feed, wanted, sending, .. } = self;
            tokio::select! {
                news = frames.news(&mut from, log) => match news? {
                    News::Want => self.want()?,
                    news => return Ok(news),
                },
                piece = next_piece(feed), if *wanted => match piece {
                    Some(Err(Broken::Refused(why))) => return Ok(News::Refused(why)),
                    piece => self.send(piece)?,
                },
                () = pass_on(sending, &mut to), if sending.is_some() => *sending = None,
            }
        }
    }

    /// A shell asks once, and only for what there can be.
    fn want(&mut self) -> io::Result<()> {
        if self.feed.is_none() || self.wanted || self.sending.is_some() {
            return Err(io::Error::other("a shell asked for more of its request out of turn"));
        }
        self.wanted = true;
        self.was_asked = true;
        Ok(())
    }

    fn send(&mut self, piece: Option<Result<Bytes, Broken>>) -> io::Result<()> {
        let (kind, bytes) = match piece {
            Some(Ok(bytes)) => (Kind::Input, bytes),
            Some(Err(_)) => (Kind::Gone, Bytes::new()),
            None => (Kind::Input, Bytes::new()),
        };
        if bytes.len() > PIECE_MAX || (bytes.is_empty() && self.feed.is_none()) {
            return Err(io::Error::other("a piece of a request is too large, or one follows its end"));
        }
        if bytes.is_empty() {
            self.feed = None;
        }
        self.wanted = false;
        self.sending = Some(Bytes::copy_from_slice(&prefix(kind, bytes.len())?).chain(bytes));
        Ok(())
    }
}

async fn next_piece(feed: &mut Option<Feed>) -> Option<Result<Bytes, Broken>> {
    match feed {
        Some(feed) => poll_fn(|context| feed.source.poll_piece(context)).await,
        None => None,
    }
}

/// Writes what is left of a message. What a shell that has gone does not take is not missed: it says why.
async fn pass_on(message: &mut Option<Message>, socket: &mut (impl AsyncWrite + Unpin)) {
    let Some(message) = message else { return };
    while message.has_remaining() {
        if socket.write_buf(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
