use super::*;
use crate::api::{Source, StartKind};
use crate::host::totals::Totals;
use crate::message;
use crate::protocol::{Begun, Frame, write_frame};
use std::collections::VecDeque;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Pieces that are there.
struct Pieces(VecDeque<Result<Bytes, Broken>>);

impl Source for Pieces {
    fn poll_piece(&mut self, _context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn feeding(pieces: Vec<Result<Bytes, Broken>>) -> Feeding {
    Feeding::new(Some(Feed { kind: FeedKind::Body, source: Box::new(Pieces(pieces.into())) }))
}

fn part() -> Frame {
    Frame::Part(Begun { start: StartKind::New, fork_ns: 0, run_ns: 0, instance: [0; 16] })
}

/// Says frames without waiting for an answer.
fn say(socket: &mut StdStream, frames: &[Frame]) {
    frames.iter().for_each(|frame| write_frame(socket, frame, &[], &[]).unwrap());
}

/// What a worker hears of a shell that behaves as `shell` does.
async fn heard(
    mut feeding: Feeding,
    shell: impl FnOnce(StdStream) + Send + 'static,
) -> (io::Result<News>, Feeding) {
    let (ours, theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut ours = UnixStream::from_std(ours).unwrap();
    let shell = std::thread::spawn(move || shell(theirs));
    let mut log = LogWriter::new(Arc::new(Totals::default()), "r".to_owned());
    let news = feeding.news(&mut ours, &mut Frames::default(), &mut log).await;
    drop(ours);
    shell.join().unwrap();
    (news, feeding)
}

/// The next message a shell gets when it asks.
fn ask(socket: &mut StdStream) -> (Kind, Vec<u8>) {
    say(socket, &[Frame::Want]);
    message::read(socket).unwrap().unwrap()
}

#[tokio::test]
async fn each_wish_is_answered_with_one_piece() {
    let large = vec![3; PIECE_MAX];
    let feeding = feeding(vec![Ok(Bytes::from_static(b"one")), Ok(large.clone().into())]);
    let news = heard(feeding, move |mut socket| {
        assert_eq!(ask(&mut socket), (Kind::Input, b"one".to_vec()));
        assert_eq!(ask(&mut socket), (Kind::Input, large));
        assert_eq!(ask(&mut socket), (Kind::Input, Vec::new()));
        say(&mut socket, &[part()]);
    });
    let (news, mut feeding) = news.await;
    assert!(matches!(news, Ok(News::Part(..))));
    assert!(feeding.is_whole() && !feeding.is_awaited() && feeding.take().is_none(), "it is over");
    assert!(feeding.was_asked(), "nobody else may have the rest");
}

#[tokio::test]
async fn a_client_that_is_gone_is_told_and_what_is_refused_ends_the_request() {
    let gone = feeding(vec![Err(Broken::Gone)]);
    let news = heard(gone, |mut socket| {
        assert_eq!(ask(&mut socket), (Kind::Gone, Vec::new()));
        say(&mut socket, &[part()]);
    });
    assert!(matches!(news.await.0, Ok(News::Part(..))));
    let news = heard(feeding(vec![Err(Broken::Refused("too large".to_owned()))]), |mut socket| {
        say(&mut socket, &[Frame::Want]);
        assert!(message::read(&mut socket).unwrap().is_none(), "it stays until it is let go");
    });
    assert!(matches!(news.await.0, Ok(News::Refused(why)) if why == "too large"));
}

#[tokio::test]
async fn wishes_out_of_turn_end_the_shell() {
    let news = heard(Feeding::new(None), |mut socket| say(&mut socket, &[Frame::Want]));
    assert!(news.await.0.is_err(), "the request is whole");
    let news = heard(feeding(Vec::new()), |mut socket| {
        assert_eq!(ask(&mut socket), (Kind::Input, Vec::new()));
        say(&mut socket, &[Frame::Want]);
    });
    assert!(news.await.0.is_err(), "it is over");
    let mut waiting = Feeding { wanted: true, ..feeding(Vec::new()) };
    assert!(waiting.is_awaited() && waiting.want().is_err(), "it was asked for");
}

#[tokio::test]
async fn pieces_that_break_the_rules_are_not_passed_on() {
    let large = feeding(vec![Ok(vec![0; PIECE_MAX + 1].into())]);
    assert!(heard(large, |mut socket| say(&mut socket, &[Frame::Want])).await.0.is_err());
}

#[tokio::test]
async fn a_shell_that_does_not_read_is_heard_all_the_same() {
    let feeding = feeding(vec![Ok(Bytes::from(vec![0; PIECE_MAX]))]);
    let news = heard(feeding, |mut socket| {
        // It asked, and answers without having looked: neither fits into the socket.
        say(&mut socket, &[Frame::Want]);
        write_frame(&mut socket, &part(), &vec![0; 4 << 20], &[]).unwrap();
    });
    assert!(matches!(news.await.0, Ok(News::Part(_, bytes)) if bytes.len() == 4 << 20));
}

#[tokio::test]
async fn a_message_that_was_taken_in_part_is_known() {
    let (ours, _theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut ours = UnixStream::from_std(ours).unwrap();
    let mut feeding = feeding(Vec::new());
    while feeding.is_whole() {
        feeding.send(Some(Ok(Bytes::from(vec![0; PIECE_MAX])))).unwrap();
        let Feeding { sending, .. } = &mut feeding;
        // Nobody reads: at some point a write would wait.
        tokio::select! {
            biased;
            () = pass_on(sending, &mut ours) => *sending = None,
            () = std::future::ready(()) => {}
        }
    }
    assert!(feeding.sending.is_some_and(|message| message.remaining() > 0));
}
