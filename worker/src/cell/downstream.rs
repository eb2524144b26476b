//! What the worker says to one shell: requests, and what the one that runs goes on with.

use crate::message::{self, Kind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use snapshotter::drive::Input;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// What the program is told when the client has gone: `ECONNRESET`.
const RESET: u32 = 104;

/// Bytes that are read at once of what a request goes on with.
const READ_MAX: usize = 64 << 10;

/// The way from the worker.
pub(super) struct Downstream<'a> {
    socket: &'a UnixStream,
    reader: BufReader<&'a UnixStream>,
    /// What has come of a message that the request goes on with.
    partial: Vec<u8>,
    /// The request that runs goes on.
    goes_on: bool,
    /// The worker was asked and has not answered.
    asked: bool,
}

impl<'a> Downstream<'a> {
    pub(super) fn new(socket: &'a UnixStream) -> Self {
        let (reader, partial) = (BufReader::new(socket), Vec::new());
        Self { socket, reader, partial, goes_on: false, asked: false }
    }

    /// The next request; nothing when there will be none. What is left of the one before is forgotten.
    pub(super) fn request(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let partial = std::mem::take(&mut self.partial);
        let mut reader = partial.chain(&mut self.reader);
        let message = loop {
            match message::read(&mut reader)? {
                Some((kind, _)) if !kind.is_request() => {}
                message => break message,
            }
        };
        self.goes_on = matches!(message, Some((Kind::Body | Kind::Connection, _)));
        self.asked = false;
        Ok(message)
    }

    /// Waits for more of the request, at most until `until`. `ask` is called if the worker does not know yet that more is
    /// wanted. An error means that the worker does not want the request any more.
    pub(super) fn input(
        &mut self,
        until: Option<Instant>,
        ask: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Input> {
        if !self.goes_on {
            return Ok(Input::Never);
        }
        if !self.asked {
            ask()?;
            self.asked = true;
        }
        let Some(message) = self.message(until)? else { return Ok(Input::NotYet) };
        self.asked = false;
        let input = match message {
            (Kind::Input, bytes) if bytes.is_empty() => Input::End,
            (Kind::Input, bytes) => Input::Data(bytes),
            (Kind::Gone, _) => Input::Error(RESET),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        self.goes_on = matches!(input, Input::Data(_));
        Ok(input)
    }

    /// What the worker says next, if it has said all of it by then. What has come of it is kept.
    fn message(&mut self, until: Option<Instant>) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let ahead = self.reader.buffer().len();
        self.partial.extend_from_slice(self.reader.buffer());
        self.reader.consume(ahead);
        loop {
            if let Some(len) = message::whole(&self.partial) {
                let message = message::read(&mut &self.partial[..len])?;
                self.partial.drain(..len);
                return Ok(message);
            }
            if !self.wait(until)? {
                return Ok(None);
            }
            self.receive()?;
        }
    }

    /// Takes what is there.
    fn receive(&mut self) -> io::Result<()> {
        self.partial.reserve(READ_MAX);
        let room = rustix::buffer::spare_capacity(&mut self.partial);
        match recv(self.socket, room, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the worker has said something; whether it has.
    fn wait(&self, until: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            // A time that cannot be represented is as good as never.
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(self.socket, PollFlags::IN)], timeout.as_ref()) {
                Err(Errno::INTR) => {}
                ready => return Ok(ready? > 0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    /// A shell's end of a socket on which this was said.
    fn told(messages: &[(Kind, &[u8])]) -> (UnixStream, UnixStream) {
        let (mut worker, shell) = UnixStream::pair().unwrap();
        for (kind, payload) in messages {
            worker.write_all(&message::prefix(*kind, payload.len()).unwrap()).unwrap();
            worker.write_all(payload).unwrap();
        }
        (worker, shell)
    }

    /// What there is at once.
    fn now(downstream: &mut Downstream<'_>, asked: &mut u32) -> io::Result<Input> {
        downstream.input(Some(Instant::now()), || {
            *asked += 1;
            Ok(())
        })
    }

    #[test]
    fn each_piece_is_asked_for_once() {
        let (mut worker, shell) = told(&[(Kind::Body, b"POST")]);
        let (mut downstream, mut asked) = (Downstream::new(&shell), 0);
        assert_eq!(downstream.request().unwrap().unwrap(), (Kind::Body, b"POST".to_vec()));
        for _ in 0..3 {
            assert_eq!(now(&mut downstream, &mut asked).unwrap(), Input::NotYet);
        }
        assert_eq!(asked, 1);
        for (payload, input) in [(&b"more"[..], Input::Data(b"more".to_vec())), (b"", Input::End)] {
            worker.write_all(&message::prefix(Kind::Input, payload.len()).unwrap()).unwrap();
            worker.write_all(payload).unwrap();
            assert_eq!(now(&mut downstream, &mut asked).unwrap(), input);
        }
        assert_eq!((now(&mut downstream, &mut asked).unwrap(), asked), (Input::Never, 2));
    }

    #[test]
    fn a_piece_that_has_come_in_part_does_not_hold_up_who_waits_for_the_time() {
        let (mut worker, shell) = told(&[(Kind::Body, b"POST")]);
        let (mut downstream, mut asked) = (Downstream::new(&shell), 0);
        downstream.request().unwrap();
        let piece = [&message::prefix(Kind::Input, 4).unwrap()[..], b"more"].concat();
        for byte in &piece[..11] {
            worker.write_all(std::slice::from_ref(byte)).unwrap();
            assert_eq!(now(&mut downstream, &mut asked).unwrap(), Input::NotYet);
        }
        worker.write_all(&piece[11..]).unwrap();
        assert_eq!(now(&mut downstream, &mut asked).unwrap(), Input::Data(b"more".to_vec()));
        assert_eq!(asked, 1);
        // One that nobody waits for any more is forgotten, however much of it was looked at.
        worker.write_all(&piece[..10]).unwrap();
        assert_eq!(now(&mut downstream, &mut asked).unwrap(), Input::NotYet);
        worker.write_all(&piece[10..]).unwrap();
        worker.write_all(&message::prefix(Kind::Request, 0).unwrap()).unwrap();
        assert_eq!(downstream.request().unwrap().unwrap(), (Kind::Request, Vec::new()));
    }

    #[test]
    fn what_is_left_of_a_request_is_forgotten() {
        let said = [(Kind::Input, &b"late"[..]), (Kind::Gone, b""), (Kind::Request, b"GET")];
        let (worker, shell) = told(&said);
        let (mut downstream, mut asked) = (Downstream::new(&shell), 0);
        assert_eq!(downstream.request().unwrap().unwrap(), (Kind::Request, b"GET".to_vec()));
        assert_eq!((now(&mut downstream, &mut asked).unwrap(), asked), (Input::Never, 0));
        drop(worker);
        assert!(downstream.request().unwrap().is_none());
    }

    #[test]
    fn a_client_that_is_gone_is_an_error_for_the_program_and_a_worker_that_is_gone_is_the_end() {
        let (worker, shell) = told(&[(Kind::Connection, b""), (Kind::Gone, b"")]);
        let mut downstream = Downstream::new(&shell);
        downstream.request().unwrap();
        assert_eq!(now(&mut downstream, &mut 0).unwrap(), Input::Error(RESET));
        drop(worker);
        for rest in [&b""[..], b"half"] {
            let (mut worker, shell) = told(&[(Kind::Body, b"")]);
            let mut downstream = Downstream::new(&shell);
            downstream.request().unwrap();
            worker.write_all(rest).unwrap();
            drop(worker);
            let far = Some(Instant::now() + Duration::from_secs(60));
            assert!(downstream.input(far, || Ok(())).is_err());
        }
        let (_worker, shell) = told(&[(Kind::Body, b""), (Kind::Request, b"out of turn")]);
        let mut downstream = Downstream::new(&shell);
        downstream.request().unwrap();
        assert!(now(&mut downstream, &mut 0).is_err());
    }
}
