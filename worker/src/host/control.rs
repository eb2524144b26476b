//! The worker's end of a cell's control socket.

use crate::protocol::{Command, DESCRIPTORS_MAX, Event, PACKET_MAX, packet};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown,
    socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::net::UnixDatagram;

/// The control socket: `SOCK_SEQPACKET`, which the type for datagrams handles as well.
pub(super) struct Control(UnixDatagram);

impl Control {
    /// A new control socket and the other end, for the cell's standard input.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((Self(UnixDatagram::from_std(ours.into())?), theirs))
    }

    /// Sends one command with its descriptors.
    pub(super) async fn send(&self, command: &Command, descriptors: &[OwnedFd]) -> io::Result<()> {
        let packet = packet(command)?;
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for a cell"));
        }
        let fds: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        self.0
            .async_io(tokio::io::Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                Ok(sendmsg(&self.0, &[IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL)?)
            })
            .await
            .map(drop)
    }

    /// The next event and its descriptors; `None` when the cell is gone.
    pub(super) async fn receive(&self) -> io::Result<Option<(Event, Vec<OwnedFd>)>> {
        let mut packet = vec![0; PACKET_MAX];
        let received = self
            .0
            .async_io(tokio::io::Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let parts = &mut [IoSliceMut::new(&mut packet)];
                let received = recvmsg(&self.0, parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
                let rights = ancillary.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                });
                Ok((received.bytes, rights.flatten().collect()))
            })
            .await;
        match received {
            Ok((0, _)) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
            Ok((bytes, descriptors)) => {
                let event = postcard::from_bytes(&packet[..bytes]).map_err(io::Error::other)?;
                Ok(Some((event, descriptors)))
            }
        }
    }

    /// Ends the connection: the cell exits.
    pub(super) fn close(&self) {
        // It may be closed already.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}
