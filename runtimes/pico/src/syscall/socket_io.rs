//! Sockets: sending and receiving bytes.

use super::socket::{as_socket, open_socket, put_name, sockaddr};
use super::unix::find_name;
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Ready};
use crate::kernel::Kernel;
use crate::net::address::{Address, Family, Host, family_of};
use crate::net::datagram::Destination;
use crate::net::envelope::Envelope;
use crate::net::messages::Received;
use crate::net::socket::{BUFFER, Kind, Socket};
use crate::poll::block;
use crate::process::Info;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general as c;
use linux_raw_sys::net::{
    AF_INET, MSG_CMSG_CLOEXEC, MSG_CONFIRM, MSG_DONTROUTE, MSG_DONTWAIT, MSG_EOR, MSG_ERRQUEUE, MSG_MORE,
    MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL,
};

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: c::__NR_sendto, name: "sendto", support: NO_OOB, handler: sendto },
    Entry { number: c::__NR_recvfrom, name: "recvfrom", support: NO_OOB, handler: recvfrom },
];

const NO_OOB: Support = Support::Partial("no out-of-band data");

const RECEIVE_FLAGS: u32 =
    MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_TRUNC | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC;
const SEND_FLAGS: u32 = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE;

/// Part of the program's memory: address and length.
pub(super) type Segment = (u64, usize);

fn total(segments: &[Segment]) -> usize {
    segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.1))
}

fn sendto(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let name = if args.raw(4) == 0 { &[] } else { sockaddr(kernel, args, 4)? };
    let to = destination(kernel, as_socket(&open)?, name)?;
    let segments = [(args.raw(1), args.size(2))];
    send(kernel, &open, &segments, args.uint(3), to.as_ref(), &mut Envelope::default())
}

fn recvfrom(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let (flags, mut envelope) = (args.uint(3), Envelope::default());
    let received = receive(kernel, &open, &[(args.raw(1), args.size(2))], flags, &mut envelope)?;
    if args.raw(4) != 0 {
        put_name(kernel, args, 4, envelope.from.as_deref().unwrap_or_default())?;
    }
    Ok(returned(received, flags) as u64)
}

/// Where a message to the `sockaddr` in `name` goes; nowhere special if it is empty, or if the socket is connected and
/// takes no notice of it.
pub(super) fn destination(kernel: &Kernel, socket: &Socket, name: &[u8]) -> Result<Option<Destination>> {
    if name.is_empty() {
        return Ok(None);
    }
    match (socket.family(), socket.kind()) {
        (Family::Unix, Kind::Datagram) => {
            let bound = find_name(kernel, name)?;
            let target = bound.endpoint.as_ref().ok_or(Errno::EPROTOTYPE)?.upgrade();
            Ok(Some(Destination::Unix(target.ok_or(Errno::ECONNREFUSED)?)))
        }
        (Family::Unix, Kind::Stream) if socket.is_connected() => Err(Errno::EISCONN),
        (Family::Unix, Kind::Stream) => Err(Errno::EOPNOTSUPP),
        (family, Kind::Datagram) => {
            // An IPv6 socket sends to IPv4 addresses too.
            let v4 = family_of(name)? == AF_INET;
            let address = Address::parse(name, if v4 { Family::Inet } else { family })?;
            if address.port == 0 {
                return Err(Errno::EINVAL);
            }
            if address.host == Host::Outside {
                return Err(Errno::ENETUNREACH);
            }
            Ok(Some(Destination::Inet(address)))
        }
        _ => Ok(None),
    }
}

/// With `MSG_TRUNC` the caller wants to know how long the message was.
pub(super) fn returned(received: Received, flags: u32) -> usize {
    if flags & MSG_TRUNC != 0 { received.full } else { received.len }
}

/// Sends what the segments hold, with `envelope` beside it.
pub(super) fn send(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
    to: Option<&Destination>,
    envelope: &mut Envelope,
) -> Result<u64> {
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & !SEND_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let socket = as_socket(open)?;
    let dont_wait = flags & MSG_DONTWAIT != 0;
    let result = if socket.has_messages() {
        let message = gather(kernel, segments)?;
        block(kernel, open, Ready::OUT, dont_wait, |_| socket.send(&message, to, envelope))
    } else {
        send_stream(kernel, open, segments, dont_wait, envelope)
    };
    if result == Err(Errno::EPIPE) && flags & MSG_NOSIGNAL == 0 && !socket.has_messages() {
        kernel.process.signals.send(Info::sent(c::SIGPIPE, 0))?;
    }
    result.map(|len| len as u64)
}

/// The bytes of a message.
fn gather(kernel: &Kernel, segments: &[Segment]) -> Result<Vec<u8>> {
    if total(segments) > BUFFER {
        return Err(Errno::EMSGSIZE);
    }
    let mut message = Vec::with_capacity(total(segments));
    for &(base, len) in segments {
        message.extend_from_slice(kernel.mm.slice(base, len)?);
    }
    Ok(message)
}

/// Sends everything; what there is room for if it may not wait, or is interrupted.
fn send_stream(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    dont_wait: bool,
    envelope: &mut Envelope,
) -> Result<usize> {
    let socket = as_socket(open)?;
    let mut sent = 0;
    for &(base, len) in segments.iter().filter(|segment| segment.1 > 0) {
        let (bytes, mut done) = (kernel.mm.slice(base, len)?, 0);
        let result = block(kernel, open, Ready::OUT, dont_wait, |kernel| {
            loop {
                done += socket.send(&bytes[done..], None, envelope)?;
                if done == len {
                    return Ok(());
                }
                if !kernel.make_room() {
                    break;
                }
            }
            kernel.threads.note_change();
            Err(Errno::EAGAIN)
        });
        sent += done;
        if result.is_err() {
            return if sent > 0 { Ok(sent) } else { result.map(|()| 0) };
        }
    }
    if sent == 0 {
        socket.send(&[], None, envelope)?;
    }
    Ok(sent)
}

/// Receives into the segments, and into `envelope` what lies beside the data.
pub(super) fn receive(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
    envelope: &mut Envelope,
) -> Result<Received> {
    if flags & MSG_ERRQUEUE != 0 {
        return Err(Errno::EAGAIN);
    }
    if flags & !RECEIVE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let socket = as_socket(open)?;
    let peek = flags & MSG_PEEK != 0;
    // Of a stream with something beside the bytes, what belongs together is read at once.
    let together = socket.family() == Family::Unix && segments.len() > 1 && flags & MSG_WAITALL == 0;
    let stream = !socket.has_messages() && !peek && !together;
    envelope.from = socket.name_of_sender();
    match segments {
        _ if stream => receive_stream(kernel, open, segments, flags, envelope),
        &[(base, len)] => {
            let buf = kernel.mm.slice_mut(base, len)?;
            receive_once(kernel, open, buf, flags, envelope)
        }
        _ => {
            let mut buf = vec![0; total(segments).min(BUFFER)];
            let received = receive_once(kernel, open, &mut buf, flags, envelope)?;
            scatter(kernel, segments, &buf[..received.len])?;
            Ok(received)
        }
    }
}

fn receive_once(
    kernel: &mut Kernel,
    open: &OpenFile,
    buf: &mut [u8],
    flags: u32,
    envelope: &mut Envelope,
) -> Result<Received> {
    let (socket, peek) = (as_socket(open)?, flags & MSG_PEEK != 0);
    block(kernel, open, Ready::IN, flags & MSG_DONTWAIT != 0, |_| socket.receive(buf, peek, envelope))
}

/// Fills the segments with what there is, or with all there will be (`MSG_WAITALL`); waits at least for something.
fn receive_stream(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
    envelope: &mut Envelope,
) -> Result<Received> {
    let mut done = 0;
    'all: for &(base, len) in segments {
        let mut rest = kernel.mm.slice_mut(base, len)?;
        while !rest.is_empty() {
            let flags = if done > 0 && flags & MSG_WAITALL == 0 { flags | MSG_DONTWAIT } else { flags };
            match receive_once(kernel, open, rest, flags, envelope) {
                Ok(Received { len: 0, .. }) => break 'all,
                Ok(Received { len, .. }) => {
                    done += len;
                    rest = &mut rest[len..];
                }
                Err(_) if done > 0 => break 'all,
                Err(errno) => return Err(errno),
            }
            // What lies beside the bytes is told with these bytes and no others.
            if !envelope.is_empty() {
                break 'all;
            }
        }
    }
    if total(segments) == 0 {
        receive_once(kernel, open, &mut [], flags | MSG_DONTWAIT, envelope).or_else(|errno| {
            if errno == Errno::EAGAIN { Ok(Received { len: 0, full: 0 }) } else { Err(errno) }
        })?;
    }
    Ok(Received { len: done, full: done })
}

fn scatter(kernel: &Kernel, segments: &[Segment], mut bytes: &[u8]) -> Result<()> {
    for &(base, len) in segments {
        let (now, later) = bytes.split_at(len.min(bytes.len()));
        kernel.mm.slice_mut(base, now.len())?.copy_from_slice(now);
        bytes = later;
    }
    Ok(())
}
