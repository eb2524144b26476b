use super::*;
use crate::host::fleet::Fleet;
use crate::host::places::Places;
use crate::host::shells::{Shells, Take};
use crate::message;
use crate::protocol::write_frame;
use std::os::unix::net::UnixStream as StdStream;

/// More than fits into a socket that nobody reads.
const LARGE: usize = 4 << 20;

fn shells(totals: Arc<Totals>) -> Arc<Shells> {
    Shells::new(totals, Arc::new(Fleet::new(100)))
}

fn pair() -> (UnixStream, StdStream) {
    let (ours, theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (UnixStream::from_std(ours).unwrap(), theirs)
}

/// Sends `payload` to a shell that behaves as `shell` does: whether it was all taken, and how it ended.
async fn converse(payload: usize, shell: impl FnOnce(StdStream)) -> (bool, io::Result<News>) {
    let (mut ours, theirs) = pair();
    shell(theirs);
    let mut log = LogWriter::new(Arc::new(Totals::default()), "r".to_owned());
    let sent = send(&mut ours, Kind::Request, &Bytes::from(vec![7; payload])).await.unwrap();
    (sent, Frames::default().done(&mut ours, &mut log).await)
}

#[tokio::test]
async fn a_shell_that_is_gone_before_it_has_the_request_did_not_begin_it() {
    for payload in [1, LARGE] {
        let (sent, end) = converse(payload, drop).await;
        assert!(!sent && end.is_err(), "{payload}");
    }
    // It goes while the request is in its socket.
    let (mut ours, theirs) = pair();
    assert!(send(&mut ours, Kind::Request, &Bytes::from_static(b"request")).await.unwrap());
    drop(theirs);
    let mut log = LogWriter::new(Arc::new(Totals::default()), "r".to_owned());
    let Err(error) = Frames::default().done(&mut ours, &mut log).await else { panic!("it said something") };
    assert!(is_unread(&error), "{error}");
}

#[tokio::test]
async fn a_shell_that_had_the_request_may_have_begun_it() {
    let (mut ours, mut theirs) = pair();
    assert!(send(&mut ours, Kind::Request, &Bytes::from_static(b"request")).await.unwrap());
    assert_eq!(message::read(&mut theirs).unwrap(), Some((Kind::Request, b"request".to_vec())));
    drop(theirs);
    let mut log = LogWriter::new(Arc::new(Totals::default()), "r".to_owned());
    let Err(error) = Frames::default().done(&mut ours, &mut log).await else { panic!("it said something") };
    assert!(!is_unread(&error), "{error}");
}

#[tokio::test]
async fn last_words_are_heard_even_if_the_request_was_not() {
    for payload in [1, LARGE] {
        let gone = |mut socket: StdStream| {
            write_frame(&mut socket, &Frame::Gone("unfit".to_owned()), &[], &[]).unwrap();
        };
        let (_, end) = converse(payload, gone).await;
        assert!(matches!(end, Ok(News::Gone(reason)) if reason == "unfit"), "{payload}");
    }
}

#[tokio::test]
async fn an_idle_shell_that_has_spoken_is_not_used_again() {
    let shells = shells(Arc::new(Totals::default()));
    let (first, _, fit) = shells.add(false).unwrap();
    let (second, _, unfit) = shells.add(false).unwrap();
    let (third, _, closed) = shells.add(false).unwrap();
    let first_id = first.id;
    for shell in [first, second, third] {
        shells.put_back(shell);
    }
    write_frame(&mut StdStream::from(unfit), &Frame::Gone(String::new()), &[], &[]).unwrap();
    drop(closed);
    let Take::Shell(taken) = shells.take() else { panic!("one is fit") };
    assert_eq!(taken.id, first_id);
    drop(taken);
    assert!(matches!(shells.take(), Take::Wait { make: true, .. }));
    assert!(shells.states().is_empty(), "all are dropped by now");
    drop(fit);
}

#[tokio::test]
async fn trimming_forgets_shells_that_are_gone() {
    let totals = Arc::new(Totals::default());
    let shells = shells(totals.clone());
    let (kept, _, fit) = shells.add(false).unwrap();
    let (lost, _, closed) = shells.add(false).unwrap();
    shells.put_back(kept);
    shells.put_back(lost);
    drop(closed);
    shells.trim();
    assert_eq!(shells.states().len(), 1);
    assert_eq!(totals.snapshot().shells, 1);
    drop(fit);
}

#[tokio::test]
async fn a_shell_that_says_nonsense_is_killed_and_its_place_taken_until_it_ends() {
    let (totals, fleet) = (Arc::new(Totals::default()), Arc::new(Fleet::new(100)));
    let shells = Shells::new(totals.clone(), fleet.clone());
    let (shell, _, end) = shells.add(false).unwrap();
    let (id, mut end) = (shell.id, StdStream::from(end));
    let (cell, mut commands, _alive) = Cell::without_process(shells);
    let places = Places::new(1, fleet);
    let place = places.place(Duration::ZERO, false).await.unwrap();
    let log = LogWriter::new(totals.clone(), "r".to_owned());
    let run = Run::new(Arc::new(cell), totals, shell, log, (place, None), Duration::from_secs(60));
    // Out of turn: it has a request. It goes on all the same.
    write_frame(&mut end, &Frame::Ready, &[], &[]).unwrap();
    let (ran, permit, _) = run.complete(&Bytes::from_static(b"request")).await;
    assert!(matches!(ran, Ran::Lost(_)) && permit.is_none());
    assert!(matches!(commands.try_recv(), Ok((Command::Kill { id: killed }, _)) if killed == id));
    assert!(places.place(Duration::ZERO, false).await.is_err(), "it still computes");
    drop(end);
    assert!(places.place(Duration::from_secs(10), false).await.is_ok());
}
