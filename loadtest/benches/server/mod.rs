//! A trivial HTTP/1.1 server on one thread: as little work as can be for each request, so that it is the client that is measured.

pub(crate) mod http2;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const LISTENER: u64 = u64::MAX;

/// Connections by number, those that are closed included.
struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<OwnedFd>>,
    /// Requests that are held before all are answered at once; 0 answers each as it comes.
    hold: usize,
    held: Vec<usize>,
}

/// Serves for ever.
pub(crate) fn serve(listener: TcpListener, hold: usize) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // std listens with a queue of 128; listening again makes it longer.
    rustix::net::listen(&listener, 65_535)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut server = Server { listener, epoll, connections: Vec::new(), hold, held: Vec::new() };
    let mut events = Vec::with_capacity(1024);
    let mut room = vec![0; 16 << 10];
    loop {
        match epoll::wait(&server.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            match usize::try_from(event.data.u64()) {
                Ok(index) if event.data.u64() != LISTENER => server.answer(index, &mut room),
                _ => server.accept()?,
            }
        }
    }
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        while let Ok(fd) = accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            let data = epoll::EventData::new_u64(self.connections.len() as u64);
            epoll::add(&self.epoll, &fd, data, epoll::EventFlags::IN)?;
            self.connections.push(Some(fd));
        }
        Ok(())
    }

    fn answer(&mut self, index: usize, room: &mut [u8]) {
        let Some(fd) = &self.connections[index] else { return };
        let count = match recv(fd, &mut *room, RecvFlags::empty()) {
            Ok((count, _)) if count > 0 => count,
            Err(Errno::AGAIN | Errno::INTR) => return,
            _ => {
                self.connections[index] = None;
                return;
            }
        };
        // Requests here have no body and come whole.
        let requests = room[..count].windows(4).filter(|part| part == b"\r\n\r\n").count();
        if self.hold > 0 {
            self.held.extend(std::iter::repeat_n(index, requests));
            if self.held.len() < self.hold {
                return;
            }
            for index in std::mem::take(&mut self.held) {
                self.send(index);
            }
        } else {
            (0..requests).for_each(|_| self.send(index));
        }
    }

    fn send(&mut self, index: usize) {
        let sent = self.connections[index].as_ref().map(|fd| send(fd, ANSWER, SendFlags::NOSIGNAL));
        if !matches!(sent, Some(Ok(count)) if count == ANSWER.len()) {
            self.connections[index] = None;
        }
    }
}
