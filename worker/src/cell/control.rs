//! The cell's end of the control socket.

use crate::protocol::{Command, DESCRIPTORS_MAX, Event, PACKET_MAX, packet};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The control socket. Sending is one packet a call, so threads need no lock.
pub(super) struct Control(OwnedFd);

impl Control {
    /// Takes standard input, which must be a socket.
    pub(super) fn from_stdin() -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
        rustix::net::sockopt::socket_type(&fd)?;
        Ok(Self(fd))
    }

    /// The next command and its descriptors; `None` when the worker is gone.
    pub(super) fn receive(&self) -> io::Result<Option<(Command, Vec<OwnedFd>)>> {
        let mut packet = vec![0; PACKET_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut packet)];
            match recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                received => break received?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let descriptors = ancillary
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
                _ => Vec::new(),
            })
            .collect();
        let command = postcard::from_bytes(&packet[..received.bytes]).map_err(io::Error::other)?;
        Ok(Some((command, descriptors)))
    }

    /// Sends one event; waits while the worker is behind. One that is too large for a packet is not sent.
    pub(super) fn send(&self, event: &Event) -> io::Result<()> {
        self.send_with(event, &[])
    }

    /// Sends one event with descriptors.
    pub(super) fn send_with(&self, event: &Event, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let packet = packet(event)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        loop {
            match sendmsg(&self.0, &[IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                sent => return sent.map(drop).map_err(Into::into),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, recv, socketpair};

    #[test]
    fn an_event_that_is_too_large_is_not_sent_and_the_next_one_is_whole() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let control = Control(ours);
        let refused = control.send(&Event::BootLog(vec![7; PACKET_MAX])).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
        control.send(&Event::UsageEnd).unwrap();
        let mut packet = vec![0; PACKET_MAX];
        let (_, bytes) = recv(&theirs, &mut packet[..], RecvFlags::empty()).unwrap();
        assert!(matches!(postcard::from_bytes(&packet[..bytes]), Ok(Event::UsageEnd)));
    }
}
