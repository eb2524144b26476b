//! One request in one shell: sent, awaited, and ended whatever happens to whoever waits.

use super::cell::Cell;
use super::feeding::Feeding;
use super::make;
use super::places::Place;
use super::shells::Shell;
use super::totals::Totals;
use crate::api::{Feed, StartKind};
use crate::logs::LogWriter;
use crate::message::{Kind, prefix};
use crate::protocol::{Begun, Command, Done, FRAME_PREFIX, Frame, FrameLengths};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a killed shell has to report its end before its whole cell is given up.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(15);

/// How a run ended, for the one who waits.
pub(super) enum Ran {
    /// The guest came to an end, good or bad.
    Done(Done, Bytes),
    /// It has begun to answer, with this part, and goes on.
    Begun(Begun, Bytes, Box<Run>),
    /// It did not within the time.
    TimedOut,
    /// It did not, and waited for the rest of its request.
    Starved,
    /// The rest of its request was refused, for this reason.
    Refused(String),
    /// The shell was gone before it began; another may be tried.
    NotBegun(String),
    /// The shell went away without a word before it had the whole request: most likely its cell is ending.
    NotTaken(String),
    /// The shell went away in the middle.
    Lost(String),
}

/// A request that runs. Dropping it destroys the VM.
pub(super) struct Run {
    cell: Arc<Cell>,
    totals: Arc<Totals>,
    log: Option<LogWriter>,
    shell: Option<Shell>,
    frames: Frames,
    feeding: Feeding,
    permit: Option<Place>,
    deadline: Instant,
}

impl Run {
    /// A request for `shell`, which has `limit` from now on.
    pub(super) fn new(
        cell: Arc<Cell>,
        totals: Arc<Totals>,
        shell: Shell,
        log: LogWriter,
        (permit, feed): (Place, Option<Feed>),
        limit: Duration,
    ) -> Self {
        Self {
            cell,
            totals,
            log: Some(log),
            shell: Some(shell),
            frames: Frames::default(),
            feeding: Feeding::new(feed),
            permit: Some(permit),
            deadline: Instant::now() + limit,
        }
    }

    /// When it must have ended.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sends the request and waits for its end, or for the first part of its answer. Gives back the permit and what the request
    /// goes on with if the shell was gone before the request began.
    pub(super) async fn complete(mut self, payload: &Bytes) -> (Ran, Option<Place>, Option<Feed>) {
        let (Some(shell), Some(log)) = (&mut self.shell, &mut self.log) else {
            return (Ran::Lost("the shell is in use".to_owned()), self.permit.take(), None);
        };
        let start = shell.start;
        let (frames, feeding) = (&mut self.frames, &mut self.feeding);
        let work = async {
            let sent = send(&mut shell.socket, Kind::of_request(feeding.kind()), payload).await?;
            Ok::<_, io::Error>((sent, feeding.news(&mut shell.socket, frames, log).await))
        };
        let ran = match timeout_at(self.deadline, work).await {
            Err(_) => {
                self.totals.forked(start);
                return (self.timed_out(), None, None); // dropping `self` kills the VM
            }
            Ok(Err(error)) => Ran::Lost(error.to_string()),
            Ok(Ok((_, Ok(News::Part(mut begun, bytes))))) => {
                begun.start = shell.start_of(begun.start);
                self.totals.forked(begun.start);
                return (Ran::Begun(begun, bytes, Box::new(self)), None, None);
            }
            Ok(Ok((_, Ok(News::Refused(why))))) => {
                self.totals.forked(start);
                return (Ran::Refused(why), None, None);
            }
            Ok(Ok((_, Ok(News::Done(mut done, payload))))) => {
                done.begun.start = shell.start_of(done.begun.start);
                Ran::Done(done, payload)
            }
            Ok(Ok((_, Ok(News::Gone(reason))))) => Ran::NotBegun(reason),
            Ok(Ok((_, Ok(News::Want)))) => Ran::Lost("a wish was passed on".to_owned()),
            Ok(Ok((sent, Err(error)))) if !feeding.was_asked() && (!sent || is_unread(&error)) => {
                Ran::NotTaken(error.to_string())
            }
            Ok(Ok((_, Err(error)))) => self.lost(&error),
        };
        match &ran {
            Ran::Done(done, _) => self.totals.forked(done.begun.start),
            Ran::Lost(_) => self.totals.forked(start),
            _ => {}
        }
        self.finish(&ran);
        if matches!(ran, Ran::Lost(_)) {
            return (ran, None, None); // dropping `self` kills the VM, which may still run
        }
        (ran, self.permit.take(), self.feeding.take())
    }

    /// Waits for the next part of the answer, or for its end. May be given up and called again.
    pub(super) async fn go_on(&mut self) -> Next {
        let (Some(shell), Some(log)) = (&mut self.shell, &mut self.log) else {
            return Next::End(Ran::Lost("the shell is in use".to_owned()));
        };
        let news = self.feeding.news(&mut shell.socket, &mut self.frames, log);
        let ran = match timeout_at(self.deadline, news).await {
            Err(_) => return Next::End(self.timed_out()),
            Ok(Ok(News::Refused(why))) => return Next::End(Ran::Refused(why)),
            Ok(Ok(News::Want)) => Ran::Lost("a wish was passed on".to_owned()),
            Ok(Ok(News::Part(_, bytes))) => return Next::Part(bytes),
            Ok(Ok(News::Done(done, payload))) => Ran::Done(done, payload),
            Ok(Ok(News::Gone(reason))) => Ran::Lost(reason),
            Ok(Err(error)) => self.lost(&error),
        };
        self.finish(&ran);
        Next::End(ran)
    }

    fn timed_out(&self) -> Ran {
        if self.feeding.is_awaited() { Ran::Starved } else { Ran::TimedOut }
    }

    fn lost(&self, error: &io::Error) -> Ran {
        let what = if self.cell.is_gone() { "its cell process ended: " } else { "" };
        Ran::Lost(format!("{what}{error}"))
    }

    /// The shell has said its last word about the request, unless it was lost: that is for dropping to find out.
    fn finish(&mut self, ran: &Ran) {
        if matches!(ran, Ran::Lost(_)) {
            return;
        }
        if let Some(log) = &mut self.log {
            log.finish();
        }
        let shell = self.shell.take();
        if let Ran::Done(done, _) = ran {
            self.totals.done(done);
            self.keep(shell, done);
        }
    }

    /// Puts the shell where the next request finds it, if it can be used again.
    fn keep(&mut self, shell: Option<Shell>, done: &Done) {
        let Some(mut shell) = shell else { return };
        if !self.feeding.is_whole() {
            // It waits for the rest of a message that nobody sends.
            return;
        }
        if done.again {
            shell.start = StartKind::Remapped;
            let frames = std::mem::take(&mut self.frames);
            tokio::spawn(make::take_ready(self.cell.clone(), shell, frames));
        } else if done.kept && self.frames.is_empty() {
            // What would follow the answer says that the VM could not be restored.
            self.cell.shells.put_back(shell);
        }
    }
}

/// What comes next of an answer that has begun.
pub(super) enum Next {
    Part(Bytes),
    End(Ran),
}

impl Drop for Run {
    /// The request was not seen to its end: kill the VM, and hear out what it still has to say.
    fn drop(&mut self) {
        let (Some(mut shell), Some(mut log)) = (self.shell.take(), self.log.take()) else { return };
        self.cell.command(Command::Kill { id: shell.id }, Vec::new());
        let (cell, totals, permit) = (self.cell.clone(), self.totals.clone(), self.permit.take());
        let mut frames = std::mem::take(&mut self.frames);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // A request that was sent in part is not to be waited for. The socket may be closed already.
            let _ = shell.socket.shutdown().await;
            match timeout(KILL_PATIENCE, frames.last_words(&mut shell.socket, &mut log)).await {
                Ok(Some(done)) => totals.done(&done),
                Ok(None) => {}
                Err(_) => {
                    tracing::error!(
                        pid = cell.pid,
                        shell = shell.id,
                        "a VM could not be ended; its cell is killed"
                    );
                    cell.kill_process();
                }
            }
            log.finish();
            drop(shell);
            drop(permit);
        });
    }
}

/// Whether an error says that the other end was closed before it had read all that was sent. (A Unix socket that is
/// closed with nothing left to read is an end of file instead.)
fn is_unread(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionReset
}

/// Sends a request; false if the shell went away before it had all of it.
async fn send(socket: &mut UnixStream, kind: Kind, payload: &Bytes) -> io::Result<bool> {
    let prefix = prefix(kind, payload.len())?;
    let mut message = Buf::chain(&prefix[..], payload.clone());
    while message.has_remaining() {
        match socket.write_buf(&mut message).await {
            // The shell is gone; what it said before it went is still to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe || is_unread(&error) => return Ok(false),
            written => written?,
        };
    }
    Ok(true)
}

/// What a shell says of the request it has.
pub(super) enum News {
    Part(Begun, Bytes),
    /// The program wants more of its request.
    Want,
    /// The rest of the request was refused, for this reason.
    Refused(String),
    Done(Done, Bytes),
    Gone(String),
}

/// Reads frames.
#[derive(Default)]
pub(super) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// Whether nothing was received that has not been looked at.
    fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Waits until a shell says that it can take a request; the reason if it cannot.
    pub(super) async fn ready(&mut self, socket: &mut UnixStream) -> io::Result<Result<(), String>> {
        let (frame, _, _) = self.next(socket).await?;
        match frame {
            Frame::Ready if self.is_empty() => Ok(Ok(())),
            Frame::Gone(reason) => Ok(Err(reason)),
            Frame::Ready | Frame::Log | Frame::Part(_) | Frame::Want | Frame::Done(_) => {
                Err(io::Error::other("a shell spoke out of turn"))
            }
        }
    }

    /// Reads until the request is over; log goes to `log` on the way, parts of the answer go nowhere, wishes are not heard.
    async fn done(&mut self, socket: &mut UnixStream, log: &mut LogWriter) -> io::Result<News> {
        loop {
            match self.news(socket, log).await? {
                News::Part(..) | News::Want | News::Refused(_) => {}
                end => return Ok(end),
            }
        }
    }

    /// Reads until the request is over or the shell has closed its socket, whatever it says that nobody understands.
    async fn last_words(&mut self, socket: &mut UnixStream, log: &mut LogWriter) -> Option<Done> {
        match self.done(socket, log).await {
            Ok(News::Done(done, _)) => Some(done),
            Ok(_) => None,
            Err(_) => {
                // However the socket ends, the shell has ended with it.
                let _ = tokio::io::copy(socket, &mut tokio::io::sink()).await;
                None
            }
        }
    }

    /// Reads until there is something of the answer; log goes to `log` on the way. May be given up and called again.
    pub(super) async fn news(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        log: &mut LogWriter,
    ) -> io::Result<News> {
        loop {
            let (frame, payload, text) = self.next(socket).await?;
            log.write(&text);
            match frame {
                Frame::Log => {}
                Frame::Ready => return Err(io::Error::other("a shell spoke out of turn")),
                Frame::Part(begun) => return Ok(News::Part(begun, payload)),
                Frame::Want => return Ok(News::Want),
                Frame::Done(done) => return Ok(News::Done(done, payload)),
                Frame::Gone(reason) => return Ok(News::Gone(reason)),
            }
        }
    }

    async fn next(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> io::Result<(Frame, Bytes, Bytes)> {
        self.fill(socket, FRAME_PREFIX).await?;
        let mut prefix = [0; FRAME_PREFIX];
        prefix.copy_from_slice(&self.buffer[..FRAME_PREFIX]);
        let lengths = FrameLengths::parse(&prefix)?;
        self.fill(socket, FRAME_PREFIX + lengths.total()).await?;
        // Only now is anything consumed, so a wait that is given up loses nothing.
        self.buffer.advance(FRAME_PREFIX);
        let head = self.buffer.split_to(lengths.head);
        let payload = self.buffer.split_to(lengths.payload).freeze();
        let log = self.buffer.split_to(lengths.log).freeze();
        let frame = postcard::from_bytes(&head).map_err(io::Error::other)?;
        Ok((frame, payload, log))
    }

    async fn fill(&mut self, socket: &mut (impl AsyncRead + Unpin), bytes: usize) -> io::Result<()> {
        while self.buffer.len() < bytes {
            self.buffer.reserve((bytes - self.buffer.len()).max(16 << 10));
            if socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the shell closed its socket"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
